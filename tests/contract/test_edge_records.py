"""The reader of route records: whatever lies on disk or is pushed, the last good record goes on being served.

Records come from the agent alone; what is odd here is what a torn file, a release of another day or a fault would give.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from edge_fixtures import DOMAIN, RunningEdge, answer, replying
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostel.wire.codec import to_jsonable
from hostel.wire.route import RouteState

GOOD = f"good.{DOMAIN}"
ODD_VALUES = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
    | st.sampled_from(["", ".", "/", "unix:", "unix:/", "unix:/a\nb", "127.0.0.1:99999", "1.2.3.4", "[::1]:80", "\0",
                       "../../etc/passwd", "running", "held", GOOD, GOOD.upper(), f"{GOOD}.", "a" * 300, "x" * 70_000,
                       1e308, 10**400, -1, 0.5, [], {}, [1], {"a": []}])
)  # fmt: skip
TORN = st.binary(max_size=60) | st.sampled_from(
    [b"", b"null", b"[]", b"{}", b'"x"', b"NaN", b"[" * 5000, b'{"a":' * 2000]
)
LIMITS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Reader:
    """An edge that serves GOOD, whose record is `record`."""

    edge: RunningEdge
    control: httpx.Client
    record: dict[str, Any]

    def push(self, raw: bytes) -> int:
        return self.control.put("/route", content=raw).status_code

    def answer(self, domain: str) -> tuple[int, bytes]:
        found = self.edge.get(domain)
        return found.status, found.body


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with RunningEdge() as edge:
        served = edge.running(GOOD, edge.upstream("run-good", replying(answer("good"))))
        transport = httpx.HTTPTransport(uds=str(edge.paths.edge_socket))
        with httpx.Client(transport=transport, base_url="http://edge", timeout=10) as control:
            workers = edge.worker_pids()
            yield Reader(edge, control, to_jsonable(served))
            assert edge.worker_pids() == workers, "no worker died of a record"


def meddled(good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A record with some values odd, some gone, and perhaps one too many."""
    changes = st.dictionaries(st.sampled_from([*good, "extra"]), ODD_VALUES, min_size=1, max_size=3)
    gone = st.sets(st.sampled_from(sorted(good)), max_size=2)
    return st.tuples(changes, gone).map(
        lambda pair: {key: value for key, value in {**copy.deepcopy(good), **pair[0]}.items() if key not in pair[1]}
    )


@LIMITS
@given(st.data())
def test_a_pushed_record_that_cannot_be_used_leaves_the_last_good_one(reader: Reader, data: st.DataObject) -> None:
    """A push answers 200 or 400, never otherwise; an older serial changes nothing, a fault in the record neither."""
    odd = data.draw(meddled({**reader.record, "serial": 0, "state": "disabled"}))
    raw = json.dumps(odd).encode() if data.draw(st.integers(0, 4)) else data.draw(TORN)
    serial = odd.get("serial")
    if isinstance(serial, int | float) and serial > reader.record["serial"]:
        raw = raw.replace(GOOD.encode(), f"other.{DOMAIN}".encode())  # a newer record that is right is no fault
    assert reader.push(raw) in (200, 400), raw[:200]
    assert reader.answer(GOOD) == (200, b"good"), raw[:200]


@LIMITS
@given(st.data())
def test_a_record_on_disk_that_cannot_be_used_is_that_websites_trouble_alone(
    reader: Reader, data: st.DataObject
) -> None:
    """One that nobody has asked for yet is read from the disk: then it is served, or is a page that says sorry."""
    label = data.draw(st.integers(0, 10**9))
    domain = f"odd{label}.{DOMAIN}"
    odd = data.draw(meddled({**reader.record, "domain": domain}))
    raw = json.dumps(odd).encode() if data.draw(st.integers(0, 4)) else data.draw(TORN)
    file = reader.edge.paths.routes / f"{domain}.json"
    file.write_bytes(raw)
    file.chmod(0o644)
    status, body = reader.answer(domain)
    assert status in (200, 308, 401, 404, 500, 502, 503), raw[:200]  # a redirect or a password may be what it asks for
    assert status != 200 or body == b"good"
    assert reader.answer(GOOD) == (200, b"good")
    file.unlink()


def test_the_probe_sees_a_record_that_is_taken(reader: Reader) -> None:
    """Positive control: the same record, right and newer, does replace what is served, on disk and pushed."""
    domain = f"control.{DOMAIN}"
    good = {**reader.record, "domain": domain}
    file = reader.edge.paths.routes / f"{domain}.json"
    file.write_text(json.dumps(good))
    file.chmod(0o644)
    assert reader.answer(domain) == (200, b"good")
    disabled = {**good, "serial": good["serial"] + 1, "state": RouteState.DISABLED.value}
    assert reader.push(json.dumps(disabled).encode()) == 200
    assert reader.answer(domain)[0] == 503
