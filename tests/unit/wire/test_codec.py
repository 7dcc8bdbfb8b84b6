"""The reader of messages from other processes: what is not exactly right is refused, with its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import MalformedMessage
from hostel.wire.website import Limits, Version, Wanted, WebsiteSpec

SPECS = st.builds(
    WebsiteSpec,
    domain_name=st.text(),
    tenant=st.text(),
    version=st.builds(Version, epoch=st.integers(), revision=st.integers()),
    enabled=st.booleans(),
    command=st.text(),
    limits=st.builds(Limits, memory_bytes=st.integers(), pids=st.integers(), cpu=st.floats(allow_nan=False)),
)


@given(SPECS)
def test_what_is_written_is_read_back(spec: WebsiteSpec) -> None:
    wanted = Wanted(version=spec.version, websites=(spec,))
    assert parse(Wanted, json.loads(json.dumps(to_jsonable(wanted)))) == wanted


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
