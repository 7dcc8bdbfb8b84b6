"""A browser tab on a console, for tests: the WebSocket, spoken as console.js speaks it."""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from consoles import DEADLINE_S
from live import Platform, User


@contextmanager
def logged_in(platform: Platform, user: User) -> Iterator[httpx.Client]:
    """With the cookies of a login."""
    with platform.visitor(base_url=platform.panel_url) as client:
        form = {"username": user.name, "password": user.password, "csrfmiddlewaretoken": form_secret(client, "login/")}
        answer = client.post("login/", data=form, headers={"Referer": platform.panel_url})
        assert answer.status_code == 302, answer.text
        yield client


def form_secret(client: httpx.Client, page: str) -> str:
    return client.get(page).text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]


def cookie_header(client: httpx.Client) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.cookies.jar)


class Tab:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.shown = b""
        self.position = 0
        self.told: list[dict[str, object]] = []

    def read(self, *, timeout_s: float = DEADLINE_S, says_so: bool = True) -> None:
        """One message."""
        message = self.socket.recv(timeout_s)
        if isinstance(message, bytes):
            self.shown += message
            self.position += len(message)
            if says_so:
                self.socket.send(json.dumps({"seen": self.position}))
        else:
            said = json.loads(message)
            self.told.append(said)
            self.position = int(said.get("position", self.position))

    def wait_for(self, words: bytes) -> None:
        end = time.monotonic() + DEADLINE_S
        while words not in self.shown:
            assert time.monotonic() < end, self.shown[-2000:]
            self.read()

    def type(self, text: str) -> None:
        self.socket.send(text.encode())

    def resize(self, rows: int, columns: int) -> None:
        self.socket.send(json.dumps({"rows": rows, "columns": columns}))

    def code_of_close(self) -> int:
        """Once it is closed by the panel."""
        try:
            while True:
                self.read()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006


@contextmanager
def tab_on(
    platform: Platform, user: User, client: httpx.Client, number: object, *, after: int = 0, origin: str = ""
) -> Iterator[Tab]:
    host = f"www.{platform.domain}:{platform.https_port}"
    tls = platform.tls()
    # This client reads in a thread of its own while it writes, which Python's ssl bears only as long as the server says
    # nothing by itself: with TLS 1.3 it does, right after the handshake, and now and then a request was lost.
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(
        f"wss://{host}/user/{user.name}/consoles/{number}/stream/?after={after}",
        ssl=tls,
        additional_headers={"Cookie": cookie_header(client)},
        origin=origin or f"https://{host}",  # type: ignore[arg-type]
        compression=None,
        max_size=None,
        open_timeout=DEADLINE_S,
        close_timeout=2,
        proxy=None,
    ) as socket:
        yield Tab(socket)
