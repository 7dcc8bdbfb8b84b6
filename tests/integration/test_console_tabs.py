"""What a browser's tab sees of a console: through a killed agent, a new panel, other tabs, and floods."""

import contextlib
import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from console_tabs import Tab, logged_in, tab_on
from consoles import consoles_of, open_shell
from live import Platform, User, running, send_signal
from waiting import until

AHEAD, PIECE = 1 << 18, 1 << 16
SERVICE_RESTART = 1012  # of RFC 6455's registry: come again


@pytest.fixture(scope="module")
def mortal() -> Iterator[Platform]:
    with running("[panel]\nrequests_per_minute = 100000") as mortal:
        yield mortal


@pytest.fixture(scope="module")
def iris(mortal: Platform) -> User:
    return mortal.add_user("iris")


@pytest.fixture(scope="module")
def browser(mortal: Platform, iris: User) -> Iterator[httpx.Client]:
    with logged_in(mortal, iris) as client:
        yield client


@pytest.fixture
def api(mortal: Platform, iris: User) -> Iterator[httpx.Client]:
    with consoles_of(mortal, iris) as api:
        yield api


def test_a_console_goes_on_through_a_killed_agent(
    mortal: Platform, iris: User, browser: httpx.Client, api: httpx.Client
) -> None:
    console = open_shell(api)
    with tab_on(mortal, iris, browser, console.id) as tab:
        tab.type("word=kept; echo begin-$((1 + 1))\n")
        tab.wait_for(b"begin-2")
        agent = mortal.part_pid("agent")
        send_signal(agent, signal.SIGKILL)
        until(lambda: mortal.part_pid("agent") not in (0, agent))
        until(lambda: said(tab, "position") > 1)
        tab.type("echo $word-$((2 + 2))\n")
        tab.wait_for(b"kept-4")
        assert tab.shown.count(b"begin-2") == 1, "what was shown came again"
        assert api.get("").json() == [console.shown]
        # The successor ends it as any other, and nothing is left of it.
        tab.type("exit\n")
        assert tab.code_of_close() == 1000
        assert tab.told[-1] == {"ended": "This console has ended."}, "whose exit code a dead agent was to hear"
    until(lambda: not consoles_left(mortal))


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("exit\n", "This console has ended."),
        ("exit 7\n", "This console has ended with exit code 7."),
        ("kill -KILL $$\n", "This console has ended with exit code 137."),
        (None, "This console has ended."),
    ],
)
def test_a_tab_hears_how_its_console_has_ended(
    mortal: Platform, iris: User, browser: httpx.Client, api: httpx.Client, ending: str | None, words: str
) -> None:
    console = open_shell(api)
    with tab_on(mortal, iris, browser, console.id) as tab:
        tab.wait_for(b"$ ")
        if ending is None:
            assert api.delete(f"{console.id}/").status_code == 204
        else:
            tab.type(ending)
        assert tab.code_of_close() == 1000
        assert tab.told[-1] == {"ended": words}
    assert api.get(f"{console.id}/").json()["detail"] == words
    assert words in browser.get(f"user/{iris.name}/consoles/{console.id}/").text


def consoles_left(platform: Platform) -> list[str]:
    records = [file.read_text() for file in platform.paths.runs.glob("*/run.json")]
    return [record for record in records if '"kind": "console"' in record]


def said(tab: Tab, word: str) -> int:
    """How often. Reads on for a moment."""
    with contextlib.suppress(TimeoutError):
        tab.read(timeout_s=0.2)
    return sum(word in each for each in tab.told)


def test_a_console_goes_on_through_a_new_panel(
    mortal: Platform, iris: User, browser: httpx.Client, api: httpx.Client
) -> None:
    console = open_shell(api)
    with tab_on(mortal, iris, browser, console.id) as tab:
        tab.type("word=still; echo before-$((1 + 1))\n")
        tab.wait_for(b"before-2")
        send_signal(panel_pid(mortal), signal.SIGKILL)
        assert tab.code_of_close() == 1006
    until(mortal.is_up)
    with tab_on(mortal, iris, browser, console.id, after=tab.position) as again:
        again.type("echo $word-$((2 + 2))\n")
        again.wait_for(b"still-4")
        assert b"before-2" not in again.shown, "only what was missed is shown"
    assert api.get("").json() == [console.shown]


def test_a_console_goes_on_through_a_changed_configuration(
    mortal: Platform, iris: User, browser: httpx.Client, api: httpx.Client
) -> None:
    """The old panel tells its tabs to come again as soon as there is a new one, and nothing that is shown is missed."""
    console = open_shell(api)
    file, old = mortal.paths.config_file, panel_pid(mortal)
    file.write_text(f"{file.read_text()}\n[limits]\nuser_memory_mb = 3000\n")
    with tab_on(mortal, iris, browser, console.id) as tab, ThreadPoolExecutor() as threads:
        tab.type("for n in {1..9999}; do echo line-$n; sleep 0.02; done\n")
        tab.wait_for(b"line-9\r")
        reloading = threads.submit(mortal.hostel, "reload")
        assert tab.code_of_close() == SERVICE_RESTART
        reloading.result()
    with tab_on(mortal, iris, browser, console.id, after=tab.position) as again:
        again.wait_for(b"line-")
        again.type("\x03")
        again.type("echo begin-$((1 + 1))\n")
        again.wait_for(b"begin-2")
        assert not any(each.get("skipped") for each in again.told)
    shown = [int(number) for number in re.findall(rb"line-(\d+)\r\n", tab.shown + again.shown)]
    assert shown == list(range(1, len(shown) + 1)), "each line once"
    until(lambda: panel_pids(mortal) and old not in panel_pids(mortal), "the old panel has ended")


def panel_pid(platform: Platform) -> int:
    (pid,) = panel_pids(platform)
    return pid


def panel_pids(platform: Platform) -> list[int]:
    records = [json.loads(file.read_text()) for file in platform.paths.runs.glob("*/run.json")]
    return [int(each["process"]["pid"]) for each in records if each["website"] == f"www.{platform.domain}"]


def test_tabs_see_the_same_and_the_last_size_counts(
    mortal: Platform, iris: User, browser: httpx.Client, api: httpx.Client
) -> None:
    console = open_shell(api)
    with (
        tab_on(mortal, iris, browser, console.id) as one,
        tab_on(mortal, iris, browser, console.id) as two,
    ):
        one.resize(30, 90)
        one.type("stty size; echo size-$((1 + 1))\n")
        for tab in (one, two):
            tab.wait_for(b"size-2")
            assert b"30 90\r\n" in tab.shown
        two.resize(20, 70)
        two.type("stty size; echo other-$((1 + 1))\n")
        for tab in (one, two):
            tab.wait_for(b"other-2")
            assert b"20 70\r\n" in tab.shown


def test_a_tab_that_takes_nothing_holds_up_neither_the_command_nor_the_others(
    mortal: Platform, iris: User, browser: httpx.Client, api: httpx.Client
) -> None:
    console = open_shell(api)
    with (
        tab_on(mortal, iris, browser, console.id) as slow,
        tab_on(mortal, iris, browser, console.id) as quick,
    ):
        quick.type("head -c 3000000 /dev/zero | tr '\\0' x | fold -w 99; echo flood-$((1 + 1))\n")
        quick.wait_for(b"flood-2")
        with contextlib.suppress(TimeoutError):
            while True:
                slow.read(timeout_s=1.0, says_so=False)
        assert len(slow.shown) <= AHEAD + PIECE, "it got more than it said that it had shown"
        quick.type("echo alive-$((2 + 2))\n")
        quick.wait_for(b"alive-4")
        slow.socket.send(json.dumps({"seen": slow.position}))
        slow.wait_for(b"alive-4")
        assert any(each.get("skipped") for each in slow.told), "what was not kept was not said to be missing"
