"""A constant load from clients that never retry, and the account of what became of every request.

Half the requests are GETs, half POSTs of 100 kB, some of which pause in the middle of their body. Connections are kept
or fresh, with idle gaps around the times at which servers close idle ones. A connection that ends without a full
answer is a failed request. Each request carries its id in a header and in its query, where access logs show it.
"""

import asyncio
import contextlib
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

BODY = b"x" * 100_000
GAPS_S = (0.9, 1.0, 1.1, 1.9, 2.1, 4.9, 5.1)
PAUSE_S = 2.0
DEADLINE_S = 60.0


@dataclass
class Account:
    """What the clients saw."""

    answered: Counter[str] = field(default_factory=Counter)  # request ids with a full and right answer
    failed: list[str] = field(default_factory=list)
    longest_wait_s: float = 0.0  # from the last byte of a request to the last of its answer, or to its failure

    @property
    def total(self) -> int:
        return sum(self.answered.values()) + len(self.failed)


@dataclass(frozen=True)
class Load:
    host: str
    port: int
    seed: int
    clients: int = 24
    gap_share: float = 0.02  # of the requests are followed by an idle gap
    pause_share: float = 0.3  # of the POSTs pause 2 s in their body
    post_share: float = 0.5
    fresh_share: float = 0.3  # of the requests open a connection of their own
    rate_per_s: float = 0.0  # of all clients together; 0: as fast as the answers come


@contextlib.asynccontextmanager
async def under(load: Load) -> AsyncIterator[Account]:
    """Keep up `load` while the block runs; on the way out let every request that was begun end."""
    account, stopping = Account(), asyncio.Event()
    clients = [_Client(load, number, account) for number in range(load.clients)]
    tasks = [asyncio.create_task(client.serve(stopping)) for client in clients]
    try:
        yield account
    finally:
        stopping.set()
        await asyncio.gather(*tasks)


@dataclass(frozen=True, slots=True)
class _Request:
    id: str
    is_post: bool
    pause_s: float  # in the middle of the body


class _Client:
    """One visitor, with at most one connection and one request at a time."""

    def __init__(self, load: Load, number: int, account: Account) -> None:
        self._load, self._number, self._account = load, number, account
        self._chance = random.Random(f"{load.seed}:{number}")
        # Pausing POSTs hold their client for two seconds, so one client in three sends them: the load stays constant.
        self._may_pause = number % 3 == 0
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._waits_since = 0.0

    async def serve(self, stopping: asyncio.Event) -> None:
        interval_s = self._load.clients / self._load.rate_per_s if self._load.rate_per_s else 0.0
        due = time.monotonic() + interval_s * self._number / self._load.clients
        while not stopping.is_set():
            await _unless(stopping, due - time.monotonic() if interval_s else 0.0)
            due += interval_s
            await self._send(self._next_request())
            if self._chance.random() < self._load.fresh_share:
                self._close()
            if self._chance.random() < self._load.gap_share:
                await _unless(stopping, self._chance.choice(GAPS_S))
        self._close()

    def _next_request(self) -> _Request:
        is_post = self._chance.random() < self._load.post_share
        has_pause = is_post and self._may_pause and self._chance.random() < self._load.pause_share
        return _Request(secrets.token_hex(8), is_post, PAUSE_S if has_pause else 0.0)

    async def _send(self, request: _Request) -> None:
        """One request, accounted for."""
        self._waits_since = time.monotonic()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._exchange(request)
            self._account.answered[request.id] += 1
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self._account.failed.append(f"{'POST' if request.is_post else 'GET'} {request.id}: {error!r}")
            self._close()
        waited_s = time.monotonic() - self._waits_since
        self._account.longest_wait_s = max(self._account.longest_wait_s, waited_s)

    async def _exchange(self, request: _Request) -> None:
        """One request and its whole answer. Raises ValueError on a wrong one."""
        if self._connection is None:
            self._connection = await asyncio.open_connection("127.0.0.1", self._load.port)
        reader, writer = self._connection
        body = BODY if request.is_post else b""
        line = f"{'POST' if request.is_post else 'GET'} /?{request.id} HTTP/1.1"
        head = f"{line}\r\nHost: {self._load.host}\r\nX-Id: {request.id}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body[: len(body) // 2])
        if request.pause_s:
            await writer.drain()
            await asyncio.sleep(request.pause_s)
        writer.write(body[len(body) // 2 :])
        await writer.drain()
        self._waits_since = time.monotonic()
        status, content, is_kept = await _read_answer(reader)
        if status != 200:
            raise ValueError(f"answered {status}")
        if content.decode("latin-1") != f"{request.id} {len(body)}":
            raise ValueError(f"answered {content[:80]!r}")
        if not is_kept:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


async def _unless(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep, but no longer than until the load ends."""
    if seconds > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stopping.wait()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Status, content, and whether the connection may be used again."""
    status = int((await reader.readuntil(b"\r\n")).split()[1])
    headers = {}
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    if "content-length" in headers:
        content = await reader.readexactly(int(headers["content-length"]))
    else:
        content = await _read_chunks(reader)
    return status, content, headers.get("connection", "").lower() != "close"


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    content = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        content += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return content
