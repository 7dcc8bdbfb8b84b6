"""What the edge knows of who is used, and what known monitors get of websites that sleep."""

import asyncio

import pytest
from edge_fixtures import (
    DOMAIN,
    HEARD,
    Request,
    RunningEdge,
    Upstream,
    WeakenedEdge,
    answer,
    in_background,
    replying,
    wakes,
)

from hostel.edge.publish import Idleness
from hostel.wire.route import RouteState
from waiting import until

MONITORS = (
    "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
    "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/98 StatusCake",
    "Better Uptime Bot Mozilla/5.0",
    "Amazon-Route53-Health-Check-Service (ref x; report http://amzn.to/1vsZADi)",
    "GoogleStackdriverMonitoring-UptimeChecks(https://cloud.google.com/monitoring)",
    "check_http/v2.3.3 (monitoring-plugins 2.3.3)",
)
BROWSER = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def idleness(edge: RunningEdge, domain: str) -> Idleness:
    return edge.call(lambda route_table: route_table.idleness([domain, f"other.{DOMAIN}"]))[domain]


def test_a_request_is_in_flight_and_then_was_seen(edge: RunningEdge) -> None:
    domain = f"used.{DOMAIN}"
    going_on = asyncio.Event()

    async def wait(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await going_on.wait()
        writer.write(answer("at last"))

    edge.running(domain, edge.upstream("run-used", wait), ignores_monitors=True)
    assert idleness(edge, domain) == Idleness(in_flight=0, seen_s=-1)
    with in_background(lambda: edge.get(domain)) as response:
        until(lambda: idleness(edge, domain).in_flight == 1, what="it is in flight")
        edge.loop.loop.call_soon_threadsafe(going_on.set)
        assert response().status == 200
    until(lambda: idleness(edge, domain).in_flight == 0, what="it has ended")
    assert 0 <= idleness(edge, domain).seen_s < 60


@pytest.mark.parametrize("name", MONITORS)
def test_a_monitor_is_answered_and_is_no_visitor_unless_its_owner_says_so(
    edge: RunningEdge, agent: Upstream, name: str
) -> None:
    domain = f"watched{MONITORS.index(name)}.{DOMAIN}"
    upstream = edge.upstream(f"run-watched-{MONITORS.index(name)}", replying(answer("awake")))
    edge.running(domain, upstream, ignores_monitors=True)
    assert edge.get(domain, "/", f"User-Agent: {name}").body == b"awake"
    assert idleness(edge, domain).seen_s == -1
    assert edge.get(domain, "/", BROWSER).status == 200
    assert idleness(edge, domain).seen_s >= 0
    edge.publish(domain, RouteState.ASLEEP, ignores_monitors=True)
    told = edge.get(domain, "/", f"User-Agent: {name}")
    assert (told.status, told.headers["hostel-state"]) == (200, "asleep")
    assert "hostel-error-code" not in told.headers
    assert wakes(agent, domain) == 0
    edge.publish(domain, RouteState.ASLEEP, ignores_monitors=False)
    with in_background(lambda: edge.get(domain, "/", f"User-Agent: {name}")) as response:
        until(lambda: wakes(agent, domain), what="a wake")
        edge.running(domain, upstream)
        assert response().body == b"awake"


def test_a_monitor_sees_an_outage(edge: RunningEdge, agent: Upstream) -> None:
    """Nothing but sleep is answered for a website: one that starts again after a crash is waited for."""
    domain = f"down.{DOMAIN}"
    edge.publish(domain, RouteState.HELD, ignores_monitors=True, hold_s=0.2)
    assert edge.get(domain, "/", f"User-Agent: {MONITORS[0]}").status == 503
    edge.publish(domain, RouteState.FAILED, ignores_monitors=True)
    assert edge.get(domain, "/", f"User-Agent: {MONITORS[0]}").status == 502


def test_who_comes_to_a_website_that_fell_asleep_again_wakes_it_at_once() -> None:
    """The agent is reminded after a while, an hour here; but what it heard was about the sleep before."""
    domain = f"drowsy.{DOMAIN}"
    with WeakenedEdge(("lua/hostel/wake.lua", "local AGAIN_S = 2 ", "local AGAIN_S = 3600 ")) as edge:
        agent = edge.agent(HEARD)
        upstream = edge.upstream("run-drowsy", replying(answer("up")))
        for number in range(1, 4):
            edge.publish(domain, RouteState.ASLEEP)
            with in_background(lambda: edge.get(domain)) as response:
                until(lambda number=number: wakes(agent, domain) == number, what=f"wake {number}")
                edge.running(domain, upstream)
                assert response().status == 200
