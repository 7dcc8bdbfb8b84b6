"""What the charts show, from real visitors and a real run to the API."""

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from live import Platform, User, answering, send_signal
from waiting import until

LABEL = "charted-viola"


@pytest.fixture(scope="module")
def viola(platform: Platform) -> User:
    return platform.add_user_with_server("viola")


@pytest.fixture
def api(platform: Platform, viola: User) -> Iterator[httpx.Client]:
    with platform.api(viola) as client:
        assert platform.create(viola, LABEL, answering()).json()["webapp"]["state"] == "running"
        yield client
        client.delete(f"websites/{LABEL}.{platform.domain}/")


def metrics(api: httpx.Client, platform: Platform, period: str = "hour") -> dict[str, Any]:
    answer = api.get(f"websites/{LABEL}.{platform.domain}/metrics/", params={"period": period})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def requests(found: dict[str, Any]) -> Counter[str]:
    total: Counter[str] = Counter()
    for point in found["points"]:
        total.update(point["requests"])
    return +total


def wait(api: httpx.Client, platform: Platform, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The metrics, once they are as they are expected to be."""
    return until(lambda: [found] if is_so(found := metrics(api, platform)) else [])[0]


def total(found: dict[str, Any], key: str) -> int:
    return sum(point[key] for point in found["points"])


def test_each_request_a_visitor_makes_is_counted_in_its_class(platform: Platform, api: httpx.Client) -> None:
    first = metrics(api, platform)
    assert (first["period"], first["step_seconds"], requests(first)) == ("hour", 60, Counter())
    with platform.visitor() as visitor:
        for _ in range(20):
            assert visitor.get(platform.url(LABEL)).status_code == 200
        assert visitor.get(platform.url(LABEL, "/slow?s=0.4")).status_code == 200
        one = f"websites/{LABEL}.{platform.domain}/"
        mapping = {"url": "/files/", "path": "/home/viola/files"}
        assert api.post(f"{one}static_files/", json=mapping).status_code == 201
        assert visitor.get(platform.url(LABEL, "/files/none")).status_code == 404
        assert api.patch(one, json={"webapp": {"force_https": True}}).status_code == 200
        assert visitor.get(platform.url(LABEL, https=False)).status_code == 308
    found = wait(api, platform, lambda found: requests(found).total() >= 23)
    assert requests(found) == {"2xx": 21, "3xx": 1, "4xx": 1}
    slowest = max(point["latency_seconds"]["p99"] for point in found["points"] if point["latency_seconds"])
    assert slowest > 0.2
    day = metrics(api, platform, "day")
    assert (day["step_seconds"], requests(day)) == (600, requests(found))
    for asked, most in ((found, 60), (day, 144)):
        since, ends = datetime.fromisoformat(asked["since"]), datetime.fromisoformat(asked["until"])
        assert ends - since == timedelta(seconds=asked["step_seconds"] * most)
        assert since < datetime.now(UTC) - timedelta(minutes=55)
        times = [datetime.fromisoformat(point["at"]) for point in asked["points"]]
        assert times == sorted(set(times))
        assert since <= times[0]
        # Of the time before there was a platform nothing is said.
        assert times[0].timestamp() + asked["step_seconds"] > platform.ca_file.stat().st_mtime - 60
        assert times[-1] < ends


def test_what_it_uses_is_told_with_the_limit_and_restarts_and_reloads_are_counted(
    platform: Platform, api: httpx.Client
) -> None:
    one = f"websites/{LABEL}.{platform.domain}/"
    assert api.post(f"{one}reload/").status_code == 200

    def has_used_the_processor(found: dict[str, Any]) -> bool:
        assert platform.get(LABEL).status_code == 200  # which takes some of it
        return any(point["cpu_cores"] for point in found["points"])

    found = wait(api, platform, has_used_the_processor)
    assert total(found, "reloads") == 1
    assert max(point["memory_bytes"] or 0 for point in found["points"]) > 1 << 20
    assert (found["memory_limit_bytes"], found["cpu_limit_cores"]) > (1 << 20, 0)
    before = total(found, "restarts")
    status = api.get(f"{one}status/").json()
    run = json.loads((platform.paths.runs / status["run"]["id"] / "run.json").read_text())
    send_signal(run["process"]["pid"], signal.SIGKILL)
    wait(api, platform, lambda found: total(found, "restarts") == before + 1)


def test_nobody_sees_the_metrics_of_another_user_and_odd_periods_are_refused(
    platform: Platform, bob: User, api: httpx.Client
) -> None:
    with platform.visitor(headers={"Authorization": f"Token {bob.token}"}) as client:
        for name, expected in (("viola", 403), ("bob", 404)):
            url = f"{platform.panel_url}api/v1/user/{name}/websites/{LABEL}.{platform.domain}/metrics/"
            assert client.get(url).status_code == expected
    for period in ("", "week", "HOUR", "hour&period=no"):
        refused = api.get(f"websites/{LABEL}.{platform.domain}/metrics/?period={period}")
        assert refused.status_code == 400
        assert refused.json()["period"] == ["Give hour or day."]
    assert platform.ask_agent("GET", f"/websites/{LABEL}.{platform.domain}/metrics?period=x").status_code == 400
    for name in ("none.example.com", f"www.{platform.domain}"):
        assert platform.ask_agent("GET", f"/websites/{name}/metrics").status_code == 404


def test_whoever_gets_a_name_next_sees_nothing_of_who_had_it(
    platform: Platform, viola: User, api: httpx.Client
) -> None:
    visits = 0

    def visit(found: dict[str, Any]) -> bool:
        nonlocal visits
        assert requests(found).total() <= visits
        visits += 1
        assert platform.get(LABEL).status_code == 200
        return bool(requests(found))

    wait(api, platform, visit)
    for _ in range(30):  # of which the edge has told nothing yet
        platform.get(LABEL)
    platform.delete(viola, LABEL)
    assert api.get(f"websites/{LABEL}.{platform.domain}/metrics/").status_code == 404
    assert platform.create(viola, LABEL, answering()).status_code == 201
    assert requests(metrics(api, platform)) == Counter()
    assert requests(metrics(api, platform, "day")) == Counter()
    visits = 0
    wait(api, platform, visit)
