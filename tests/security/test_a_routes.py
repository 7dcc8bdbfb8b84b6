"""A10, A11, A13 to A21 and A23: which website a request reaches, and what the edge's memory of routes withstands."""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import socket
from collections.abc import Iterator

import pytest
from edge_fixtures import (
    DOMAIN,
    Request,
    RunningEdge,
    Upstream,
    WeakenedEdge,
    answer,
    in_background,
    make_certificate,
    parse_response,
    read_to_end,
    replying,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostel.wire.codec import to_jsonable
from hostel.wire.route import RouteRecord, RouteState
from waiting import until

ALICE = f"alice.{DOMAIN}"
ACCESS, HOLD, ROUTES = "lua/hostel/access.lua", "lua/hostel/hold.lua", "lua/hostel/routes.lua"
ANY_HOST = (ROUTES, r"local DOMAIN = [[\A", r"local DOMAIN = [[\A.*\z|")


@pytest.fixture
def alice(edge: RunningEdge) -> Iterator[Upstream]:
    upstream = serve_alice(edge)
    yield upstream
    edge.loop.run(upstream.stop())


def serve_alice(edge: RunningEdge) -> Upstream:
    upstream = edge.upstream("run-alice", replying(answer("alice")))
    edge.running(ALICE, upstream)
    return upstream


# -- A10, A11: websites that do not take what they are sent


@contextlib.contextmanager
def full_backlog(edge: RunningEdge, name: str) -> Iterator[tuple[str, socket.socket]]:
    """A website that listens and accepts nothing, and whose queue of connections is full; and its listening socket."""
    path = edge.paths.sockets / "1" / name / "app.sock"
    path.parent.mkdir(parents=True)
    path.parent.parent.chmod(0o755)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(1)
        path.chmod(0o666)
        for _ in range(2):  # the kernel takes one more than it was told
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        edge.publish(f"{name}.{DOMAIN}", RouteState.RUNNING, run=name, endpoint=f"unix:{path}")
        yield f"{name}.{DOMAIN}", listener


def test_a10_a_full_backlog_is_a_503_of_its_own_and_soon(edge: RunningEdge, alice: Upstream) -> None:
    with full_backlog(edge, "full") as (domain, _), contextlib.ExitStack() as stack:
        responses = [stack.enter_context(in_background(lambda: edge.get(domain))) for _ in range(20)]
        until(lambda: edge.status(domain).held, what="they are tried again for a moment")
        assert edge.get(ALICE).body == b"alice"
        answers = [response() for response in responses]
        assert {(each.status, each.headers["hostel-error-code"]) for each in answers} == {(503, "backlog_full")}
        assert {each.headers["retry-after"] for each in answers} == {"5"}
        assert edge.status(domain).refused == {"backlog_full": 20}
        assert edge.bound("full") == (0, 0)


def test_a10_a_moment_of_a_full_backlog_costs_nothing(edge: RunningEdge) -> None:
    with full_backlog(edge, "moment") as (domain, listener), in_background(lambda: edge.get(domain)) as response:
        until(lambda: edge.status(domain).held, what="it is refused once")
        for _ in range(2):
            listener.accept()[0].close()
        while True:  # the edge's own looks come here too
            connection, _ = listener.accept()
            with connection:
                if connection.recv(65536):
                    connection.sendall(answer("at last"))
                    break
        assert response().body == b"at last"


def test_a10_control_taken_for_a_refusal_it_would_be_held_for_long() -> None:
    with (
        WeakenedEdge((HOLD, "local FULL = ", "local FULL = 'not' .. ")) as edge,
        full_backlog(edge, "full") as (domain, _),
        in_background(lambda: edge.get(domain)) as response,
    ):
        with pytest.raises(AssertionError, match="not within"):
            until(lambda: edge.status(domain).refused, what="the answer", deadline_s=1.5)
        edge.publish(domain, RouteState.FAILED)
        assert response().status == 502


def kill_while_answering(edge: RunningEdge) -> Upstream:
    async def die(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    upstream = edge.upstream("run-dies", die)
    edge.running(f"dies.{DOMAIN}", upstream)
    return upstream


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_a11_what_may_have_arrived_is_never_sent_again(edge: RunningEdge, method: str) -> None:
    upstream = kill_while_answering(edge)
    response = edge.send(method, f"dies.{DOMAIN}", "/", body=b"x")
    assert (response.status, response.headers["hostel-error-code"]) == (502, "bad_answer")
    assert len(upstream.requests) == 1


def test_a11_control_with_retries_it_is() -> None:
    """Also the hold must be told that nothing was sent: two layers stand before a second sending."""
    sent = (HOLD, 'return sent ~= nil and sent:match("(%d+)$") == "0"', "return true")
    connected = (HOLD, "return connect_time ~= nil and connect_time:match", "return true or connect_time:match")
    with WeakenedEdge(sent, connected) as edge:
        upstream = kill_while_answering(edge)
        assert edge.send("DELETE", f"dies.{DOMAIN}", "/", body=b"x").status == 502
        assert len(upstream.requests) == 2


# -- A13 to A17: names


@pytest.mark.parametrize("host", [ALICE.upper(), f"{ALICE}.", f"{ALICE}:8443", f"Alice.{DOMAIN}.:1"])
def test_a13_spellings_of_one_name_reach_one_website(edge: RunningEdge, alice: Upstream, host: str) -> None:
    assert edge.get(host).body == b"alice"
    assert alice.requests[0].headers["host"] == f"{ALICE}:{edge.http_port}"


def test_a13_control_by_the_name_as_sent_they_do_not() -> None:
    with WeakenedEdge((ACCESS, 'local domain = get("host")', 'local domain = get("http_host")')) as edge:
        serve_alice(edge)
        assert edge.get(ALICE).status == 200
        assert edge.get(ALICE.upper()).status == edge.get(f"{ALICE}:8443").status == 404


def test_a14_route_and_host_agree_also_with_an_absolute_uri(edge: RunningEdge, alice: Upstream) -> None:
    assert edge.get("bob.invalid", f"http://{ALICE}/p?q=1").body == b"alice"
    assert alice.requests[0].line == "GET /p?q=1 HTTP/1.1"
    assert alice.requests[0].headers["host"] == f"{ALICE}:{edge.http_port}"


def test_a14_control_with_the_header_s_host_they_do_not() -> None:
    with WeakenedEdge(("nginx.conf", "proxy_set_header Host $site_host", "proxy_set_header Host $http_host")) as edge:
        upstream = serve_alice(edge)
        assert edge.get("bob.invalid", f"http://{ALICE}/").body == b"alice"
        assert upstream.requests[0].headers["host"] == "bob.invalid"


HTTP_0_9 = (b"GET /\r\n", f"GET http://{ALICE}/\r\n".encode())


def test_a15_http_0_9_and_requests_without_a_host_reach_nobody(edge: RunningEdge, alice: Upstream) -> None:
    """More of it is in the corpus of test_b_corpus.py."""
    assert [edge.raw(request) for request in HTTP_0_9] == [b"", b""]
    assert b" 404 " in edge.raw(b"GET / HTTP/1.0\r\n\r\n").splitlines()[0]
    assert b" 400 " in edge.raw(b"GET / HTTP/1.1\r\n\r\n").splitlines()[0]
    assert edge.get("_").status == 404  # the text of server_name, which $host is without a Host
    assert not alice.requests


def test_a15_control_without_the_check_http_0_9_is_answered() -> None:
    with WeakenedEdge((ACCESS, "version < 1.0", "version < 0.1")) as edge:
        serve_alice(edge)
        assert b"alice" in edge.raw(HTTP_0_9[1])


ODD_HOSTS = (
    f"nobody.{DOMAIN}", "_", "localhost", "127.0.0.1", '"<b>', "a|b.c", "%2e%2e%2f", "user@alice.c", f"-{ALICE}",
    f"a_b.{DOMAIN}", f"alice..{DOMAIN}", f"{'a' * 64}.{DOMAIN}", f"{'a.' * 50}{DOMAIN}", "[::1]", "\xe4.example",
    "xn--.example", f"alice\t.{DOMAIN}", "$host", "a;b.c", "'.c",
)  # fmt: skip


@pytest.mark.parametrize("host", ODD_HOSTS)
def test_a16_odd_names_are_unknown_and_not_echoed(edge: RunningEdge, host: str) -> None:
    response = edge.get(host)
    assert response.status in (400, 404)
    assert host.encode("latin-1") not in response.body or host in {"_", "localhost"}
    if response.status == 404:
        assert b"Coming Soon!" in response.body


def put_odd_record(edge: RunningEdge) -> str:
    """A record on disk under a name that no website can have."""
    upstream = serve_alice(edge)
    domain = f"a_b.{DOMAIN}"
    record = edge.record(domain, RouteState.RUNNING, run="run-alice", endpoint=f"unix:{upstream.path}")
    file = edge.paths.routes / f"{domain}.json"
    file.write_text(json.dumps(to_jsonable(record)))
    file.chmod(0o644)
    return domain


def test_a16_a_name_outside_the_grammar_is_not_even_looked_up(edge: RunningEdge) -> None:
    assert edge.get(put_odd_record(edge)).status == 404


def test_a16_control_without_the_grammar_it_is() -> None:
    with WeakenedEdge(ANY_HOST) as edge:
        assert edge.get(put_odd_record(edge)).body == b"alice"


def test_a17_names_cannot_leave_the_routes_directory(edge: RunningEdge) -> None:
    """No control: nginx refuses a Host with a slash before any Lua runs, so without the grammar it holds too."""
    (edge.paths.state / "outside.json").write_text('{"serial": 1}')
    for host in ("../outside", "..%2foutside", "x/../../outside", "\\..\\outside", "..", "."):
        assert edge.get(host).status in (400, 404)
    assert "outside" not in edge.errors()


# -- A18 to A20: the route table

SMALL_TABLE = ("nginx.conf", "lua_shared_dict routes 16m", "lua_shared_dict routes 64k")


def flood_with_unknown_names(edge: RunningEdge) -> int:
    """The status that alice's website has afterwards, while only nginx's memory knows its route."""
    serve_alice(edge)
    assert edge.get(ALICE).status == 200
    (edge.paths.routes / f"{ALICE}.json").unlink()
    with edge.connect() as connection:
        replies = connection.makefile("rb")
        for batch in range(30):
            names = (f"u{batch}-{number}.{'x' * 60}.test" for number in range(100))
            connection.sendall(b"".join(f"HEAD / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode() for name in names))
            statuses = 0
            while statuses < 100:
                line = replies.readline()
                assert line, "the edge closed the connection"
                statuses += line.startswith(b"HTTP/1.1 404")
    edge.call(
        lambda control: control.serials([ALICE])
    )  # from now on workers look again: what they remember does not count
    return edge.get(ALICE).status


def test_a18_a_flood_of_unknown_names_evicts_no_route() -> None:
    with WeakenedEdge(SMALL_TABLE) as edge:
        assert flood_with_unknown_names(edge) == 200


def test_a18_control_in_one_dict_with_the_routes_it_does() -> None:
    one_dict = (
        (ROUTES, "unknown:get(domain)", 'routes:get("unknown " .. domain)'),
        (ROUTES, "unknown:set(domain,", 'routes:set("unknown " .. domain,'),
    )
    with WeakenedEdge(SMALL_TABLE, *one_dict) as edge:
        assert flood_with_unknown_names(edge) == 404


def test_a19_killed_workers_cost_only_the_requests_in_their_hands(edge: RunningEdge, alice: Upstream) -> None:
    """No control: the table is in memory that the workers share; test_edge_process.py has the master's death."""
    version = edge.status().version
    for _ in range(5):
        victim = edge.worker_pids()[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda victim=victim: victim not in edge.worker_pids(), what="it is gone")  # type: ignore[misc]
        until(lambda: len(edge.worker_pids()) == os.cpu_count(), what="another worker")
        assert [edge.get(ALICE).body for _ in range(10)] == [b"alice"] * 10
    assert edge.status().version == version


@pytest.mark.parametrize("text", ["", "{", '{"domain": "alice"}', "[]", '"x"', "null", '{"a": ' * 2000])
def test_a20_a_torn_record_leaves_the_last_good_one_serving(edge: RunningEdge, alice: Upstream, text: str) -> None:
    assert edge.get(ALICE).status == 200
    (edge.paths.routes / f"{ALICE}.json").write_text(text)
    assert edge.get(ALICE).body == b"alice"
    torn = f"torn-{abs(hash(text))}.{DOMAIN}"
    (edge.paths.routes / f"{torn}.json").write_text(text)
    (edge.paths.routes / f"{torn}.json").chmod(0o644)
    assert edge.get(torn).status == 502
    assert f"route record of {torn} cannot be used" in edge.errors()


ODD_TEXTS = ["running", "held", ALICE, "unix:/x", "unix:", "1.2.3.4:5", "/etc/passwd", "\n", "x" * 5000]
ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=40),
    st.lists(st.none(), max_size=2),
    st.sampled_from(ODD_TEXTS),
)
FIELDS = (*(field.name for field in dataclasses.fields(RouteRecord)), "other")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(FIELDS), ODD_VALUES, min_size=1, max_size=3))
def test_a20_whatever_a_record_says_the_edge_reads_it_or_refuses_it(
    edge: RunningEdge, alice: Upstream, changes: dict[str, object]
) -> None:
    """A file with one odd record, asked for by a visitor: an answer of the edge's own, and alice is served on."""
    domain = f"odd-{edge.serial}.{DOMAIN}"
    record = to_jsonable(edge.record(domain, RouteState.RUNNING, run="r", endpoint="unix:/nowhere", hold_s=0.01))
    file = edge.paths.routes / f"{domain}.json"
    file.write_text(json.dumps(record | {"hold_s": 0.01} | changes))
    file.chmod(0o644)
    status = edge.get(domain).status if not has_to_wait(changes) else 502
    assert status in (308, 404, 502, 503)
    assert status != 308 or True in (changes.get("is_redirect"), changes.get("force_https"))
    assert edge.get(ALICE).body == b"alice"
    assert "hold: " not in edge.errors()
    assert "access: " not in edge.errors()


def has_to_wait(changes: dict[str, object]) -> bool:
    """A long time to hold is a good value, but nothing that a test could wait for."""
    hold_s = changes.get("hold_s", 0)
    return not isinstance(hold_s, bool) and isinstance(hold_s, int | float) and hold_s > 0.1


# -- A21: certificates and names


def serve_two_certificates(edge: RunningEdge) -> None:
    upstream = serve_alice(edge)
    make_certificate(edge.paths.certificates, "alone.example", "alone.example")
    edge.call(lambda agent: agent.push_certificate("alone.example"))
    edge.running("alone.example", upstream)
    edge.running("both.example", upstream)


def test_a21_a_connection_serves_the_names_of_its_certificate_only(edge: RunningEdge) -> None:
    serve_two_certificates(edge)
    assert edge.get(ALICE, tls=f"bob.{DOMAIN}").status == 200  # one certificate: browsers do share the connection
    assert edge.get(ALICE, tls="").status == 200
    assert edge.get("alone.example", tls="alone.example").status == 200
    assert edge.get("both.example", tls="both.example").status == 200  # no certificate, but nobody is misled
    for host, server_name in (("alone.example", ALICE), (ALICE, "alone.example"), ("both.example", "alone.example")):
        misdirected = edge.get(host, tls=server_name)
        assert (misdirected.status, misdirected.headers["hostel-error-code"]) == (421, "misdirected"), host


def test_a21_control_without_the_check_it_serves_any() -> None:
    with WeakenedEdge(
        (ACCESS, "if is_https and is_misdirected(domain)", "if false and is_misdirected(domain)")
    ) as edge:
        serve_two_certificates(edge)
        assert edge.get("alone.example", tls=ALICE).status == 200


# -- A23: visitors who leave


def hold_and_leave(edge: RunningEdge, count: int = 60) -> str:
    domain = f"left.{DOMAIN}"
    edge.publish(domain, RouteState.HELD)
    connections = [edge.connect() for _ in range(count)]
    for connection in connections:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode())
    until(lambda: edge.status(domain).held == count, what="all are held")
    for connection in connections:
        connection.close()
    return domain


def test_a23_visitors_who_leave_are_no_longer_held(edge: RunningEdge) -> None:
    domain = hold_and_leave(edge)
    until(lambda: edge.status(domain).held == 0, what="none is held", deadline_s=8)
    upstream = edge.upstream("run-left", replying(answer("up")))
    edge.running(domain, upstream)
    assert edge.get(domain).body == b"up"
    assert len(upstream.requests) == 1


def test_a23_control_unwatched_they_are_held_on() -> None:
    with WeakenedEdge(("nginx.conf", "lua_check_client_abort on", "lua_check_client_abort off")) as edge:
        domain = hold_and_leave(edge, 5)
        with pytest.raises(AssertionError, match="not within"):
            until(lambda: edge.status(domain).held < 5, what="one is gone", deadline_s=1.0)


def test_a_kept_connection_goes_on_after_a_refusal(edge: RunningEdge, alice: Upstream) -> None:
    """The control of many tests here: what was refused leaves nothing behind on the connection."""
    requests = (
        f"GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\nGET / HTTP/1.1\r\nHost: {ALICE}\r\nConnection: close\r\n\r\n"
    )
    with edge.connect() as connection:
        connection.sendall(requests.encode())
        assert parse_response(read_to_end(connection)).body.endswith(b"alice")
