"""Consoles in tests, through the v0 API."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from live import Platform, User
from waiting import until

DEADLINE_S = 30.0
PAUSE_S = 0.2  # calls are counted
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")


class Console:
    """One console of a user."""

    def __init__(self, api: httpx.Client, shown: dict[str, object]) -> None:
        self.api = api
        self.shown = shown
        self.id = shown["id"]

    def type(self, text: str) -> None:
        answer = self.api.post(f"{self.id}/send_input/", json={"input": text})
        assert (answer.status_code, answer.json()) == (200, {"status": "OK"})

    def output(self) -> str:
        """What it has shown last, without escape sequences and carriage returns."""
        answer = self.api.get(f"{self.id}/get_latest_output/")
        assert answer.status_code == 200, answer.text
        return _ESCAPES.sub("", answer.json()["output"]).replace("\r", "")

    def wait_for(self, pattern: str) -> str:
        """The output, once it matches."""
        end = time.monotonic() + DEADLINE_S
        while not re.search(pattern, output := self.output(), re.MULTILINE):
            assert time.monotonic() < end, f"never showed {pattern}: {output}"
            time.sleep(PAUSE_S)
        return output

    def do(self, command: str, pattern: str) -> str:
        self.type(f"{command}\n")
        return self.wait_for(pattern)

    def is_open(self) -> bool:
        return self.api.get(f"{self.id}/").status_code == 200

    def wait_for_end(self) -> None:
        """One that has ended waits for somebody to take what it has shown last."""
        until(lambda: self.api.get(f"{self.id}/get_latest_output/").status_code == 404)
        assert not self.is_open()


@contextmanager
def consoles_of(platform: Platform, user: User) -> Iterator[httpx.Client]:
    """The API relative to consoles/. All consoles of the user are ended afterwards."""
    base = f"{platform.panel_url}api/v0/user/{user.name}/consoles/"
    with platform.visitor(base_url=base, headers={"Authorization": f"Token {user.token}"}) as api:
        yield api
        left = api.get("")
        for shown in left.json() if left.status_code == 200 else ():
            assert api.delete(f"{shown['id']}/").status_code in (204, 404)


def open_console(api: httpx.Client, **wanted: str) -> Console:
    answer = api.post("", json=wanted)
    assert answer.status_code == 201, answer.text
    return Console(api, answer.json())


def open_shell(api: httpx.Client, **wanted: str) -> Console:
    console = open_console(api, **wanted)
    console.wait_for(r"\d\d:\d\d .*\$ $")
    return console
