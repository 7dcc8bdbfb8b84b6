"""What a website's record says about bodies and buffering, at the edge."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from edge_fixtures import (
    DOMAIN,
    Request,
    RunningEdge,
    Upstream,
    answer,
    parse_response,
    read_to_end,
    read_until,
    replying,
    say_length,
)

from hostel.wire.route import RouteState

ALICE = f"alice.{DOMAIN}"
KIB = 1024


@pytest.fixture
def measuring(edge: RunningEdge) -> Iterator[Upstream]:
    upstream = edge.upstream("run-measuring", say_length)
    yield upstream
    edge.loop.run(upstream.stop())


# -- the largest body


def test_a_body_larger_than_its_website_takes_is_refused_and_never_sent(edge: RunningEdge, measuring: Upstream) -> None:
    edge.running(ALICE, measuring, max_body_bytes=64 * KIB)
    for method in ("POST", "PUT", "DELETE"):
        assert edge.send(method, ALICE, "/", body=b"x" * 64 * KIB).body == b"65536"
        measuring.requests.clear()
        refused = edge.send(method, ALICE, "/", body=b"x" * (64 * KIB + 1))
        assert (refused.status, refused.headers["hostel-error-code"]) == (413, "body_too_large")
        assert measuring.requests == []
    edge.publish(ALICE, RouteState.HELD, max_body_bytes=64 * KIB)  # also before it is woken
    assert edge.send("POST", ALICE, "/", body=b"x" * 65 * KIB).status == 413
    edge.running(ALICE, measuring)  # control
    assert edge.send("POST", ALICE, "/", body=b"x" * 65 * KIB).status == 200


CHUNKED = "POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_body_that_does_not_say_its_length_needs_one_where_the_limit_is_lower(
    edge: RunningEdge, measuring: Upstream
) -> None:
    chunked = CHUNKED.format(ALICE).encode() + b"3\r\nabc\r\n0\r\n\r\n"
    edge.running(ALICE, measuring, max_body_bytes=64 * KIB)
    refused = parse_response(edge.raw(chunked))
    assert (refused.status, refused.headers["hostel-error-code"]) == (411, "length_required")
    assert edge.get(ALICE).status == 200
    assert edge.send("DELETE", ALICE, "/").status == 200
    edge.running(ALICE, measuring)  # control
    assert parse_response(edge.raw(chunked)).body == b"3"


# -- buffering of requests


class Watching:
    """Reads a body with `Transfer-Encoding: chunked` as it comes, and tells what has come."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.read = b""

    async def __call__(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.has_begun.set()
        if request.headers.get("transfer-encoding") == "chunked":
            self.read = await reader.readuntil(b"0\r\n\r\n")
        else:
            self.read = request.body
        writer.write(answer("done"))


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("requests", [False, True])
def test_a_body_is_passed_on_when_it_is_whole_or_as_it_comes(
    edge: RunningEdge, *, requests: bool, responses: bool
) -> None:
    watching = Watching()
    upstream = edge.upstream("run-watching", watching)
    edge.running(ALICE, upstream, buffer_requests=requests, buffer_responses=responses)
    with edge.connect() as connection:
        connection.sendall(CHUNKED.format(ALICE).encode() + b"3\r\nabc\r\n")
        assert watching.has_begun.wait(0.3 if requests else 5) is not requests
        connection.sendall(b"2\r\nde\r\n0\r\n\r\n")
        assert parse_response(read_to_end(connection)).body == b"done"
    assert watching.read.replace(b"\r\n", b"") in (b"3abc2de0", b"abcde")
    plain = edge.send("POST", ALICE, "/", body=b"x" * 300 * KIB)
    assert (plain.body, watching.read) == (b"done", b"x" * 300 * KIB)
    assert "x-forwarded-for" in upstream.requests[-1].headers
    edge.loop.run(upstream.stop())


def test_what_was_passed_on_in_part_is_never_sent_again(edge: RunningEdge) -> None:
    """Nothing listens: a request without a body is held as ever, one with a body is refused."""
    upstream = edge.upstream("run-gone", replying(answer("alice")))
    edge.running(ALICE, upstream, buffer_requests=False, hold_s=0.3)
    edge.loop.run(upstream.stop())
    refused = edge.send("POST", ALICE, "/", body=b"x" * 10)
    assert (refused.status, refused.headers["hostel-error-code"]) == (502, "website_refused")
    assert edge.status(ALICE).held_total == 0
    edge.get(ALICE)
    assert edge.status(ALICE).held_total == 1
    edge.wait_unbound("run-gone")


def test_a_request_that_was_held_is_whole_when_its_website_wants_it_as_it_comes(edge: RunningEdge) -> None:
    edge.publish(ALICE, RouteState.HELD, buffer_requests=False)
    with edge.connect() as connection:
        body = b"y" * 200 * KIB
        head = f"POST / HTTP/1.1\r\nHost: {ALICE}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        upstream = edge.upstream("run-late", say_length)
        edge.running(ALICE, upstream, buffer_requests=False)
        assert parse_response(read_to_end(connection)).body == str(len(body)).encode()
    edge.loop.run(upstream.stop())


# -- buffering of answers


@pytest.mark.parametrize(
    ("buffered", "header", "comes_at_once"), [(False, "", True), (True, "", False), (True, "no", True)]
)
def test_an_answer_is_passed_on_as_it_comes_or_in_larger_parts(
    edge: RunningEdge, *, buffered: bool, header: str, comes_at_once: bool
) -> None:
    go_on = asyncio.Event()

    async def stream(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        extra = f"X-Accel-Buffering: {header}\r\n" if header else ""
        writer.write(f"HTTP/1.1 200 OK\r\n{extra}Content-Length: 10\r\n\r\nfirst".encode())
        await writer.drain()
        await go_on.wait()
        writer.write(b"later")

    upstream = edge.upstream("run-streaming", stream)
    edge.running(ALICE, upstream, buffer_responses=buffered)
    with edge.connect() as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {ALICE}\r\nConnection: close\r\n\r\n".encode())
        connection.settimeout(5 if comes_at_once else 0.3)
        came = b""
        with contextlib.suppress(TimeoutError):
            came = read_until(connection, b"first")
        assert came.endswith(b"first") is comes_at_once
        edge.loop.loop.call_soon_threadsafe(go_on.set)
        connection.settimeout(5)
        assert (came + read_to_end(connection)).endswith(b"later")
    edge.loop.run(upstream.stop())


def test_a_websocket_works_whatever_is_buffered(edge: RunningEdge) -> None:
    async def accept(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        writer.write(b"echo:" + await reader.readexactly(4))

    upstream = edge.upstream("run-websocket", accept)
    edge.running(ALICE, upstream, buffer_requests=False, buffer_responses=True)
    head = f"GET / HTTP/1.1\r\nHost: {ALICE}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    with edge.connect() as connection:
        connection.sendall(head.encode())
        assert b" 101 " in read_until(connection, b"\r\n\r\n")
        connection.sendall(b"ping")
        assert read_until(connection, b"ping") == b"echo:ping"
        connection.shutdown(socket.SHUT_WR)
    edge.loop.run(upstream.stop())
