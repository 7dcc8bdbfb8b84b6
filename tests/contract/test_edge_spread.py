"""WebSockets that a switch closed come back spread over time; nothing else waits with them."""

import contextlib
import os
import selectors
import socket
import statistics
import time
from collections import Counter

import pytest
from edge_fixtures import DOMAIN, RunningEdge, Upstream, answer, read_until, replying

from hostel.wire.route import RouteState
from waiting import until

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def serve(edge: RunningEdge, name: str, *, spread_from: float = 0.0, spread_s: float = 0.0) -> tuple[str, Upstream]:
    domain, upstream = f"{name}.{DOMAIN}", edge.upstream(f"run-{name}", replying(SWITCHED))
    edge.running(domain, upstream, spread_from=spread_from, spread_s=spread_s)
    return domain, upstream


def upgrade(edge: RunningEdge, domain: str, *, tls: bool = False) -> socket.socket:
    """A connection on which the upgrade has been asked for."""
    connection = edge.connect(tls=domain if tls else None)
    connection.sendall("\r\n".join(["GET / HTTP/1.1", f"Host: {domain}", *UPGRADE, "", ""]).encode())
    return connection


def wait_arrived(edge: RunningEdge, domain: str, count: int) -> None:
    base = edge.call(lambda agent: agent.arrived("nobody.invalid"))
    until(lambda: edge.call(lambda agent: agent.arrived(domain)) - base == count, what=f"{count} arrive")


def upgrade_all(edge: RunningEdge, domain: str, count: int) -> list[float]:
    """Ask for `count` upgrades at once; how long each took."""
    began, took = time.monotonic(), []
    with contextlib.ExitStack() as stack:
        waiting = stack.enter_context(selectors.DefaultSelector())
        for _ in range(count):
            waiting.register(stack.enter_context(upgrade(edge, domain)), selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(10.0)
            assert ready, f"{len(waiting.get_map())} upgrades are not answered"
            for key, _ in ready:
                assert os.read(key.fd, 65536).startswith(b"HTTP/1.1 101 ")
                took.append(time.monotonic() - began)
                waiting.unregister(key.fileobj)
    return took


def test_upgrades_at_once_are_spread_evenly_over_the_time(edge: RunningEdge) -> None:
    domain, _ = serve(edge, "even", spread_from=time.time(), spread_s=2.0)
    took = upgrade_all(edge, domain, 300)
    quarters = Counter(int(seconds * 4) for seconds in took)
    assert max(took) < 2.2
    assert 0.85 < statistics.mean(took) < 1.15
    assert max(quarters.values()) < 2 * 300 / 8


def test_only_the_time_that_is_left_is_waited_for(edge: RunningEdge) -> None:
    domain, _ = serve(edge, "late", spread_from=time.time() - 9.7, spread_s=10.0)
    assert max(upgrade_all(edge, domain, 50)) < 0.5


def test_after_the_time_and_without_one_nobody_waits(edge: RunningEdge) -> None:
    past, _ = serve(edge, "past", spread_from=time.time() - 60, spread_s=10.0)
    never, _ = serve(edge, "never")
    assert max(upgrade_all(edge, past, 20)) < 0.3
    assert max(upgrade_all(edge, never, 20)) < 0.3


def test_a_clock_that_was_set_back_makes_nobody_wait_for_longer(edge: RunningEdge) -> None:
    domain, _ = serve(edge, "future", spread_from=time.time() + 3600, spread_s=0.5)
    assert max(upgrade_all(edge, domain, 20)) < 0.8


def test_only_websockets_wait(edge: RunningEdge) -> None:
    domain = f"plain.{DOMAIN}"
    edge.running(domain, edge.upstream("run-plain", replying(answer("ok"))), spread_from=time.time(), spread_s=60.0)
    began = time.monotonic()
    for extra in ((), ("Upgrade: h2c", "Connection: Upgrade"), ("Accept: text/event-stream",)):
        assert edge.get(domain, "/", *extra).body == b"ok"
        assert edge.get(domain, "/", *extra, tls=domain).body == b"ok"
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_who_leaves_while_waiting_is_noticed_at_once(edge: RunningEdge, tls: bool) -> None:
    domain, upstream = serve(edge, f"leaver-{tls:d}", spread_from=time.time(), spread_s=600.0)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(upgrade(edge, domain, tls=tls))
        wait_arrived(edge, domain, 5)
        assert edge.log_lines(domain) == []
    until(lambda: len(edge.log_lines(domain)) == 5, what="all five are in the log")
    assert all(" 499 " in line for line in edge.log_lines(domain))
    assert upstream.requests == []


def test_waiting_upgrades_are_not_held_ones(edge: RunningEdge, agent: Upstream) -> None:
    """They take no place of those that wait for a start, and a drain does not wait for them."""
    domain = f"uncounted.{DOMAIN}"
    upstream = edge.upstream("run-uncounted", replying(answer("ok")))
    edge.running(domain, upstream, max_held=1, spread_from=time.time(), spread_s=600.0)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(upgrade(edge, domain))
        wait_arrived(edge, domain, 5)
        status = edge.status(domain)
        assert (status.held, status.held_total) == (0, 0)
        assert edge.bound("run-uncounted") == (0, 0)
        edge.publish(domain, RouteState.HELD, max_held=1)
        held = edge.connect()
        stack.enter_context(held)
        held.sendall(f"GET / HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\n\r\n".encode())
        until(lambda: edge.status(domain).held == 1, what="the one place is free")
        edge.running(domain, upstream, max_held=1)
        assert read_until(held, b"ok").startswith(b"HTTP/1.1 200 ")


def test_an_upgrade_meets_the_run_that_serves_when_it_has_waited(edge: RunningEdge, agent: Upstream) -> None:
    domain, old = serve(edge, "across", spread_from=time.time(), spread_s=2.0)
    new = edge.upstream("run-across-new", replying(SWITCHED))
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(upgrade(edge, domain)) for _ in range(20)]
        edge.publish(domain, RouteState.HELD)
        until(lambda: edge.bound("run-across") == (0, len(old.requests)), what="the old run has seen all its own")
        before = len(old.requests)
        until(lambda: edge.status(domain).held > 0, what="one has waited and is held")
        edge.running(domain, new)
        for connection in waiting:
            assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    assert len(old.requests) == before < 10
    assert len(new.requests) == 20 - before


def test_upgrades_that_were_held_during_the_switch_are_spread_too(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"held.{DOMAIN}"
    upstream = edge.upstream("run-held", replying(SWITCHED))
    edge.publish(domain, RouteState.HELD)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(upgrade(edge, domain)) for _ in range(30)]
        plain = stack.enter_context(edge.connect())
        plain.sendall(f"GET / HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode())
        until(lambda: edge.status(domain).held == 31, what="all are held")
        edge.running(domain, upstream, spread_from=time.time(), spread_s=1.5)
        until(lambda: upstream.requests, what="the plain request is let go")
        began = time.monotonic()
        until(lambda: len(upstream.requests) == 31, what="all upgrades are let go")
        assert 0.5 < time.monotonic() - began < 1.8
        assert edge.status(domain).held == 0
        for connection in waiting:
            read_until(connection, b"\r\n\r\n")


def test_each_worker_draws_numbers_of_its_own(edge: RunningEdge) -> None:
    """Workers are forks: with one seed for all, each delay would come once for each worker."""
    domain, _ = serve(edge, "drawn", spread_from=time.time(), spread_s=1.0)
    hundredths = {round(seconds, 2) for seconds in upgrade_all(edge, domain, 60)}
    assert len(hundredths) > 33  # of 60 drawn from 100 some 45 differ; of 30 pairs some 26
