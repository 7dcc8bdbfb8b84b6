"""Websites that may fall asleep, and what keeps one awake."""

import json
import socket
from typing import Any

import httpx

from live import Platform, User, answering
from waiting import until

# A website with a WebSocket needs no more than this: it takes the upgrade and says nothing.
TALKING = """
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


class Site:
    """One website, as its owner sees it."""

    def __init__(self, platform: Platform, owner: User, label: str) -> None:
        self.platform, self.owner, self.label = platform, owner, label
        self.first: dict[str, Any] = {}  # what it answered when it was new

    def create(self, tier: str, command: str = answering(), **webapp: Any) -> "Site":
        created = self.platform.create(self.owner, self.label, command, sleep=tier, **webapp)
        assert created.json()["webapp"]["state"] == "running", created.text
        return self

    def status(self) -> dict[str, Any]:
        return dict(self.call("GET", "status/").json())

    @property
    def state(self) -> str:
        return str(self.status()["state"])

    def is_in_swap(self) -> bool:
        return bool(self.status()["run"]["memory_bytes"] < 4 << 20)

    def until_asleep(self) -> "Site":
        until(lambda: self.state == "asleep", f"{self.label} is asleep")
        return self

    def call(self, method: str, path: str = "", **body: Any) -> httpx.Response:
        with self.platform.api(self.owner) as api:
            return api.request(method, f"websites/{self.label}.{self.platform.domain}/{path}", json=body or None)

    def get(self) -> dict[str, Any]:
        response = self.platform.get(self.label)
        assert response.status_code == 200, response.text
        return dict(response.json())

    @property
    def pid(self) -> int:
        """On the host, of PID 1 of its run."""
        record = self.platform.paths.runs / self.status()["run"]["id"] / "run.json"
        return int(json.loads(record.read_text())["process"]["pid"])


def open_websocket(platform: Platform, label: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", platform.http_port), timeout=30)
    connection.sendall(
        f"GET / HTTP/1.1\r\nHost: {label}.{platform.domain}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101"), head
    return connection


def told(platform: Platform, event: str) -> list[dict[str, Any]]:
    """What the agent's log says of it."""
    lines = (platform.paths.log / "agent.log").read_text().splitlines()
    return [json.loads(line) for line in lines if f'"event": "{event}"' in line]
