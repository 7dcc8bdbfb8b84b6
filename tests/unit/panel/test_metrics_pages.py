"""A website's charts as a browser without JavaScript meets them, and the same figures over the API."""

import re

import pytest

from conftest import METRICS_END_S
from hostel.wire.metrics import Latency, MetricsPoint

PAGE = "/user/xanthippe/websites/xanthippe.hostel.localhost/metrics/"
API = "/api/v1/user/xanthippe/websites/xanthippe.hostel.localhost/metrics/"
BEGIN_S = METRICS_END_S - 3600


@pytest.fixture
def browser(owner):
    owner.create()
    return owner.log_in()


@pytest.fixture
def points(agent):
    latency = Latency(p50_s=0.012, p95_s=0.2, p99_s=1.5)
    agent.points = (
        MetricsPoint(at_s=BEGIN_S, memory_bytes=50 << 20, cpu_cores=0.25),
        MetricsPoint(at_s=BEGIN_S + 60, answered=(1200, 0, 7, 3), streams=2, latency=latency, restarts=1, reloads=1),
        MetricsPoint(at_s=BEGIN_S + 120),
    )
    return agent.points


def show(browser, path=PAGE, status=200):
    page = browser.get(path, secure=True)
    assert page.status_code == status
    return page.content.decode()


@pytest.mark.usefixtures("points")
def test_the_page_draws_what_there_are_figures_for_and_says_them_in_a_table(browser):
    page = show(browser)
    assert re.findall(r'<h2 id="chart-(\w+)">', page) == ["requests", "latency", "memory", "cpu"]
    assert "<dt>Requests</dt><dd>1,210</dd>" in page
    assert "<dt>Failed (5xx)</dt><dd>3</dd>" in page
    assert "<title>12:01: 1,200 2xx, 7 4xx, 3 5xx, 1 restart, 1 reload</title>" in page
    cells = "".join(f"<td>{cell}</td>" for cell in ("1,200", "0", "7", "3", "2", "12 ms", "200 ms", "1.5 s"))
    assert f'<th scope="row">12:01</th>{cells}' in page
    assert '<th scope="row">12:02</th>' not in page, "nothing happened then"
    assert "No requests" not in page
    assert " style=" not in page
    assert "<script>" not in page
    assert f'href="{PAGE}?period=day"' in page


@pytest.mark.usefixtures("points")
def test_the_live_part_is_the_charts_alone_and_asks_for_the_next_one(browser):
    part = show(browser, f"{PAGE}now/?period=day")
    assert part.startswith("<div")
    assert f'hx-get="{PAGE}now/?period=day"' in part
    assert "<table" not in part


def test_a_website_nobody_visited_says_what_to_do(browser):
    page = show(browser)
    assert "No requests in the last hour" in page
    assert "<svg" not in page
    assert "No requests in the last day" in show(browser, f"{PAGE}?period=day")
    assert browser.get(f"{PAGE}?period=week", secure=True).status_code == 404


def test_without_the_agent_the_page_says_so_and_the_live_part_asks_again(browser, agent_away):
    assert "<svg" not in show(browser, status=503)
    assert show(browser, f"{PAGE}now/", status=503) == ""


def test_another_users_metrics_are_not_there(owner, other):
    owner.create()
    elsewhere = PAGE.replace("/user/xanthippe/", "/user/sokrates/")
    for path in (PAGE, f"{PAGE}now/", elsewhere, f"{elsewhere}now/"):
        assert other.log_in().get(path, secure=True).status_code == 404
    assert other.call("GET", API).status_code == 403
    assert other.call("GET", API.replace("/user/xanthippe/", "/user/sokrates/")).status_code == 404


@pytest.mark.usefixtures("points")
def test_the_api_tells_the_same_in_seconds_bytes_and_cores(owner):
    owner.create()
    told = owner.call("GET", API).json()
    assert (told["period"], told["step_seconds"]) == ("hour", 60)
    assert (told["since"], told["until"]) == ("2025-11-26T12:00:00Z", "2025-11-26T13:00:00Z")
    assert told["points"][1] == {
        "at": "2025-11-26T12:01:00Z",
        "requests": {"2xx": 1200, "3xx": 0, "4xx": 7, "5xx": 3},
        "websockets": 2,
        "latency_seconds": {"p50": 0.012, "p95": 0.2, "p99": 1.5},
        "memory_bytes": None,
        "cpu_cores": None,
        "restarts": 1,
        "reloads": 1,
    }
    assert (told["points"][0]["memory_bytes"], told["points"][0]["cpu_cores"]) == (50 << 20, 0.25)


def test_without_the_agent_the_api_says_so(owner, agent_away):
    owner.create()
    refused = owner.call("GET", API)
    assert (refused.status_code, refused.json()["code"]) == (503, "agent_unreachable")
