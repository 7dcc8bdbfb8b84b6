"""Which website answers, what it is told about the request, and what visitors see where no website answers."""

import re
import socket
import ssl
import subprocess
from collections.abc import Iterator

import pytest
from cryptography import x509
from edge_fixtures import (
    DOMAIN,
    RunningEdge,
    Upstream,
    answer,
    make_certificate,
    read_until,
    replying,
    say_length,
)

from hostel.wire.route import RouteState
from waiting import until

ALICE = f"alice.{DOMAIN}"
PAGES = {
    "failed": (502, "Something went wrong"),
    "disabled": (503, "This website is disabled"),
    "suspended": (503, "This account is suspended"),
    "deleted": (404, "Coming Soon!"),
}


@pytest.fixture
def alice(edge: RunningEdge) -> Iterator[Upstream]:
    upstream = edge.upstream("run-alice", replying(answer("alice")))
    edge.running(ALICE, upstream)
    yield upstream
    edge.loop.run(upstream.stop())


def test_a_website_answers_over_http_and_https(edge: RunningEdge, alice: Upstream) -> None:
    assert edge.get(ALICE).body == b"alice"
    assert edge.get(ALICE, tls=ALICE).body == b"alice"
    assert [request.headers["host"] for request in alice.requests] == [
        f"{ALICE}:{edge.http_port}",
        f"{ALICE}:{edge.https_port}",
    ]
    assert [request.headers["x-forwarded-proto"] for request in alice.requests] == ["http", "https"]
    assert edge.status(ALICE).held_total == 0


def test_a_website_answers_over_http_2(edge: RunningEdge, alice: Upstream) -> None:
    address = f"{ALICE}:{edge.https_port}:127.0.0.1"
    url = f"https://{ALICE}:{edge.https_port}/x"
    command = ["curl", "-sk", "--http2", "--resolve", address, "-d", "a=b", "-w", " %{http_version}", url]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    assert result.stdout == "alice 2"
    assert (alice.requests[0].line, alice.requests[0].body) == ("POST /x HTTP/1.1", b"a=b")


def test_the_raw_path_reaches_the_website(edge: RunningEdge, alice: Upstream) -> None:
    for path in ("//hostel/page", "/a//b/../c", "/a/%2e%2e%2fx", "/hostel/page?a=%20b"):
        assert edge.get(ALICE, path).body == b"alice"
        assert alice.requests[-1].line == f"GET {path} HTTP/1.1"


@pytest.mark.parametrize("state", PAGES)
def test_pages_of_states(edge: RunningEdge, state: str) -> None:
    domain = f"{state}.{DOMAIN}"
    edge.publish(domain, RouteState(state))
    response = edge.get(domain)
    status, heading = PAGES[state]
    assert response.status == status
    assert f"<h1>{heading}</h1>".encode() in response.body
    assert response.headers["cache-control"] == "no-store"
    assert not re.search(rb"src=|<link|url\(|@import", response.body), "a page needs nothing else"


def test_a_deleted_website_comes_back(edge: RunningEdge, alice: Upstream) -> None:
    domain = f"again.{DOMAIN}"
    assert edge.get(domain).status == 404
    edge.running(domain, alice)
    assert edge.get(domain).status == 200
    edge.publish(domain, RouteState.DELETED)
    assert edge.get(domain).status == 404
    edge.running(domain, alice)
    assert edge.get(domain).status == 200


def test_a_refused_post_leaves_no_body_on_the_connection(edge: RunningEdge, alice: Upstream) -> None:
    smuggled = f"GET /smuggled HTTP/1.1\r\nHost: {ALICE}\r\n\r\n".encode()
    head = f"POST / HTTP/1.1\r\nHost: nobody.{DOMAIN}\r\nContent-Length: {len(smuggled)}\r\n\r\n".encode()
    following = f"GET /following HTTP/1.1\r\nHost: {ALICE}\r\nConnection: close\r\n\r\n".encode()
    reply = edge.raw(head + smuggled + following)
    assert reply.startswith(b"HTTP/1.1 404 ")
    assert reply.endswith(b"\r\n\r\nalice")
    assert [request.line for request in alice.requests] == ["GET /following HTTP/1.1"]


def test_a_body_that_comes_after_its_refusal_is_no_request(edge: RunningEdge, alice: Upstream) -> None:
    smuggled = f"GET /smuggled HTTP/1.1\r\nHost: {ALICE}\r\n\r\n".encode()
    with edge.connect() as connection:
        head = f"POST / HTTP/1.1\r\nHost: nobody.{DOMAIN}\r\nContent-Length: {len(smuggled)}\r\n\r\n"
        connection.sendall(head.encode())
        read_until(connection, b"</html>\n")
        connection.sendall(smuggled + f"GET /following HTTP/1.1\r\nHost: {ALICE}\r\n\r\n".encode())
        read_until(connection, b"\r\n\r\nalice")
    assert [request.line for request in alice.requests] == ["GET /following HTTP/1.1"]


def test_the_access_log_to_the_byte(edge: RunningEdge) -> None:
    domain = f"logged.{DOMAIN}"
    upstream = edge.upstream("run-logged", replying(answer("x" * 32)))
    edge.running(domain, upstream)
    edge.get(domain, "/a?b=c", "User-Agent: Mozilla/5.0", "Referer: https://there.example/")
    edge.get(domain, "/", 'User-Agent: a"b\x1b', "X-Forwarded-For: 6.6.6.6")
    first, second = edge.log_lines(domain)
    peer = r"127\.0\.0\.1"
    time = r"\[\d\d/[A-Z][a-z]{2}/20\d\d:\d\d:\d\d:\d\d \+0000\]"
    assert re.fullmatch(
        rf'127\.0\.0\.1 - - {time} "GET /a\?b=c HTTP/1\.1" 200 32 "https://there\.example/" "Mozilla/5\.0"'
        r' "127\.0\.0\.1" response-time=\d+\.\d{3}',
        first,
    )
    assert re.fullmatch(
        rf'{peer} - - {time} "GET / HTTP/1\.1" 200 32 "-" "a\\x22b\\x1B" "{peer}" response-time=\d+\.\d{{3}}',
        second,
    )


def test_g1_the_panels_log_has_no_queries(edge: RunningEdge) -> None:
    """Positive control: the log of every other website has them, see above."""
    domain = f"www.{DOMAIN}"
    edge.running(domain, edge.upstream("run-www", replying(answer("x"))))
    edge.get(domain, "/a/b?token=secret&x=1", "Referer: https://there.example/c?token=secret")
    edge.get(domain, "/")
    first, second = edge.log_lines(domain)
    assert '"GET /a/b HTTP/1.1" 200 1 "https://there.example/c" "-"' in first
    assert '"GET / HTTP/1.1" 200 1 "-" "-"' in second


def test_refusals_of_nginx_itself_are_in_the_website_s_log(edge: RunningEdge, alice: Upstream) -> None:
    domain = f"large.{DOMAIN}"
    edge.running(domain, alice)
    head = f"POST /big HTTP/1.1\r\nHost: {domain}\r\nContent-Length: 104857601\r\n\r\n"
    edge.raw(head.encode(), until=b"</html>")
    until(lambda: edge.log_lines(domain), what="the log line")
    (line,) = edge.log_lines(domain)
    assert re.search(r'"POST /big HTTP/1.1" 413 \d{4} ', line)


def test_unknown_names_are_not_logged(edge: RunningEdge) -> None:
    before = sorted(edge.paths.log.rglob("*"))
    assert edge.get(f"unlogged.{DOMAIN}").status == 404
    assert sorted(edge.paths.log.rglob("*")) == before


def test_a_body_is_read_whole_before_it_is_sent(edge: RunningEdge) -> None:
    upstream = edge.upstream("run-body", say_length)
    edge.running(f"body.{DOMAIN}", upstream)
    body = bytes(range(256)) * 4096
    assert edge.send("POST", f"body.{DOMAIN}", "/", body=body).body == b"1048576"
    assert upstream.requests[0].body == body


def test_location_headers_pass_unchanged(edge: RunningEdge) -> None:
    reply = answer("", "Location: http://website/x", status="302 Found")
    edge.running(f"moved.{DOMAIN}", edge.upstream("run-moved", replying(reply)))
    assert edge.get(f"moved.{DOMAIN}").headers["location"] == "http://website/x"


def test_a_website_s_own_errors_pass_unchanged(edge: RunningEdge) -> None:
    for status in ("404 Not Found", "502 Bad Gateway", "503 Service Unavailable", "413 Too Large"):
        upstream = edge.upstream("run-errors", replying(answer("mine", status=status)))
        edge.running(f"errors.{DOMAIN}", upstream)
        response = edge.get(f"errors.{DOMAIN}")
        assert (response.status, response.body) == (int(status[:3]), b"mine")
        edge.loop.run(upstream.stop())


def leaf(connection: socket.socket) -> x509.Certificate:
    assert isinstance(connection, ssl.SSLSocket)
    der = connection.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def served_name(edge: RunningEdge, server_name: str) -> str:
    with edge.connect(tls=server_name) as connection:
        return str(leaf(connection).subject.rfc4514_string())


def test_the_certificate_is_chosen_by_name_and_replaced_while_running(edge: RunningEdge, alice: Upstream) -> None:
    assert served_name(edge, ALICE) == f"CN={DOMAIN}"
    assert served_name(edge, "shop.example") == f"CN={DOMAIN}"
    make_certificate(edge.paths.certificates, "shop.example", "shop.example", "*.shop.example")
    edge.call(lambda agent: agent.push_certificate("shop.example"))
    for name in ("shop.example", "SHOP.example", "www.shop.example"):
        assert served_name(edge, name) == "CN=shop.example"
    assert served_name(edge, "a.b.shop.example") == f"CN={DOMAIN}"
    make_certificate(edge.paths.certificates, "shop.example", "new.shop.example", "shop.example")
    edge.call(lambda agent: agent.push_certificate("shop.example"))
    assert served_name(edge, "shop.example") == "CN=new.shop.example"
    assert served_name(edge, "www.shop.example") == f"CN={DOMAIN}"


def test_the_sites_certificate_is_renewed_while_running(edge: RunningEdge, alice: Upstream) -> None:
    with edge.connect(tls=ALICE) as connection:
        before = leaf(connection).serial_number
    make_certificate(edge.paths.certificates, "sites", DOMAIN, f"*.{DOMAIN}")
    edge.call(lambda agent: agent.push_certificate("sites"))
    for server_name in (ALICE, ""):
        with edge.connect(tls=server_name) as connection:
            assert leaf(connection).serial_number != before
    assert edge.get(ALICE, tls=ALICE).body == b"alice"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3(edge: RunningEdge, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", edge.https_port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=ALICE) as secured,
    ):
        assert secured.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2"}.get(version, "TLSv1.3")
