"""Requests that wait: for a sleeping or starting website, for another run, for an agent that is away."""

import asyncio
import contextlib
import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from edge_fixtures import (
    DOMAIN,
    HEARD,
    Request,
    RunningEdge,
    Upstream,
    answer,
    in_background,
    parse_response,
    read_to_end,
    replying,
    say_length,
    wakes,
)

from hostel.edge.publish import Edge
from hostel.wire.route import RouteState
from hostel.wire.website import RunId
from waiting import until


def wait_held(edge: RunningEdge, domain: str, count: int = 1) -> None:
    until(lambda: edge.status(domain).held == count, what=f"{count} held")


@pytest.mark.parametrize("tls", [None, f"asleep.{DOMAIN}"])
def test_a_held_request_is_released_with_its_body_intact(edge: RunningEdge, agent: Upstream, tls: str | None) -> None:
    domain = f"asleep.{DOMAIN}"
    edge.publish(domain, RouteState.HELD)
    upstream = edge.upstream(f"run-asleep-{tls is not None}", say_length)
    body = bytes(range(250)) * 1200
    with in_background(lambda: edge.send("POST", domain, "/p", body=body, tls=tls)) as response:
        wait_held(edge, domain)
        assert not upstream.requests
        edge.running(domain, upstream)
        assert response().body == b"300000"
    assert [request.body for request in upstream.requests] == [body]
    assert edge.status(domain).held == 0


def test_many_held_requests_wake_once_and_all_are_answered(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"many.{DOMAIN}"
    edge.publish(domain, RouteState.HELD)
    before = edge.status(domain).held_total
    upstream = edge.upstream("run-many", replying(answer("up")))
    with contextlib.ExitStack() as stack:
        responses = [stack.enter_context(in_background(lambda: edge.get(domain))) for _ in range(20)]
        wait_held(edge, domain, 20)
        until(lambda: wakes(agent, domain), what="a wake")
        edge.running(domain, upstream)
        assert [response().body for response in responses] == [b"up"] * 20
    assert wakes(agent, domain) == 1
    assert edge.status(domain).held_total == before + 20
    assert edge.status().held == 0


def test_an_agent_that_publishes_on_wake(edge: RunningEdge) -> None:
    domain = f"woken.{DOMAIN}"
    edge.publish(domain, RouteState.HELD)
    upstream = edge.upstream("run-woken", replying(answer("woken")))
    record = edge.record(domain, RouteState.RUNNING, run=RunId("run-woken"), endpoint=f"unix:{upstream.path}")

    async def wake(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("{}", status="202 Accepted"))
        async with Edge(edge.paths) as route_table:
            await route_table.publish(record)

    agent = edge.agent(wake)
    began = time.monotonic()
    assert edge.get(domain).body == b"woken"
    assert time.monotonic() - began < 0.5
    edge.loop.run(agent.stop())


def test_waking_is_repeated_until_the_agent_hears(edge: RunningEdge) -> None:
    domain = f"deaf.{DOMAIN}"
    edge.publish(domain, RouteState.HELD)
    upstream = edge.upstream("run-deaf", replying(answer("up")))
    with in_background(lambda: edge.get(domain)) as response:
        wait_held(edge, domain)
        agent = edge.agent(HEARD)
        until(lambda: wakes(agent, domain), what="a wake")
        edge.running(domain, upstream)
        assert response().body == b"up"
    edge.loop.run(agent.stop())


def test_the_hold_clock_ends_in_503_with_retry_after(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"slow.{DOMAIN}"
    edge.publish(domain, RouteState.HELD, hold_s=0.3)
    began = time.monotonic()
    response = edge.get(domain)
    assert 0.3 <= time.monotonic() - began < 1.0
    assert (response.status, response.headers["retry-after"]) == (503, "5")
    assert b"Not ready yet" in response.body
    assert edge.status(domain).held == 0


def test_the_hold_clock_starts_anew_when_the_site_s_own_start_begins(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"queued.{DOMAIN}"
    edge.publish(domain, RouteState.HELD, hold_s=0.5)
    began = time.monotonic()
    with in_background(lambda: edge.get(domain)) as response:
        wait_held(edge, domain)
        edge.publish(domain, RouteState.HELD, hold_s=1.2)
        assert response().status == 503
    assert time.monotonic() - began >= 1.2


@pytest.mark.parametrize(
    ("state", "status"), [("failed", 502), ("disabled", 503), ("suspended", 503), ("deleted", 404)]
)
def test_a_held_request_learns_that_its_website_will_not_come(
    edge: RunningEdge, agent: Upstream, state: str, status: int
) -> None:
    domain = f"never-{state}.{DOMAIN}"
    edge.publish(domain, RouteState.HELD)
    with in_background(lambda: edge.get(domain)) as response:
        wait_held(edge, domain)
        edge.publish(domain, RouteState(state))
        assert response().status == status


def test_more_than_max_held_are_refused_at_once(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"full.{DOMAIN}"
    edge.publish(domain, RouteState.HELD, max_held=3)
    upstream = edge.upstream("run-full", replying(answer("up")))
    with contextlib.ExitStack() as stack:
        responses = [stack.enter_context(in_background(lambda: edge.get(domain))) for _ in range(3)]
        wait_held(edge, domain, 3)
        assert edge.get(domain).status == 503
        edge.running(domain, upstream)
        assert [response().status for response in responses] == [200] * 3


def refuse(edge: RunningEdge, run: str) -> Upstream:
    """An upstream whose socket file is there and refuses connections."""
    upstream = edge.upstream(run, replying(answer("old")))
    edge.loop.run(upstream.stop())
    assert upstream.path.is_socket()
    return upstream


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_refused_post_waits_for_the_next_run(edge: RunningEdge, agent: Upstream, is_gone: bool) -> None:
    domain = f"refused-{is_gone:d}.{DOMAIN}"
    dead = refuse(edge, "run-dead")
    if is_gone:
        dead.path.unlink()
    edge.running(domain, dead)
    upstream = edge.upstream(f"run-next-{is_gone:d}", say_length)
    body = b"z" * 300_000
    with in_background(lambda: edge.send("POST", domain, "/", body=body)) as response:
        wait_held(edge, domain)
        assert edge.bound("run-dead") == (0, 0), "a drain must not wait for it"
        until(lambda: wakes(agent, domain), what="the agent is asked to look")
        edge.running(domain, upstream)
        assert response().body == b"300000"
    assert [request.body for request in upstream.requests] == [body]
    edge.wait_unbound(f"run-next-{is_gone:d}")


def test_a_refused_request_is_held_once_and_never_twice(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"twice.{DOMAIN}"
    edge.running(domain, refuse(edge, "run-dead-1"))
    before = edge.status(domain).held_total
    with in_background(lambda: edge.get(domain)) as response:
        wait_held(edge, domain)
        edge.running(domain, refuse(edge, "run-dead-2"))
        assert response().status == 502
    assert edge.status(domain).held_total == before + 1
    for run in ("run-dead-1", "run-dead-2"):
        edge.wait_unbound(run)


def test_a_run_that_refuses_is_tried_again_when_the_agent_confirms_it(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"confirmed.{DOMAIN}"
    upstream = refuse(edge, "run-confirmed")
    edge.running(domain, upstream)
    with in_background(lambda: edge.get(domain)) as response:
        wait_held(edge, domain)
        edge.loop.run(upstream.start())
        edge.running(domain, upstream)
        assert response().body == b"old"


def test_a_run_that_goes_on_refusing_is_a_502_at_the_hold_clock(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"dead.{DOMAIN}"
    edge.running(domain, refuse(edge, "run-dead-3"), hold_s=0.4)
    began = time.monotonic()
    assert edge.get(domain).status == 502
    assert 0.4 <= time.monotonic() - began < 1.5
    assert wakes(agent, domain) == 1


def test_a_pooled_connection_that_the_website_closed_loses_no_request(edge: RunningEdge, agent: Upstream) -> None:
    """With nginx's workers stopped, a visitor's request comes first and then the website closes idle connections."""
    domain = f"pooled.{DOMAIN}"
    upstream = edge.upstream("run-pooled", say_length)
    edge.running(domain, upstream)

    async def close_idle() -> None:
        for writer in list(upstream.writers):
            writer.transport.abort()

    with edge.connect() as connection:
        send_before_news(edge, connection, domain, upstream, close_idle)
        assert parse_response(read_to_end(connection)).body == b"5"
    assert [request.body for request in upstream.requests] == [b"", b"hello"]
    assert edge.status(domain).held_total == 0


def test_a_website_that_dies_with_pooled_connections_loses_no_request(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"pool-dies.{DOMAIN}"
    upstream, following = edge.upstream("run-pool-dies", say_length), edge.upstream("run-pool-lives", say_length)
    edge.running(domain, upstream)
    with edge.connect() as connection:
        send_before_news(edge, connection, domain, upstream, upstream.stop)
        wait_held(edge, domain)
        edge.running(domain, following)
        assert parse_response(read_to_end(connection)).body == b"5"
    assert [request.body for request in following.requests] == [b"hello"]


def send_before_news(
    edge: RunningEdge,
    connection: socket.socket,
    domain: str,
    upstream: Upstream,
    close: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """Fill the pool, then let nginx see a request before it sees that `close` has closed the pooled connections."""
    connection.sendall(f"GET / HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode())
    connection.recv(65536)
    pids = edge.worker_pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    request = f"POST / HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
    connection.sendall(request.encode())
    time.sleep(0.05)  # the order of the two events in epoll's list is the point
    edge.loop.run(close())
    until(lambda: not upstream.writers, what="the website closes its connections")
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_a_body_that_arrives_across_a_switch_meets_the_new_run(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"across.{DOMAIN}"
    old, new = edge.upstream("run-old", say_length), edge.upstream("run-new", say_length)
    edge.running(domain, old)
    with edge.connect() as connection:
        head = f"POST / HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\nContent-Length: 10\r\n\r\n12345"
        connection.sendall(head.encode())
        until(lambda: arrived(edge, domain) > 0, what="the request arrives")
        edge.running(domain, new)
        assert edge.bound("run-old") == (0, 0)
        connection.sendall(b"67890")
        assert parse_response(read_to_end(connection)).body == b"10"
    assert (len(old.requests), len(new.requests)) == (0, 1)


def test_a_body_that_arrives_when_the_site_is_asleep_again_is_held(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"relapse.{DOMAIN}"
    upstream = edge.upstream("run-relapse", say_length)
    edge.publish(domain, RouteState.HELD)
    with edge.connect() as connection:
        head = f"POST / HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\nContent-Length: 10\r\n\r\n12345"
        connection.sendall(head.encode())
        until(lambda: wakes(agent, domain), what="the website is woken while the body arrives")
        edge.running(domain, upstream)
        edge.publish(domain, RouteState.HELD)
        assert edge.status(domain).held == 0
        connection.sendall(b"67890")
        wait_held(edge, domain, 1)
        assert not upstream.requests
        edge.running(domain, upstream)
        assert parse_response(read_to_end(connection)).body == b"10"
    assert [request.body for request in upstream.requests] == [b"1234567890"]


DOCUMENT = "Sec-Fetch-Dest: document"


def test_a_page_that_waits_shows_progress_until_the_site_is_there(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"progress.{DOMAIN}"
    edge.publish(domain, RouteState.HELD)
    response = edge.get(domain, "/", DOCUMENT)
    assert (response.status, response.headers["hostel-error-code"]) == (503, "still_starting")
    assert (response.headers["refresh"], response.headers["retry-after"]) == ("1", "1")
    assert response.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert b"on its way" in response.body
    assert edge.status(domain).held == 0
    upstream = edge.upstream("run-progress", replying(answer("here")))
    with in_background(lambda: edge.get(domain, "/", DOCUMENT)) as later:
        wait_held(edge, domain)
        edge.running(domain, upstream)
        assert later().body == b"here"
    assert len(upstream.requests) == 1


NO_PAGE_LOADS: dict[str, tuple[str, tuple[str, ...], bytes]] = {
    "no browser": ("GET", (), b""),
    "script": ("GET", ("Sec-Fetch-Dest: empty",), b""),
    "form": ("POST", (DOCUMENT,), b"a=1"),
    "head": ("HEAD", (DOCUMENT,), b""),
    "body": ("GET", (DOCUMENT,), b"body"),
    "prefetch": ("GET", (DOCUMENT, "Sec-Purpose: prefetch"), b""),
}


def test_whatever_is_no_page_load_is_kept_waiting(edge: RunningEdge, agent: Upstream) -> None:
    """All at once, and a page load beside them that shows when the time for its page has come."""
    domain = f"kept.{DOMAIN}"
    edge.publish(domain, RouteState.HELD)
    upstream = edge.upstream("run-kept", say_length)
    with contextlib.ExitStack() as stack:
        responses = {
            name: stack.enter_context(
                in_background(functools.partial(edge.send, method, domain, f"/{name[0]}", *headers, body=body))
            )
            for name, (method, headers, body) in NO_PAGE_LOADS.items()
        }
        wait_held(edge, domain, len(NO_PAGE_LOADS))
        assert edge.get(domain, "/", DOCUMENT).headers["hostel-error-code"] == "still_starting"
        assert edge.status(domain).held == len(NO_PAGE_LOADS)
        edge.running(domain, upstream)
        assert {name: response().status for name, response in responses.items()} == dict.fromkeys(NO_PAGE_LOADS, 200)
    assert len(upstream.requests) == len(NO_PAGE_LOADS)


def test_a_page_gives_up_with_the_reason(edge: RunningEdge, agent: Upstream) -> None:
    """When the time of one request is over it waits as all else does; when the website failed it says so."""
    domain = f"gives-up.{DOMAIN}"
    edge.publish(domain, RouteState.HELD, hold_s=4.0)
    codes: list[str] = []
    while not codes or codes[-1] == "still_starting":
        codes.append(edge.get(domain, "/", DOCUMENT).headers["hostel-error-code"])
    assert codes[-1] == "not_ready"
    assert len(codes) > 1
    with in_background(lambda: edge.get(domain, "/", DOCUMENT)) as response:
        wait_held(edge, domain)
        edge.publish(domain, RouteState.FAILED)
        assert response().headers["hostel-error-code"] == "website_failed"


def test_a_page_behind_a_password_asks_for_it_first(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"asks.{DOMAIN}"
    edge.publish(domain, RouteState.HELD, http_users={"anna": "$6$salt$" + "x" * 86})
    assert edge.get(domain, "/", DOCUMENT).status == 401


LEAVING = {
    "get": (b"", b""),
    "small body": (b"Content-Length: 5\r\n", b"hello"),
    "body on disk": (b"Content-Length: 300000\r\n", bytes(300_000)),
    "chunked body": (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("kind", LEAVING)
def test_who_leaves_gives_the_place_back(edge: RunningEdge, agent: Upstream, kind: str, is_tls: bool) -> None:
    """Held at once, and held after a run refused; before the hold's clock ends, which is ten seconds."""
    domain = f"left-{kind.replace(' ', '-')}-{is_tls:d}.{DOMAIN}"
    header, body = LEAVING[kind]
    head = f"{'POST' if body else 'GET'} / HTTP/1.1\r\nHost: {domain}\r\n".encode() + header + b"\r\n"
    run = f"run-left-{kind.replace(' ', '-')}-{is_tls:d}"
    upstream = refuse(edge, run)
    for publish in (lambda: edge.publish(domain, RouteState.HELD), lambda: edge.running(domain, upstream)):
        publish()
        with edge.connect(tls=domain if is_tls else None) as connection:
            connection.sendall(head + body)
            wait_held(edge, domain, 1)
        until(lambda: edge.status(domain).held == 0, what="nobody is held", deadline_s=8)
    edge.wait_unbound(run)


def arrived(edge: RunningEdge, domain: str) -> int:
    """How many arrived since the edge started."""
    base = edge.call(lambda agent: agent.arrived("nobody.invalid"))
    return edge.call(lambda agent: agent.arrived(domain)) - base


def test_arrivals_are_counted_in_every_state_and_not_for_strangers(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"counted.{DOMAIN}"
    edge.publish(domain, RouteState.DISABLED)
    for _ in range(3):
        edge.get(domain)
    edge.publish(domain, RouteState.FAILED)
    edge.get(domain)
    edge.get(f"stranger.{DOMAIN}")
    assert arrived(edge, domain) == 4
    assert arrived(edge, f"stranger.{DOMAIN}") == 0


def test_switching_under_load_loses_nothing_and_drains_to_zero(edge: RunningEdge, agent: Upstream) -> None:
    """Deploys as the agent does them: start, switch, wait until nothing is bound to the old run, stop it."""
    domain = f"load.{DOMAIN}"

    async def work(request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.002)
        writer.write(answer(request.body.decode()))

    current = edge.upstream("load-0", work)
    edge.running(domain, current)
    is_over = threading.Event()
    sent: list[str] = []

    def visit(visitor: int) -> list[tuple[int, bytes, str]]:
        results: list[tuple[int, bytes, str]] = []
        while not is_over.is_set():
            text = f"{visitor}:{len(results)}"
            response = edge.send("POST", domain, "/", body=text.encode())
            results.append((response.status, response.body, text))
            sent.append(text)
        return results

    runs = [current]
    with contextlib.ExitStack() as stack:
        stack.callback(is_over.set)
        visitors = [stack.enter_context(in_background(lambda n=n: visit(n))) for n in range(8)]  # type: ignore[misc]
        for number in range(1, 16):
            old, current = current, edge.upstream(f"load-{number}", work)
            runs.append(current)
            edge.running(domain, current)
            run = old.path.parent.name
            until(lambda run=run: edge.bound(run) == (0, 0), what=f"{run} drains")  # type: ignore[misc]
            edge.loop.run(old.stop())
            old.path.unlink()
        is_over.set()
        results = [result for visitor in visitors for result in visitor()]
    assert [result for result in results if result[0] != 200 or result[1] != result[2].encode()] == []
    seen = sorted(request.body.decode() for run in runs for request in run.requests)
    assert seen == sorted(sent), "each request was sent to a website exactly once"
    assert sum(bool(run.requests) for run in runs) > 10
    edge.wait_unbound(current.path.parent.name)


def test_the_wake_carries_the_canonical_name(edge: RunningEdge, agent: Upstream) -> None:
    domain = f"canonical.{DOMAIN}"
    edge.publish(domain, RouteState.HELD, hold_s=0.2)
    edge.get(f"{domain.upper()}.:80")
    assert wakes(agent, domain) == 1
    assert all(request.body == b"" for request in agent.requests)
