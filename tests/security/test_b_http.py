"""B1 to B7, B10, B11, B13, B17 and B19: what a website may say, and what a visitor may, over HTTP."""

import contextlib
import re
import time
from collections.abc import Iterator

import pytest
from edge_fixtures import (
    DOMAIN,
    Request,
    Response,
    RunningEdge,
    Upstream,
    WeakenedEdge,
    answer,
    in_background,
    parse_response,
    read_to_end,
    replying,
)

from hostel.wire.route import RouteState
from waiting import until

ALICE = f"alice.{DOMAIN}"
FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"
HEADER_FILTER = ("nginx.conf", 'header_filter_by_lua_block { require("hostel.header_filter")() }', "")
IGNORE_HEADERS = (
    "nginx.conf",
    "proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Charset;",
    "",
)


@pytest.fixture
def alice(edge: RunningEdge) -> Iterator[Upstream]:
    upstream = edge.upstream("run-alice", replying(answer("alice")))
    edge.running(ALICE, upstream)
    yield upstream
    edge.loop.run(upstream.stop())


def serve(edge: RunningEdge, name: str, reply: bytes, **fields: float) -> str:
    """A website that sends `reply`, byte for byte, to every request; returns its domain."""
    domain = f"{name}.{DOMAIN}"
    edge.running(domain, edge.upstream(f"run-{name}", replying(reply)), **fields)
    return domain


# -- B1, B3: headers that nginx would obey

LONG = "y" * 100_000
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


def through_location(edge: RunningEdge, location: str, reply: bytes) -> Response:
    """What a visitor gets of `reply` when the request reaches the website by way of `location`."""
    name = f"accel-{time.monotonic_ns()}"
    domain = f"{name}.{DOMAIN}"
    upstream = edge.upstream(name, replying(reply))
    if location == "/":
        edge.running(domain, upstream)
        return edge.get(domain)
    if location == "@spread":
        edge.running(domain, upstream, spread_from=time.time(), spread_s=0.02)
        return parse_response(edge.raw(f"GET / HTTP/1.1\r\nHost: {domain}\r\nUpgrade: websocket\r\n"
                                       "Connection: Upgrade, close\r\n\r\n".encode()))  # fmt: skip
    edge.publish(domain, RouteState.HELD)
    with in_background(lambda: edge.get(domain)) as response:
        until(lambda: edge.status(domain).held == 1, what="it is held")
        edge.running(domain, upstream)
        return response()


LOCATIONS = ("/", "@hold", "@spread")


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("target", ["//hostel/page", "@hold", "/other"])
def test_b1_a_redirect_inside_the_edge_is_not_obeyed(edge: RunningEdge, location: str, target: str) -> None:
    response = through_location(edge, location, answer("mine", f"X-Accel-Redirect: {target}"))
    assert (response.status, response.body) == (200, b"mine")
    assert not [name for name in response.headers if name.startswith("x-accel")]


@pytest.mark.parametrize("location", LOCATIONS)
def test_b3_a_website_cannot_slow_down_its_own_answer(edge: RunningEdge, location: str) -> None:
    headers = ("X-Accel-Limit-Rate: 1", "X-Accel-Buffering: yes", "X-Accel-Charset: koi8-r", "X-Accel-Expires: 9")
    began = time.monotonic()
    response = through_location(edge, location, answer(LONG, *headers))
    assert (response.status, response.body.decode()) == (200, LONG)
    assert time.monotonic() - began < 5
    assert "koi8" not in response.headers.get("content-type", "")


def test_b1_b3_control_without_the_directive_they_are_obeyed() -> None:
    with WeakenedEdge(IGNORE_HEADERS) as edge:
        for location in LOCATIONS:
            response = through_location(edge, location, answer("mine", "X-Accel-Redirect: //hostel/page"))
            assert response.body != b"mine", location
        domain = serve(edge, "slow", answer(LONG, "X-Accel-Limit-Rate: 1", "X-Accel-Buffering: yes"))
        with edge.connect() as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode())
            connection.settimeout(1)
            received = 0
            with contextlib.suppress(TimeoutError):
                while part := connection.recv(65536):
                    received += len(part)
            assert received < len(LONG)


# -- B4, B5, B6: replies that would become the next response of a shared connection

FORGERIES = {
    "b4_103": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + FORGED,
    "b4_100": b"HTTP/1.1 100 Continue\r\n\r\n" + FORGED,
    "b4_099": b"HTTP/1.1 099 Odd\r\n\r\n" + FORGED,
    "b6_101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + FORGED,
    "b5_http_0_9": b"no status line at all\r\n\r\n" + FORGED,
    "b5_binary": b"\x00\x01\x02\r\n\r\n" + FORGED,
}


def forge(edge: RunningEdge, name: str, *, tls: bool) -> bytes:
    """All that a visitor on a kept connection gets of a forged reply, until it is closed or nothing more comes."""
    domain = serve(edge, f"forged-{name.replace('_', '-')}-{tls:d}", FORGERIES[name])
    with edge.connect(tls=domain if tls else None) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode())
        return read_to_end(connection)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_reply_gives_no_byte_and_a_closed_connection(edge: RunningEdge, name: str, tls: bool) -> None:
    assert forge(edge, name, tls=tls) == b""
    edge.wait_unbound(f"run-forged-{name.replace('_', '-')}-{tls:d}")


def test_b4_b5_b6_control_without_the_filter_they_reach_the_visitor() -> None:
    with WeakenedEdge(HEADER_FILTER) as edge:
        for name, reply in FORGERIES.items():
            domain = serve(edge, f"forged-{name.replace('_', '-')}", reply)
            edge.raw(f"GET / HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode(), until=b"POISON")


# -- B7: protocols that would be a tunnel

H2C = ("h2c", "websocket, h2c", "h2c,websocket", "WebSocketX", "websocket\t,h2c")


def send_upgrade(edge: RunningEdge, upstream: Upstream, upgrade: str) -> Request:
    headers = (f"Upgrade: {upgrade}", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__")
    edge.get(ALICE, "/", *headers)
    return upstream.requests[-1]


@pytest.mark.parametrize("upgrade", H2C)
def test_b7_no_protocol_but_websocket_is_passed_on(edge: RunningEdge, alice: Upstream, upgrade: str) -> None:
    seen = send_upgrade(edge, alice, upgrade)
    assert "upgrade" not in seen.headers
    assert "connection" not in seen.headers
    assert send_upgrade(edge, alice, "websocket").headers["upgrade"] == "websocket"


def test_b7_control_with_a_map_that_lets_all_pass_they_arrive() -> None:
    with WeakenedEdge(("nginx.conf", 'map $http_upgrade $websocket {\n        default "";',
                       "map $http_upgrade $websocket {\n        default $http_upgrade;")) as edge:  # fmt: skip
        upstream = edge.upstream("run-alice", replying(answer("alice")))
        edge.running(ALICE, upstream)
        assert send_upgrade(edge, upstream, "h2c").headers["upgrade"] == "h2c"


# -- B10, B11: who the website believes the visitor to be

FORWARDED = ("X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port",
             "Forwarded", "Proxy")  # fmt: skip


def test_b10_forwarding_headers_are_set_never_appended(edge: RunningEdge, alice: Upstream) -> None:
    edge.get(ALICE, "/", *(f"{name}: 6.6.6.6" for name in FORWARDED), "X_Forwarded_For: 6.6.6.6", "X_Real_IP: 6.6.6.6")
    seen = alice.requests[0].headers
    assert "6.6.6.6" not in seen.values()
    assert (seen["x-forwarded-for"], seen["x-real-ip"]) == ("127.0.0.1", "127.0.0.1")
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("http", seen["host"])
    assert not {"forwarded", "proxy", "x-forwarded-port", "x_real_ip"} & set(seen)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("proxy_set_header X-Forwarded-For $remote_addr;", "x-forwarded-for"),
        ("proxy_set_header X-Real-IP $remote_addr;", "x-real-ip"),
        ("proxy_set_header Forwarded \"\";", "forwarded"),
        ("proxy_set_header Proxy \"\";", "proxy"),
    ],
)  # fmt: skip
def test_b10_control_without_its_line_a_header_is_believed(line: str, shown: str) -> None:
    with WeakenedEdge(("nginx.conf", line, "")) as edge:
        upstream = edge.upstream("run-alice", replying(answer("alice")))
        edge.running(ALICE, upstream)
        edge.get(ALICE, "/", *(f"{name}: 6.6.6.6" for name in FORWARDED))
        assert upstream.requests[0].headers[shown] == "6.6.6.6"


@pytest.mark.parametrize("connection", ["close, X-Real-IP", "X-Forwarded-For, close", "host, close"])
def test_b11_a_connection_header_hides_nothing_from_the_website(
    edge: RunningEdge, alice: Upstream, connection: str
) -> None:
    """No control: nginx knows no hop-by-hop headers that a client names; the test watches that it stays so."""
    raw = f"GET / HTTP/1.1\r\nHost: {ALICE}\r\nConnection: {connection}\r\n\r\n"
    edge.raw(raw.encode(), until=b"alice")
    seen = alice.requests[0].headers
    assert (seen["x-real-ip"], seen["x-forwarded-for"]) == ("127.0.0.1", "127.0.0.1")
    assert seen["host"] == f"{ALICE}:{edge.http_port}"
    assert "connection" not in seen


# -- B13: sizes, each side of the boundary


def test_b13_sizes_have_limits_and_pages(edge: RunningEdge, alice: Upstream) -> None:
    def shown(response: Response) -> tuple[int, str | None]:
        return response.status, response.headers.get("hostel-error-code")

    assert edge.get(ALICE, "/" + "a" * 15_000).status == 200
    assert shown(edge.get(ALICE, "/" + "a" * 20_000)) == (414, "address_too_long")
    assert edge.get(ALICE, "/", "Cookie: " + "a" * 15_000).status == 200
    assert shown(edge.get(ALICE, "/", "Cookie: " + "a" * 20_000)) == (431, "headers_too_large")
    assert edge.get(ALICE, "/", *(f"X-{number}: 1" for number in range(900))).status == 200
    assert edge.get(ALICE, "/", *(f"X-{number}: 1" for number in range(1100))).status in (400, 431)
    for length, status in ((104_857_600, b"100"), (104_857_601, b"413")):
        head = f"POST / HTTP/1.1\r\nHost: {ALICE}\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        assert edge.raw(head.encode(), until=b"\r\n\r\n").split()[1] == status
    assert len(alice.requests) == 3


def test_b13_a_website_s_headers_have_a_limit_too(edge: RunningEdge) -> None:
    too_large = edge.get(serve(edge, "headers", answer("", "X-Large: " + "a" * 20_000)))
    assert (too_large.status, too_large.headers["hostel-error-code"]) == (502, "bad_answer")
    assert edge.status(f"headers.{DOMAIN}").held_total == 0
    assert edge.get(serve(edge, "headers-ok", answer("ok", "X-Large: " + "a" * 12_000))).body == b"ok"


# -- B17: the access log

NASTY = (
    'a"b',
    "a\\b",
    "\x1b[31mred",
    "tab\there",
    "\x7f",
    "ü".encode().decode("latin-1"),
    "$(id)",
    "%0a%0dX",
    "' or 1",
)


def log_nasty_requests(edge: RunningEdge) -> tuple[int, list[str]]:
    """How many requests reached a website, and the lines of its log."""
    domain = f"logged.{DOMAIN}"
    upstream = edge.upstream("run-logged", replying(answer("ok")))
    edge.running(domain, upstream)
    for text in NASTY:
        edge.get(domain, "/", f"User-Agent: {text}", f"Referer: {text}", f"X-Forwarded-For: {text}")
        edge.raw(f"GET /{text} HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\n\r\n".encode("latin-1"))
    log = edge.paths.site_logs / "alice" / f"{domain}.access.log"
    return len(upstream.requests), log.read_bytes().decode("latin-1").split("\n")[:-1]


LINE = re.compile(
    r'127\.0\.0\.1 - - \[[^\]"]+\] "[^"]*" \d{3} \d+ "[^"]*" "[^"]*" "127\.0\.0\.1" response-time=\d+\.\d{3}'
)


def test_b17_each_request_is_one_line_of_printable_ascii(edge: RunningEdge) -> None:
    count, lines = log_nasty_requests(edge)
    assert len(lines) == count > len(NASTY)
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert [line for line in lines if not line.isprintable() or not line.isascii()] == []


def test_b17_control_unescaped_they_are_not() -> None:
    with WeakenedEdge(("nginx.conf", "log_format website ", "log_format website escape=none ")) as edge:
        _, lines = log_nasty_requests(edge)
        assert [line for line in lines if not line.isprintable()]
        assert [line for line in lines if not LINE.fullmatch(line)]


# -- B19: the edge's own answers


def refusals(edge: RunningEdge) -> Iterator[tuple[str, Response]]:
    """Each of the edge's own answers that can be had without waiting, with its code."""
    domain = serve(edge, "plain", answer("ok"))

    def raw(code: str, text: str, *, tls: str | None = None) -> tuple[str, Response]:
        return code, parse_response(edge.raw(text.replace("\n", "\r\n").encode(), tls=tls, until=b"</html>"))

    yield raw("bad_request", "GET / HTTP/1.1\nHost: a b\n\n")
    yield raw("bad_request", "nonsense\n\n")
    yield raw("unknown_website", f"GET / HTTP/1.1\nHost: nobody.{DOMAIN}\n\n")
    yield raw("method_not_allowed", f"TRACE / HTTP/1.1\nHost: {domain}\n\n")
    yield raw("unsupported_coding", f"POST / HTTP/1.1\nHost: {domain}\nTransfer-Encoding: gzip\n\n")
    yield raw("unsupported_version", f"GET / HTTP/3.0\nHost: {domain}\n\n")
    yield raw("body_too_large", f"POST / HTTP/1.1\nHost: {domain}\nContent-Length: 999999999\n\n")
    yield raw("address_too_long", f"GET /{'a' * 20_000} HTTP/1.1\nHost: {domain}\n\n")
    yield raw("headers_too_large", f"GET / HTTP/1.1\nHost: {domain}\nCookie: {'a' * 20_000}\n\n")
    edge.publish("alone.example", RouteState.DISABLED)
    yield raw("misdirected", "GET / HTTP/1.1\nHost: alone.example\n\n", tls=domain)
    for state, code in (("failed", "website_failed"), ("disabled", "website_disabled"), ("deleted", "unknown_website")):
        edge.publish(f"{state}.{DOMAIN}", RouteState(state))
        yield raw(code, f"GET / HTTP/1.1\nHost: {state}.{DOMAIN}\n\n")
    edge.publish(f"held.{DOMAIN}", RouteState.HELD, hold_s=0.05)
    yield raw("not_ready", f"GET / HTTP/1.1\nHost: held.{DOMAIN}\n\n")
    edge.publish(f"held.{DOMAIN}", RouteState.HELD, max_held=0)
    yield raw("too_many_held", f"GET / HTTP/1.1\nHost: held.{DOMAIN}\n\n")
    edge.loop.run(edge.upstream("run-dead", replying(b"")).stop())
    dead = edge.paths.sockets / "1/run-dead/app.sock"
    edge.publish(f"dead.{DOMAIN}", RouteState.RUNNING, run="run-dead", endpoint=f"unix:{dead}", hold_s=0.05)
    yield raw("website_refused", f"GET / HTTP/1.1\nHost: dead.{DOMAIN}\n\n")
    serve(edge, "huge", answer("", "X: " + "a" * 20_000))
    yield raw("bad_answer", f"GET / HTTP/1.1\nHost: huge.{DOMAIN}\n\n")
    serve(edge, "silent", b"", read_timeout_s=1)
    yield raw("no_answer", f"GET / HTTP/1.1\nHost: silent.{DOMAIN}\n\n")
    serve(edge, "full", answer("ok"), max_requests=0, max_websockets=0)
    yield raw("too_many_requests", f"GET / HTTP/1.1\nHost: full.{DOMAIN}\n\n")
    yield raw("too_many_websockets", f"GET / HTTP/1.1\nHost: full.{DOMAIN}\nUpgrade: websocket\n\n")


def test_b19_no_answer_of_the_edge_may_be_cached_and_each_has_its_code(edge: RunningEdge) -> None:
    for code, response in refusals(edge):
        assert response.headers.get("hostel-error-code") == code, (code, response)
        assert response.headers.get("cache-control") == "no-store", code
        assert ("retry-after" in response.headers) == (response.status == 503 and code != "website_disabled"), code
        assert b"<html" in response.body, code


def test_b19_control_without_the_line_they_may() -> None:
    with WeakenedEdge(("lua/hostel/pages.lua", 'header["Cache-Control"] = "no-store"', "")) as edge:
        assert "cache-control" not in edge.get(f"nobody.{DOMAIN}").headers
