"""Consoles through the v0 API: without a browser, as programs written for the compared platform use them."""

import re
import sys
from collections.abc import Iterator

import httpx
import pytest

from consoles import consoles_of, open_console, open_shell
from live import Platform, User
from waiting import until

KEYS = ["id", "user", "executable", "arguments", "working_directory", "name", "console_url", "console_frame_url"]
# As dsd-pythonanywhere looks for the end of a command.
PROMPT_AT_THE_END = re.compile(r"\d{2}:\d{2} ~[^$]*\$\s*$")


@pytest.fixture(scope="module")
def clio(platform: Platform) -> User:
    return platform.add_user("clio")


@pytest.fixture
def api(platform: Platform, clio: User) -> Iterator[httpx.Client]:
    with consoles_of(platform, clio) as api:
        yield api


def test_a_console_runs_without_a_browser(api: httpx.Client, clio: User) -> None:
    console = open_shell(api)
    shown = console.shown
    assert list(shown) == KEYS
    address = f"/user/clio/consoles/{console.id}/"
    wanted = ("clio", "bash", "", None, f"Bash console {console.id}", address, f"{address}frame/")
    assert tuple(shown.values())[1:] == wanted
    assert api.get("").json() == [shown] == [api.get(f"{console.id}/").json()]
    assert api.get("shared_with_you/").json() == []
    output = console.do("echo $((6 * 7)) $USER $PWD", r"^42 clio /home/clio\s")
    until(lambda: PROMPT_AT_THE_END.search(console.output()))
    assert "echo $((6 * 7))" in output, "the echoed command is missing"
    console.do("echo token=$API_TOKEN work=$WORKON_HOME", f"^token={clio.token} work=/home/clio/.virtualenvs")
    assert api.delete(f"{console.id}/").status_code == 204
    for answer in (api.get(f"{console.id}/"), api.delete(f"{console.id}/"), api.get("4000000/")):
        assert (answer.status_code, answer.headers["hostel-error-code"]) == (404, "unknown_console")
    assert api.get("").json() == []


def test_any_installed_python_opens(api: httpx.Client) -> None:
    name = f"python3.{sys.version_info[1]}"
    console = open_console(api, executable=name, arguments="-q -i -c 'import sys'", working_directory="/tmp")
    assert (console.shown["executable"], console.shown["working_directory"]) == (name, "/tmp")
    assert console.shown["name"] == f"Python 3.{sys.version_info[1]} console {console.id}"
    console.wait_for(r"^>>> ")
    console.do("import os; print(sys.version_info[1] * 1000, os.getcwd())", rf"{sys.version_info[1]}000 /tmp\s")
    console.type("\x04")
    console.wait_for_end()


def test_what_a_command_showed_last_outlives_it(api: httpx.Client) -> None:
    console = open_console(api, arguments="-c 'echo begin; echo end'")
    console.wait_for(r"^end\s")
    assert console.output().split() == ["begin", "end"]
    until(lambda: not console.is_open())
    missing = open_console(api, executable="/home/clio/nothing")
    missing.wait_for(r"No such file or directory\s")
    assert missing.output().strip() == "/home/clio/nothing: No such file or directory"


def test_a_console_opens_where_it_is_asked_to_as_the_user(platform: Platform, api: httpx.Client) -> None:
    platform.shell("clio", "mkdir -p 'my files'; python3 -m venv --without-pip .virtualenvs/club")
    console = open_shell(api, working_directory="/home/clio/my files", virtualenv="club")
    console.do('echo "$VIRTUAL_ENV at $PWD"', r"^/home/clio/.virtualenvs/club at /home/clio/my files\s")
    python = open_console(api, executable="python", virtualenv="/home/clio/.virtualenvs/club")
    python.wait_for(r"^>>> ")
    python.do("import sys; print('in', sys.prefix)", r"in /home/clio/.virtualenvs/club\s")
    lost = open_shell(api, working_directory="/home/clio/nowhere", virtualenv="none")
    output = lost.do("echo $PWD.", r"^/home/clio\.\s")
    assert "/home/clio/nowhere: No such file or directory. This is your home instead." in output
    assert "none: there is no such virtualenv." in output


def test_virtualenvs_are_made_and_entered_as_on_the_compared_platform(api: httpx.Client) -> None:
    console = open_shell(api)
    console.do(f"mkvirtualenv --python=python3.{sys.version_info[1]} mine", r"^\(mine\) \d\d:\d\d ~.*\$ $")
    console.do("deactivate; workon mine; which python pip", r"^/home/clio/.virtualenvs/mine/bin/pip\s")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"executable": "zsh"}, "executable: expected bash, python, python3, python3."),
        ({"executable": "bin/sh"}, "or the absolute path of a program"),
        ({"executable": "bash\n"}, "one line of printable text"),
        ({"arguments": "-c 'open"}, "arguments: they cannot be split"),
        ({"working_directory": "~"}, "working_directory: expected an absolute path"),
        ({"virtualenv": "../club"}, "virtualenv: expected its absolute path, or its name"),
        ({"virtualenv": "club", "executable": "/bin/ls"}, "only bash and Python open in one"),
        ({"arguments": "x" * 5000}, "no more than 4096 characters"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_words(api: httpx.Client, wanted: dict[str, str], words: str) -> None:
    if wanted.get("executable") == "bash\n":
        wanted = {"executable": "ba\x07sh"}
    answer = api.post("", json=wanted)
    assert answer.status_code == 400
    assert words in answer.text
    assert api.get("").json() == []


def test_input_that_nobody_reads_is_refused(api: httpx.Client) -> None:
    console = open_console(api, executable="/usr/bin/python3", arguments="-c 'import time; time.sleep(600)'")
    sent = (api.post(f"{console.id}/send_input/", json={"input": "x" * 16_000 + "\n"}) for _ in range(20))
    refused = next(answer for answer in sent if answer.status_code != 200)
    assert (refused.status_code, refused.headers["hostel-error-code"]) == (503, "console_unreachable")
    assert "does not read" in refused.json()["detail"]


def test_a_flood_of_output_stays_bounded_and_is_ended_by_a_key(platform: Platform, api: httpx.Client) -> None:
    console = open_shell(api)
    console.type("yes flood\n")
    console.wait_for(r"^flood\nflood\n")
    assert len(api.get(f"{console.id}/get_latest_output/").json()["output"]) <= 1 << 16
    console.type("\x03")
    until(lambda: PROMPT_AT_THE_END.search(console.output()))
    console.do("echo still $((1 + 1))", r"^still 2\s")


def test_limits_suspension_and_deletion_hold_for_consoles(platform: Platform) -> None:
    user = platform.add_user("echo")
    platform.hostel("user", "limits", "echo", "consoles=2")
    with consoles_of(platform, user) as api:
        first, _ = open_shell(api), open_shell(api)
        refused = api.post("", json={})
        assert (refused.status_code, refused.headers["hostel-error-code"]) == (429, "limit_consoles")
        assert "may have 2 consoles open" in refused.json()["detail"]
        shell = platform.hostel("shell", "echo", "--", "true", check=False)
        assert "may have 2 consoles open" in shell.stderr
        first.type("exit\n")
        first.wait_for_end()
        open_shell(api)
        platform.hostel("user", "suspend", "echo")
        assert runs_of(platform, "echo") == []
        platform.hostel("user", "resume", "echo")
        assert api.get("").json() == []
        open_shell(api).type("trap '' HUP TERM; sleep 600\n")
        assert runs_of(platform, "echo")
        platform.hostel("user", "remove", "echo", "--yes")
        assert runs_of(platform, "echo") == []
        assert api.get("").status_code == 401


def runs_of(platform: Platform, name: str) -> list[str]:
    records = [file.read_text() for file in platform.paths.runs.glob("*/run.json")]
    return [record for record in records if f'"tenant": "{name}"' in record]
