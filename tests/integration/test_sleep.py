"""Websites that nobody uses sleep, and wake for whoever comes: frozen with their memory in the swap, or ended."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from live import Platform, User, answering
from swap import enough_swap

AFTER_S = 1
MONITOR = {"User-Agent": "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"}
# A website with a WebSocket needs no more than this: it takes the upgrade and says nothing.
DOOR = """
import asyncio, base64, hashlib, os
async def take(reader, writer):
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode()
    key = [line.split(": ")[1] for line in head.split("\\r\\n") if line.lower().startswith("sec-websocket-key")][0]
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    writer.write(f"HTTP/1.1 101 S\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                 f"Sec-WebSocket-Accept: {accept}\\r\\n\\r\\n".encode())
    await reader.read()
async def main():
    await (await asyncio.start_unix_server(take, os.environ["DOMAIN_SOCKET"])).serve_forever()
asyncio.run(main())
"""
BUSY = "import threading\ndef work():\n    while True: pass\nthreading.Thread(target=work, daemon=True).start()\n"


@pytest.fixture(scope="module", autouse=True)
def _swap() -> Iterator[None]:
    with enough_swap(256):
        yield


@pytest.fixture(scope="module")
def nora(platform: Platform) -> User:
    user = platform.add_user_with_server("nora")
    platform.hostel("user", "limits", "nora", f"site_sleep_after_s={AFTER_S}")
    return user


class Site:
    """One website of nora's."""

    def __init__(self, platform: Platform, owner: User, label: str) -> None:
        self.platform, self.owner, self.label = platform, owner, label

    def create(self, tier: str, command: str = answering(), **webapp: Any) -> "Site":
        created = self.platform.create(self.owner, self.label, command, sleep=tier, **webapp)
        assert created.json()["webapp"]["state"] == "running", created.text
        return self

    def status(self) -> dict[str, Any]:
        with self.platform.api(self.owner) as api:
            return dict(api.get(f"{self._path}status/").json())

    def until(self, state: str) -> dict[str, Any]:
        return until(lambda: (status := self.status())["state"] == state and status, f"{self.label} is {state}")

    def call(self, method: str, path: str = "", **body: Any) -> httpx.Response:
        with self.platform.api(self.owner) as api:
            return api.request(method, f"{self._path}{path}", json=body or None)

    def get(self) -> dict[str, Any]:
        response = self.platform.get(self.label)
        assert response.status_code == 200, response.text
        return dict(response.json())

    @property
    def cgroup(self) -> str:
        run = self.status()["run"]["id"]
        record = json.loads((self.platform.paths.runs / run / "run.json").read_text())
        (path,) = (f"{tenant}/{run}" for tenant in _tenants(self.platform, record["number"]))
        return path

    @property
    def _path(self) -> str:
        return f"websites/{self.label}.{self.platform.domain}/"


def _tenants(platform: Platform, number: int) -> list[str]:
    identity = json.loads(platform.hostel("doctor", "--json", check=False).stdout)
    message = next(each["message"] for each in identity if each["name"] == "platform")
    return [f"/hostel-{message.split()[-1]}/{number}"]


def until(condition: Callable[[], Any], what: str, *, deadline_s: float = 30.0) -> Any:
    end = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.05)
    return found


@pytest.fixture
def site(platform: Platform, nora: User) -> Iterator[Callable[[str], Site]]:
    made: list[Site] = []

    def make(label: str) -> Site:
        made.append(Site(platform, nora, label))
        return made[-1]

    yield make
    for each in made:
        each.call("DELETE")


def test_who_is_used_stays_awake_and_others_sleep_and_wake_as_they_were(platform: Platform, nora: User, site) -> None:
    platform.hostel("shell", "nora", "--", "bash", "-c", "cat > door.py", stdin=DOOR)
    platform.hostel("shell", "nora", "--", "bash", "-c", "(cat; cat answer.py) > busy.py", stdin=BUSY)
    frozen, ended = site("nora").create("hibernate"), site("s-nora").create("stop")
    talking = site("w-nora").create("stop", "python3 door.py")
    working = site("b-nora").create("stop", "python3 busy.py")
    awake = site("o-nora").create("off")
    sites = {each.label: each for each in (frozen, ended, talking, working, awake)}
    before = {label: each.get() for label, each in sites.items() if label != "w-nora"}
    platform_ws = _open_websocket(platform, "w-nora")
    try:
        assert frozen.until("asleep")["run"]["id"]
        assert ended.until("asleep")["run"] is None
        until(lambda: frozen.status()["run"]["memory_bytes"] < 4 << 20, "its memory is in the swap")
        # Both of the others have been looked at as often as those.
        assert [each.status()["state"] for each in (talking, working, awake)] == ["running"] * 3
    finally:
        platform_ws.close()
    talking.until("asleep")
    assert frozen.get() == before["nora"], "the same process, and all it knew"
    assert ended.get()["run"] != before["s-nora"]["run"]
    assert frozen.status()["state"] == ended.status()["state"] == "running"


def _open_websocket(platform: Platform, label: str) -> Any:
    connection = socket.create_connection(("127.0.0.1", platform.http_port), timeout=30)
    host = f"{label}.{platform.domain}:{platform.http_port}"
    connection.sendall(
        f"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert connection.recv(64).startswith(b"HTTP/1.1 101")
    return connection
