"""Hostile and unusual upstreams: what a website may say, and what never reaches a visitor."""

import asyncio
import base64
import hashlib
import os
import socket

import pytest
from edge_fixtures import (
    DOMAIN,
    Handler,
    Request,
    RunningEdge,
    answer,
    parse_response,
    read_to_end,
    read_until,
    replying,
)

from waiting import until

WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")


def serve(edge: RunningEdge, name: str, handler: Handler, **fields: int) -> str:
    """A website `name` that is served by `handler`; returns its domain."""
    domain = f"{name}.{DOMAIN}"
    edge.running(domain, edge.upstream(f"run-{name}", handler), **fields)
    return domain


def send_head(edge: RunningEdge, domain: str, *lines: str, tls: bool = False) -> socket.socket:
    connection = edge.connect(tls=domain if tls else None)
    connection.sendall("\r\n".join(["GET / HTTP/1.1", f"Host: {domain}", *lines, "", ""]).encode())
    return connection


async def echo_websocket(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept the handshake of RFC 6455 and send every byte back."""
    key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    head = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"]
    writer.write("\r\n".join([*head, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode())
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket"])
def test_a_websocket_echoes_and_is_counted_as_streaming(edge: RunningEdge, tls: bool, upgrade: str) -> None:
    name = f"ws{tls:d}{upgrade.islower():d}"
    domain = serve(edge, name, echo_websocket)
    key = base64.b64encode(os.urandom(16)).decode()
    headers = ("Connection: keep-alive, Upgrade", f"Upgrade: {upgrade}", "Sec-WebSocket-Version: 13")
    with send_head(edge, domain, *headers, f"Sec-WebSocket-Key: {key}", tls=tls) as connection:
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        frame = b"\x81\x85\x01\x02\x03\x04" + bytes(
            a ^ b for a, b in zip(b"hello", b"\x01\x02\x03\x04\x01", strict=True)
        )
        for _ in range(3):
            connection.sendall(frame)
            assert read_until(connection, frame) == frame
        assert edge.bound(f"run-{name}") == (0, 1)
    until(lambda: edge.bound(f"run-{name}") == (0, 0), what="the closed WebSocket is uncounted")


def test_a_silent_websocket_ends_at_its_own_timeout(edge: RunningEdge) -> None:
    domain = serve(edge, "silent", echo_websocket, websocket_timeout_s=1, read_timeout_s=300)
    with send_head(edge, domain, *WEBSOCKET, "Sec-WebSocket-Key: AAAA") as connection:
        read_until(connection, b"\r\n\r\n")
        assert read_to_end(connection) == b""


def test_an_event_stream_arrives_event_by_event_and_is_counted_as_streaming(edge: RunningEdge) -> None:
    seen = asyncio.Event()

    async def stream(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n")
        for number in range(3):
            writer.write(f"data: {number}\n\n".encode())
            await writer.drain()
            await seen.wait()  # the next event only after the visitor has got this one
            seen.clear()
        writer.close()

    domain = serve(edge, "events", stream)
    with send_head(edge, domain, tls=True) as connection:
        for number in range(3):
            assert b"HTTP/1.1 200 OK" in read_until(connection, f"data: {number}\n\n".encode()) or number
            assert edge.bound("run-events") == (0, 1)
            edge.loop.loop.call_soon_threadsafe(seen.set)
        read_until(connection, b"0\r\n\r\n")
    until(lambda: edge.bound("run-events") == (0, 0), what="the event stream is uncounted")


def test_a_stream_whose_visitor_leaves_is_uncounted_and_closed_upstream(edge: RunningEdge) -> None:
    async def stream(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 0\n\n")
        await writer.drain()
        await asyncio.Event().wait()

    domain = serve(edge, "leaver", stream)
    with send_head(edge, domain) as connection:
        read_until(connection, b"data: 0\n\n")
        assert edge.bound("run-leaver") == (0, 1)
    until(lambda: edge.bound("run-leaver") == (0, 0), what="the left stream is uncounted")


def test_a_plain_response_is_not_buffered(edge: RunningEdge) -> None:
    seen = asyncio.Event()

    async def stream(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
        await writer.drain()
        await seen.wait()
        writer.write(b"two")

    domain = serve(edge, "chunks", stream)
    with send_head(edge, domain, "Connection: close") as connection:
        read_until(connection, b"one")
        assert edge.bound("run-chunks") == (1, 0)
        edge.loop.loop.call_soon_threadsafe(seen.set)
        assert read_to_end(connection) == b"two"


def test_a_website_that_does_not_answer_is_a_504(edge: RunningEdge) -> None:
    async def hang(_request: Request, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    domain = serve(edge, "hangs", hang, read_timeout_s=1)
    response = edge.send("POST", domain, "/", body=b"x")
    assert (response.status, b"No answer in time" in response.body) == (504, True)
    edge.wait_unbound("run-hangs")
    assert edge.log_lines(domain)[0].split('"')[2].startswith(" 504 ")


def test_a_response_cut_short_is_cut_short_for_the_visitor(edge: RunningEdge) -> None:
    async def cut(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    domain = serve(edge, "cut", cut)
    with send_head(edge, domain) as connection:
        assert parse_response(read_to_end(connection)).body == b"half"
    edge.wait_unbound("run-cut")


def test_connections_to_a_website_are_kept_and_reused(edge: RunningEdge) -> None:
    connections: set[int] = set()

    async def note(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(id(writer))
        writer.write(answer("ok"))

    domain = serve(edge, "kept", note)
    with edge.connect() as connection:
        for _ in range(20):
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode())
            read_until(connection, b"\r\n\r\nok")
    assert len(connections) == 1


CLEARING = answer("bye", 'Clear-Site-Data: "cookies", "storage"')


def test_b18_a_website_below_the_shared_domain_clears_nobodys_cookies(edge: RunningEdge) -> None:
    """Browsers would clear those of the whole registrable domain. Positive control: a domain of its own may."""
    domain = serve(edge, "clearing", replying(CLEARING))
    assert "clear-site-data" not in edge.get(domain).headers
    assert "clear-site-data" not in edge.get(domain, tls=domain).headers
    own = "bob.example"
    edge.running(own, edge.upstream("run-clearing-own", replying(CLEARING)))
    assert edge.get(own).headers["clear-site-data"] == '"cookies", "storage"'
