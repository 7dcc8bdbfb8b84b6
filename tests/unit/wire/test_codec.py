"""The reader of messages from other processes: what is not exactly right is refused, with its place."""

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.wire.codec import defaults, parse, to_compact, to_jsonable
from hostel.wire.errors import MalformedMessage
from hostel.wire.route import RouteRecord, RouteState
from hostel.wire.website import Limits, TenantSpec, Tombstone, Version, Wanted, WebsiteSpec

SPECS = st.builds(
    WebsiteSpec,
    domain_name=st.text(),
    tenant=st.text(),
    version=st.builds(Version, epoch=st.integers(), revision=st.integers()),
    enabled=st.booleans(),
    command=st.text(),
    limits=st.builds(
        Limits, memory_bytes=st.integers(), pids=st.integers(), cpu=st.floats(allow_nan=False, allow_infinity=False)
    ),
)


@given(SPECS)
def test_what_is_written_is_read_back(spec: WebsiteSpec) -> None:
    wanted = Wanted(version=spec.version, websites=(spec,))
    assert parse(Wanted, json.loads(json.dumps(to_jsonable(wanted)))) == wanted
    assert parse(Wanted, json.loads(json.dumps(to_compact(wanted)))) == wanted


def test_what_has_its_default_is_left_out() -> None:
    route = RouteRecord(domain="a.b", serial=1, state=RouteState.RUNNING, max_held=7, static_files=())
    assert to_compact(route) == {"domain": "a.b", "serial": 1, "state": "running", "max_held": 7}


def test_defaults_are_those_that_a_reader_assumes() -> None:
    required = {"domain": "a.b", "serial": 1, "state": "running"}
    assert parse(RouteRecord, {**defaults(RouteRecord), **required}) == parse(RouteRecord, required)


GOOD = {
    "domain_name": "a.b",
    "tenant": "a",
    "version": {"epoch": 1, "revision": 2},
    "enabled": True,
    "command": "c",
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"uid": 0}, "unknown key 'uid'"),
        ({"enabled": 1}, "enabled: expected bool"),
        ({"enabled": "true"}, "enabled: expected bool"),
        ({"version": {"epoch": True, "revision": 2}}, "version.epoch: expected int"),
        ({"version": 3}, "version: expected an object"),
        ({"reload_strategy": "maybe"}, "expected one of overlap, replace"),
        ({"limits": {"memory_bytes": 1, "uid": 0}}, "unknown key 'uid'"),
        ({"command": None}, "command: expected str"),
        ({"drain_s": float("nan")}, "drain_s: expected a finite number"),
        ({"drain_s": float("inf")}, "drain_s: expected a finite number"),
        ({"drain_s": 10**400}, "drain_s: expected a finite number"),
        ({"drain_s": True}, "drain_s: expected float"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(change: dict[str, object], words: str) -> None:
    with pytest.raises(MalformedMessage, match=words):
        parse(WebsiteSpec, GOOD | change)


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_only_objects_are_messages(data: object) -> None:
    with pytest.raises(MalformedMessage, match="expected an object"):
        parse(WebsiteSpec, data)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(MalformedMessage, match="command: missing"):
        parse(WebsiteSpec, {key: value for key, value in GOOD.items() if key != "command"})


# -- whatever arrives


def versions() -> st.SearchStrategy[Version]:
    return st.builds(Version, epoch=st.integers(), revision=st.integers())


GOOD_MESSAGES = st.one_of(
    st.builds(TenantSpec, name=st.text(), version=versions()),
    SPECS,
    st.builds(
        Wanted,
        version=versions(),
        tenants=st.tuples(st.builds(TenantSpec, name=st.text(), version=versions())),
        websites=st.tuples(SPECS),
        deleted_websites=st.tuples(st.builds(Tombstone, name=st.text(), version=versions())),
    ),
)
# All that json.loads can return, NaN and 1e999 among it.
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all that `value` holds."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def meddle(value: Any, path: tuple[Any, ...], change: str, put: Any) -> Any:
    """`value` with one deed at `path`: something else in its place, gone, or with a key too many."""
    if not path:
        return put
    changed = copy.deepcopy(value)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    if change == "replace":
        holder[path[-1]] = put
    elif change == "remove":
        del holder[path[-1]]
    elif isinstance(holder, dict):
        holder["uid"] = put
    return changed


@given(GOOD_MESSAGES, st.data())
def test_whatever_arrives_is_read_whole_or_refused_as_malformed(message: Any, data: st.DataObject) -> None:
    """Whoever calls `parse` catches MalformedMessage alone; what is read says the same when it is written again."""
    good = to_jsonable(message)
    path = data.draw(st.sampled_from(places(good)))
    sent = meddle(good, path, data.draw(st.sampled_from(["replace", "remove", "add"])), data.draw(ANY_JSON))
    with contextlib.suppress(MalformedMessage):
        read = parse(type(message), json.loads(json.dumps(sent)))
        assert parse(type(message), json.loads(json.dumps(to_jsonable(read)))) == read
        assert all(type(item) in (str, int, float, bool, type(None)) for item in leaves(to_jsonable(read)))
    assert parse(type(message), json.loads(json.dumps(good))) == message, "positive control: unmeddled, it is read"


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [leaf for item in inner for leaf in leaves(item)]
    return [value]
