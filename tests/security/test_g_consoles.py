"""G9 and G4: who gets to a console's WebSocket. G10: what a hostile console and its keeper can do to the platform."""

import contextlib
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from console_tabs import Tab, form_secret, logged_in, tab_on
from consoles import Console, consoles_of, open_shell
from hostel.wire.console import UnknownConsole
from live import Platform, User
from waiting import until

# In the place of the keeper's socket: answers whoever asks with what it is told to, again and again.
IMPOSTOR = """
import os, socket, sys
os.unlink("/var/sockets/console/app.sock")
server = socket.socket(socket.AF_UNIX)
server.bind("/var/sockets/console/app.sock")
server.listen()
print("impostor", "listens", flush=True)
begin, endless = sys.argv[1].encode().decode("unicode_escape").encode(), len(sys.argv) > 2
while True:
    client, _ = server.accept()
    try:
        client.recv(4096)
        client.sendall(begin)
        while endless:
            client.sendall(b"x" * 65536)
    except OSError:
        pass
    client.close()
"""


@pytest.fixture(scope="module")
def nike(platform: Platform) -> User:
    return platform.add_user("nike")


@pytest.fixture
def api(platform: Platform, nike: User) -> Iterator[httpx.Client]:
    with consoles_of(platform, nike) as api:
        yield api


@pytest.fixture
def console(api: httpx.Client) -> Console:
    return open_shell(api)


@pytest.fixture
def browser(platform: Platform, nike: User) -> Iterator[httpx.Client]:
    with logged_in(platform, nike) as client:
        yield client


def status_of(platform: Platform, user: User, client: httpx.Client, number: object, *, origin: str = "") -> int:
    """What a handshake is answered with; 101 is a WebSocket."""
    try:
        with tab_on(platform, user, client, number, origin=origin):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def test_g9_a_page_from_elsewhere_gets_no_console(
    platform: Platform, nike: User, browser: httpx.Client, console: Console
) -> None:
    own = platform.panel_url.rstrip("/")
    assert status_of(platform, nike, browser, console.id, origin=own) == 101, "the control"
    foreign = [
        platform.url("nike", "").rstrip("/"),  # a neighbour: browsers send it the same site's cookies
        platform.url("www", "", https=False).rstrip("/"),
        f"https://www.{platform.domain}",  # another port
        own.upper(),
        f"{own}.example.org",
        "null",
        "https://example.org",
    ]
    assert {status_of(platform, nike, browser, console.id, origin=origin) for origin in foreign} == {403}


def test_g9_without_a_login_or_with_anothers_there_is_no_console(
    platform: Platform, nike: User, alice: User, browser: httpx.Client, console: Console
) -> None:
    """G4: also not under one's own name with the number of another's."""
    assert status_of(platform, nike, browser, console.id) == 101, "the control"
    with platform.visitor() as nobody, logged_in(platform, alice) as other:
        assert status_of(platform, nike, nobody, console.id) == 403
        assert status_of(platform, nike, other, console.id) == 403
        with tab_on(platform, alice, other, console.id) as tab:
            assert tab.code_of_close() == 1000
            assert (tab.told, tab.shown) == ([{"ended": str(UnknownConsole())}], b"")


@pytest.mark.parametrize("way", ["logout", "suspension"])
def test_g9_the_end_of_a_login_closes_its_tabs(
    platform: Platform, nike: User, browser: httpx.Client, console: Console, way: str
) -> None:
    with logged_in(platform, nike) as second, tab_on(platform, nike, second, console.id) as kept:
        kept.wait_for(b"$")
        with tab_on(platform, nike, browser, console.id) as tab:
            tab.wait_for(b"$")
            if way == "logout":
                secret = form_secret(browser, "user/nike/")
                browser.post("logout/", data={"csrfmiddlewaretoken": secret}, headers={"Referer": platform.panel_url})
                assert tab.code_of_close() == 4401
                kept.type("echo control-$((1 + 1))\n")
                kept.wait_for(b"control-2")
            else:
                try:
                    platform.hostel("user", "suspend", "nike")
                    assert tab.code_of_close() in (1000, 4401)
                finally:
                    platform.hostel("user", "resume", "nike")


def test_g4_consoles_of_others_are_none(platform: Platform, alice: User, console: Console) -> None:
    calls = [("GET", ""), ("DELETE", ""), ("GET", "get_latest_output/"), ("POST", "send_input/")]
    with consoles_of(platform, alice) as api:
        own = open_shell(api)
        assert {console.id} & {each["id"] for each in api.get("").json()} == set()
        for method, path in calls:
            body = {"json": {"input": "x"}} if method == "POST" else {}
            assert api.request(method, f"{console.id}/{path}", **body).status_code == 404
            foreign = f"{platform.panel_url}api/v0/user/nike/consoles/{console.id}/{path}"
            assert api.request(method, foreign, **body).status_code == 403
        own.type("echo control-$((1 + 1))\n")
        own.wait_for("control-2")
    assert console.is_open()


def test_g10_a_hostile_keeper_costs_nobody_but_its_owner(
    platform: Platform, nike: User, browser: httpx.Client, api: httpx.Client
) -> None:
    """Answers that are none, one without an end, and none at all; the platform's own parts stay as small as before."""
    platform.hostel("shell", "nike", "--", "bash", "-c", "cat > impostor.py", stdin=IMPOSTOR)
    before = memory_of(platform)
    for begin, is_endless in (("nonsense", False), ("9" * 60 + "\\n", False), ("0\\n", True), ("5", True)):
        console = open_shell(api)
        with tab_on(platform, nike, browser, console.id) as tab:
            tab.wait_for(b"$")
            words = f"python3 impostor.py '{begin}' {'endless' if is_endless else ''}"
            tab.type(f"{words} &\n")
            tab.wait_for(b"impostor listens")
            answer = api.get(f"{console.id}/get_latest_output/")
            assert answer.status_code == 503
            with contextlib.suppress(TimeoutError), tab_on(platform, nike, browser, console.id) as fooled:
                for _ in range(20):
                    fooled.read(timeout_s=0.1, says_so=False)
        assert api.delete(f"{console.id}/").status_code == 204
    open_shell(api)
    assert memory_of(platform) < before + (64 << 20)


def memory_of(platform: Platform) -> int:
    """Of the agent, in bytes."""
    with open(f"/proc/{platform.part_pid('agent')}/status") as file:
        (line,) = [line for line in file if line.startswith("VmRSS:")]
    return int(line.split()[1]) << 10


def test_g10_a_tab_that_says_nonsense_is_closed(
    platform: Platform, nike: User, browser: httpx.Client, console: Console
) -> None:
    for nonsense in ("[", "[]", '{"rows": 1}', '{"seen": "x"}', '{"rows": 1e400, "columns": 1}', "[" * 60_000):
        with tab_on(platform, nike, browser, console.id) as tab:
            tab.socket.send(nonsense)
            assert tab.code_of_close() == 1008, nonsense[:50]
    with tab_on(platform, nike, browser, console.id) as tab:
        tab.socket.send(b"x" * 100_000)
        assert tab.code_of_close() == 1009, "more than a message may have"
    with tab_on(platform, nike, browser, console.id) as tab:
        tab.resize(-1, 10**9)  # refused by the agent, without harm
        tab.resize(24, 80)
        tab.type("stty size; echo control-$((1 + 1))\n")
        tab.wait_for(b"control-2")
        assert b"24 80" in tab.shown


def test_g10_no_more_tabs_than_allowed(platform: Platform, nike: User, browser: httpx.Client, console: Console) -> None:
    with contextlib.ExitStack() as opened:
        tabs: list[Tab] = [opened.enter_context(tab_on(platform, nike, browser, console.id)) for _ in range(20)]
        for tab in tabs:
            tab.wait_for(b"$")
        with tab_on(platform, nike, browser, console.id) as over:
            assert over.code_of_close() == 4429
    until(lambda: status_of(platform, nike, browser, console.id) == 101)
