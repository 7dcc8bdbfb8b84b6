"""A website's HTTP password at the edge: who passes, what it covers, and what guessing does to others."""

import base64
import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from edge_fixtures import DOMAIN, Response, RunningEdge, Upstream, WeakenedEdge, answer, parse_response, replying

from hostel.panel.websites.password_hash import hash_password
from hostel.wire.http_users import check_http_users
from hostel.wire.route import RouteState
from hostel.wire.static_files import StaticMapping

ALICE, BOB = f"alice.{DOMAIN}", f"bob.{DOMAIN}"
USERS = {"guest": hash_password("correct horse"), "zo\u00eb": hash_password("p:\u00e4ss")}
UPGRADE = ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")


def basic(text: str) -> str:
    return f"Authorization: Basic {base64.b64encode(text.encode()).decode()}"


RIGHT, WRONG = basic("guest:correct horse"), basic("guest:correct house")


@pytest.fixture
def site(edge: RunningEdge) -> Iterator[Upstream]:
    """A name of its own for each test: guesses are counted by name."""
    upstream = edge.upstream("run-password", replying(answer("the website")))
    yield upstream
    edge.loop.run(upstream.stop())


def is_asked(found: Response, host: str = ALICE) -> bool:
    assert "the website" not in found.body.decode(errors="replace")
    asked = f'Basic realm="{host}", charset="UTF-8"'
    return (found.status, found.headers.get("www-authenticate"), found.headers["hostel-error-code"]) == (
        401,
        asked,
        "password_required",
    )


def test_who_knows_a_name_and_its_password_passes_and_the_website_learns_neither(
    edge: RunningEdge, site: Upstream
) -> None:
    check_http_users(USERS)
    edge.running(ALICE, site, http_users=USERS)
    for credentials in (RIGHT, RIGHT, basic("zo\u00eb:p:\u00e4ss"), RIGHT.replace("Basic", "bAsIc")):
        assert edge.get(ALICE, "/", credentials).body == b"the website"
    assert all("authorization" not in request.headers for request in site.requests)
    assert edge.log_lines(ALICE)[-1].split(" ")[2] == "guest"
    assert edge.get(ALICE, "/", RIGHT, tls=ALICE).body == b"the website"
    edge.running(ALICE, site)  # control: without a password the website gets what was sent
    assert edge.get(ALICE, "/", RIGHT).body == b"the website"
    assert site.requests[-1].headers["authorization"] == RIGHT.partition(": ")[2]


@pytest.mark.parametrize(
    "credentials",
    [
        "Authorization: Basic",
        "Authorization: Basic !!!",
        "Authorization: Bearer abc",
        "Authorization: Basic " + base64.b64encode(b"guest").decode(),
        "Authorization: Basic " + base64.b64encode(b"guest:correct horse\0x").decode(),
        basic("guest:"),
        basic(":"),
        basic("nobody:correct horse"),
        basic("guest:" + "x" * 5000),
        basic("guest:" + USERS["guest"]),
    ],
)
def test_nothing_else_passes(edge: RunningEdge, site: Upstream, credentials: str) -> None:
    host = f"odd{abs(hash(credentials))}.{DOMAIN}"
    edge.running(host, site, http_users=USERS)
    time.sleep(0.05)  # of one second 30 hashes are computed for all websites together
    assert is_asked(edge.get(host, "/", credentials), host)
    assert site.requests == []


def test_a_change_of_passwords_holds_at_once(edge: RunningEdge, site: Upstream) -> None:
    host = f"changes.{DOMAIN}"
    edge.running(host, site, http_users=USERS)
    assert edge.get(host, "/", RIGHT).status == 200
    edge.running(host, site, http_users={"guest": hash_password("another")})
    assert is_asked(edge.get(host, "/", RIGHT), host)
    assert edge.get(host, "/", basic("guest:another")).status == 200
    edge.running(host, site)
    assert edge.get(host).status == 200
    with pytest.raises(Exception, match="http_users"):
        edge.running(host, site, http_users={"guest": "$1$abc$def"})


def test_b16_a_password_covers_all_of_a_website(edge: RunningEdge, site: Upstream) -> None:
    """Static files, WebSockets, every method, address and protocol, and a website that sleeps or has failed."""
    file = edge.paths.homes / "alice" / "x.txt"
    file.parent.mkdir(parents=True)
    edge.paths.state.chmod(0o711)
    file.write_text("the website's file")
    mapping = StaticMapping(url="/x.txt", path=str(file))
    host = f"covered.{DOMAIN}"
    fields = {"http_users": USERS, "static_files": (mapping,)}
    edge.running(host, site, **fields)
    assert edge.get(host, "/x.txt", RIGHT).body == b"the website's file"  # control
    for path in ("/", "/x.txt", "//x.txt", "/.well-known/x", f"http://{host}/x.txt", "/a/../x.txt"):
        assert is_asked(edge.get(host, path), host)
    for method in ("HEAD", "POST", "PUT", "OPTIONS", "DELETE"):
        assert edge.send(method, host, "/", body=b"x" * 10 if method in ("POST", "PUT") else b"").status == 401
    upgraded = edge.raw("\r\n".join([f"GET / HTTP/1.1\r\nHost: {host}", *UPGRADE, "", ""]).encode(), until=b"</html>")
    assert is_asked(parse_response(upgraded), host)
    url = f"https://{host}:{edge.https_port}/x.txt"
    command = ["curl", "-sk", "--http2", "--resolve", f"{host}:{edge.https_port}:127.0.0.1", "-o", "/dev/null"]
    command += ["-w", "%{http_version} %{http_code}", url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stdout == "2 401"
    for state in (RouteState.HELD, RouteState.FAILED):
        edge.publish(host, state, **fields)
        assert is_asked(edge.get(host), host)
    assert site.requests == []
    assert edge.status(host).held_total == 0  # and nobody wakes a website without the password


def test_b16_wrong_guesses_are_throttled_and_those_who_are_known_notice_nothing(
    edge: RunningEdge, site: Upstream
) -> None:
    host = f"guessed.{DOMAIN}"
    edge.running(host, site, http_users=USERS)
    assert edge.get(host, "/", RIGHT).status == 200
    codes = [guess(edge, host, "127.0.0.2", number) for number in range(14)]
    refused = codes.index("too_many_guesses")
    assert 10 <= refused <= 12  # ten a minute, and the minute may change meanwhile
    assert set(codes[:10]) == {"password_required"}
    assert edge.get(host, "/", RIGHT).status == 200
    assert guess(edge, host, "127.0.0.3", 0) == "password_required"  # another address has its own
    with edge.connect(source="127.0.0.2") as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{RIGHT}\r\n\r\n".encode())
        assert b"the website" in connection.makefile("rb").read()


def guess(edge: RunningEdge, host: str, source: str, number: int) -> str:
    time.sleep(0.1)  # ten a second are computed for one website
    return ask_from(edge, host, source, basic(f"guest:{number}")).headers["hostel-error-code"]


def ask_from(edge: RunningEdge, host: str, source: str, *extra: str) -> Response:
    with edge.connect(source=source) as connection:
        lines = [f"GET / HTTP/1.1\r\nHost: {host}", "Connection: close", *extra, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        return parse_response(connection.makefile("rb").read())


FLOOD_S = 1.5


def flooded_waits_ms(edge: RunningEdge, site: Upstream) -> list[float]:
    """How long a neighbour's visitors wait while many addresses guess at once."""
    edge.running(BOB, site)
    host = f"flooded.{DOMAIN}"
    edge.running(host, site, http_users=USERS)
    stop = threading.Event()

    def flood(number: int) -> None:
        guesses = 0
        while not stop.is_set():
            guesses += 1
            with contextlib.suppress(OSError):
                ask_from(edge, host, f"127.0.{number}.{guesses % 200 + 2}", basic(f"guest:{number}-{guesses}"))

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    waits = []
    try:
        end = time.monotonic() + FLOOD_S
        while time.monotonic() < end:
            began = time.perf_counter()
            assert edge.get(BOB).status == 200
            waits.append((time.perf_counter() - began) * 1000)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return sorted(waits)


def test_b16_a_flood_of_guesses_computes_few_hashes(edge: RunningEdge, site: Upstream) -> None:
    before = edge.status().refused.get("password_required", 0)
    waits = flooded_waits_ms(edge, site)
    assert len(waits) > 20
    computed = edge.status(f"flooded.{DOMAIN}").refused["password_required"]
    assert computed <= (FLOOD_S + 2) * 10
    assert edge.status().refused["password_required"] == before + computed
    refused = edge.status(f"flooded.{DOMAIN}").refused["too_many_guesses"]
    assert refused > computed


def test_b16_without_the_limits_every_guess_is_computed() -> None:
    """Control: the same flood, the limits taken out."""
    lua = "lua/hostel/password.lua"
    changes = [(lua, "HASHES_A_SECOND = 10", "HASHES_A_SECOND = 1e9"), (lua, "SECOND = 30", "SECOND = 1e9")]
    with WeakenedEdge(*changes) as edge:
        upstream = edge.upstream("run-password", replying(answer("the website")))
        flooded_waits_ms(edge, upstream)
        assert edge.status(f"flooded.{DOMAIN}").refused["password_required"] > (FLOOD_S + 2) * 10
