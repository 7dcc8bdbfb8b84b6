"""What a website is and does, as the status call tells it: the figures of the kernel and of the edge."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from live import Platform, User, answering

LABEL = "measured-stella"
BUSY = "nice bash -c 'while :; do :; done' & "


@pytest.fixture(scope="module")
def stella(platform: Platform) -> User:
    return platform.add_user_with_server("stella")


@pytest.fixture
def api(platform: Platform, stella: User) -> Iterator[httpx.Client]:
    with platform.api(stella) as client:
        yield client
        client.delete(f"websites/{LABEL}.{platform.domain}/")


def status(api: httpx.Client, platform: Platform) -> dict[str, Any]:
    answer = api.get(f"websites/{LABEL}.{platform.domain}/status/")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def until(look: Callable[[], dict[str, Any]], is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while not is_so(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def test_a_website_that_works_shows_what_it_uses(platform: Platform, stella: User, api: httpx.Client) -> None:
    assert platform.create(stella, LABEL, BUSY + answering()).json()["webapp"]["state"] == "running"
    first = status(api, platform)
    assert (first["state"], first["deploy"]["phase"], first["restarts"]) == ("running", "done", 0)
    assert (first["last_failure"], first["draining"]) == (None, None)
    assert datetime.now(UTC) - datetime.fromisoformat(first["since"]) < timedelta(seconds=30)
    assert first["in_flight"] == {"requests": 0, "websockets": 0, "held": 0}
    assert 1 << 20 < first["run"]["memory_bytes"] < first["run"]["memory_limit_bytes"]
    assert first["run"]["processes"] >= 2
    until(lambda: status(api, platform), lambda found: found["requests_per_minute"] is not None)
    with ThreadPoolExecutor() as threads, platform.visitor() as visitor:
        for _ in range(20):
            assert visitor.get(platform.url(LABEL)).status_code == 200
        slow = threads.submit(platform.get, LABEL, "/slow?s=3")
        busy = until(lambda: status(api, platform), lambda found: found["in_flight"]["requests"] == 1)
        assert slow.result().status_code == 200
    assert busy["requests_per_minute"] >= 20
    assert busy["run"]["cpu_percent"] > 3
    run = busy["run"]["id"]
    assert api.post(f"websites/{LABEL}.{platform.domain}/reload/").status_code == 200
    assert status(api, platform)["run"]["id"] not in (run, None)


def test_what_failed_last_is_told_also_when_it_runs_again(platform: Platform, stella: User, api: httpx.Client) -> None:
    one = f"websites/{LABEL}.{platform.domain}/"
    assert platform.create(stella, LABEL, "echo no >&2; exit 7").json()["webapp"]["state"] == "failed"
    failed = status(api, platform)
    assert (failed["state"], failed["reason"], failed["run"]) == ("failed", "exited", None)
    assert api.patch(one, json={"webapp": {"command": answering()}}).json()["webapp"]["state"] == "running"
    again = status(api, platform)
    assert (again["state"], again["reason"]) == ("running", None)
    past = again["last_failure"]
    assert (past["reason"], past["stderr"]) == ("exited", ["no"])
    assert datetime.fromisoformat(past["at"]) <= datetime.fromisoformat(again["since"])
    assert api.patch(one, json={"enabled": False}).status_code == 200
    off = until(lambda: status(api, platform), lambda found: found["state"] == "disabled")
    assert (off["run"], off["requests_per_minute"]) == (None, None)


def test_a_stranger_sees_no_status(platform: Platform, stella: User, bob: User, api: httpx.Client) -> None:
    assert platform.create(stella, LABEL, answering()).status_code == 201
    with platform.visitor(headers={"Authorization": f"Token {bob.token}"}) as client:
        for name, expected in (("stella", 403), ("bob", 404)):
            url = f"{platform.panel_url}api/v1/user/{name}/websites/{LABEL}.{platform.domain}/status/"
            assert client.get(url).status_code == expected


def test_the_overview_counts_names_what_is_troubled_and_shows_nothing_of_others(
    platform: Platform, stella: User, bob: User, api: httpx.Client
) -> None:
    """What the panel asks the agent for a dashboard."""
    theirs = f"seen-bob.{platform.domain}"
    assert platform.create(stella, LABEL, "echo no >&2; exit 7").status_code == 201
    assert platform.create(bob, "seen-bob", answering()).status_code == 201
    one = f"{LABEL}.{platform.domain}"
    try:

        def overview() -> dict[str, Any]:
            answer = platform.ask_agent("GET", f"/tenants/stella/overview?domain={one}&domain={theirs}")
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        found = overview()
        assert found["states"] == {"failed": 1}
        assert [report["domain_name"] for report in found["troubled"]] == [one]
        assert [report["domain_name"] for report in found["websites"]] == [one], "bob's is none of stella's"
        assert api.patch(f"websites/{one}/", json={"webapp": {"command": BUSY + answering()}}).status_code == 200
        busy = until(overview, lambda found: bool(found["cpu_percent"] and found["cpu_percent"] > 3))
        assert (busy["states"], busy["troubled"]) == ({"running": 1}, [])
        assert busy["memory_bytes"] > 1 << 20
        listed = platform.ask_agent("GET", f"/websites?tenant=stella&domain={theirs}&domain={one}").json()["websites"]
        assert [report["domain_name"] for report in listed] == [one]
        assert platform.ask_agent("GET", "/tenants/nobodyatall/overview").status_code == 404
    finally:
        platform.delete(bob, "seen-bob")
