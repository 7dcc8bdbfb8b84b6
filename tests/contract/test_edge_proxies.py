"""Who a visitor is and how they came, behind load balancers: those alone that the configuration names say so."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from edge_fixtures import (
    DOMAIN,
    Response,
    RunningEdge,
    Upstream,
    answer,
    parse_response,
    read_to_end,
    replying,
)

from hostel.wire.route import RouteState
from live import free_port

ALICE = f"alice.{DOMAIN}"
DIRECT, PROXY, OTHER_PROXY, VISITOR = "127.0.0.1", "127.0.0.9", "127.9.0.1", "203.0.113.7"


@dataclass(frozen=True, slots=True)
class Behind:
    edge: RunningEdge
    upstream: Upstream
    proxy_port: int

    def ask(self, source: str, *extra: str, port: int = 0, first: bytes = b"", path: str = "/") -> Response:
        address = ("127.0.0.1", port or self.edge.http_port)
        with socket.create_connection(address, timeout=10, source_address=(source, 0)) as connection:
            lines = [f"GET {path} HTTP/1.1", f"Host: {ALICE}", "Connection: close", *extra, "", ""]
            connection.sendall(first + "\r\n".join(lines).encode())
            return parse_response(read_to_end(connection))

    def told(self, source: str, *extra: str, port: int = 0, first: bytes = b"") -> tuple[str, str, str]:
        """What the website is told of the visitor's address, scheme and its own port."""
        assert self.ask(source, *extra, port=port, first=first).status == 200
        headers = self.upstream.requests[-1].headers
        assert headers["x-forwarded-for"] == headers["x-real-ip"]
        return headers["x-forwarded-for"], headers["x-forwarded-proto"], headers["host"].partition(":")[2]


@pytest.fixture(scope="module")
def behind() -> Iterator[Behind]:
    port = free_port()
    settings = {
        "trusted_proxies = []": f'trusted_proxies = ["{PROXY}", "127.9.0.0/16", "2001:db8::/32"]',
        "proxy_http_port = 0": f"proxy_http_port = {port}",
        "connections_per_address = 1024": "connections_per_address = 8",
    }
    with RunningEdge(settings=settings) as edge:
        upstream = edge.upstream("run-behind", replying(answer("alice")))
        edge.running(ALICE, upstream)
        yield Behind(edge, upstream, port)


FORWARDED = (f"X-Forwarded-For: {VISITOR}", "X-Forwarded-Proto: https")


def test_b10_nobody_but_a_trusted_proxy_says_who_the_visitor_is(behind: Behind) -> None:
    http, https = str(behind.edge.http_port), str(behind.edge.https_port)
    assert behind.told(PROXY, *FORWARDED) == (VISITOR, "https", https)  # control
    assert behind.told(DIRECT, *FORWARDED) == (DIRECT, "http", http)
    assert behind.told("127.8.0.1", *FORWARDED) == ("127.8.0.1", "http", http)
    assert behind.told(PROXY) == (PROXY, "http", http)
    line = behind.edge.log_lines(ALICE)[0]
    assert line.startswith(f"{VISITOR} - ")
    assert f'"{VISITOR}" response-time=' in line


@pytest.mark.parametrize(
    ("forwarded", "found"),
    [
        (f"6.6.6.6, {VISITOR}", VISITOR),
        (f"127.0.0.1, {VISITOR}, {OTHER_PROXY}", VISITOR),
        (f"{VISITOR}, 127.9.200.1", VISITOR),
        (f"{VISITOR}:4711", VISITOR),
        ("2001:db9::1", "2001:db9::1"),
        ("6.6.6.6, nonsense", PROXY),
        ("", PROXY),
    ],
)
def test_b10_what_a_visitor_writes_before_the_proxy_does_is_not_believed(
    behind: Behind, forwarded: str, found: str
) -> None:
    assert behind.told(PROXY, f"X-Forwarded-For: {forwarded}")[0] == found


@pytest.mark.parametrize("scheme", ["ftp", "https, http", "https\t;", ""])
def test_an_odd_scheme_is_none(behind: Behind, scheme: str) -> None:
    assert behind.told(PROXY, f"X-Forwarded-Proto: {scheme}")[1] == "http"


def test_forced_https_goes_by_the_visitors_scheme(behind: Behind) -> None:
    behind.edge.running(ALICE, behind.upstream, force_https=True)
    try:
        assert behind.ask(PROXY, "X-Forwarded-Proto: https").status == 200
        assert behind.ask(PROXY, "X-Forwarded-Proto: http").status == 308
        assert behind.ask(DIRECT, "X-Forwarded-Proto: https").status == 308
    finally:
        behind.edge.running(ALICE, behind.upstream)


def proxied(address: str) -> bytes:
    return f"PROXY TCP4 {address} 127.0.0.1 4711 80\r\n".encode()


def test_b10_the_proxy_protocol_counts_on_its_own_port_and_from_a_trusted_proxy(behind: Behind) -> None:
    """There the headers are the visitor's own words, and count for nothing."""
    port, http = behind.proxy_port, str(behind.edge.http_port)
    assert behind.told(PROXY, port=port, first=proxied(VISITOR)) == (VISITOR, "http", http)
    assert behind.told(DIRECT, port=port, first=proxied(VISITOR)) == (DIRECT, "http", http)
    forged = ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https")
    assert behind.told(PROXY, *forged, port=port, first=proxied(VISITOR)) == (VISITOR, "http", http)
    assert behind.ask(PROXY, first=proxied(VISITOR)).status == 400  # the ordinary port speaks no such thing


def test_visitors_of_one_proxy_are_counted_apart(behind: Behind) -> None:
    behind.edge.publish(ALICE, RouteState.HELD, hold_s=20.0)
    waiting = []
    try:
        for number in range(10):
            connection = behind.edge.connect(source=PROXY)
            waiting.append(connection)
            head = (
                f"GET / HTTP/1.1\r\nHost: {ALICE}\r\nX-Forwarded-For: 203.0.113.{number}\r\nConnection: close\r\n\r\n"
            )
            connection.sendall(head.encode())
        behind.edge.running(ALICE, behind.upstream)
        assert {parse_response(read_to_end(connection)).status for connection in waiting} == {200}
    finally:
        for connection in waiting:
            connection.close()
