"""A constant load from clients that never retry, and the account of what became of every request.

Half the requests are GETs, half POSTs of 100 kB, some of which pause in the middle of their body. Connections are kept
or fresh, with idle gaps around the times at which servers close idle ones. A connection that ends without a full
answer is a failed request.
"""

import asyncio
import contextlib
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

BODY = b"x" * 100_000
GAPS_S = (0.9, 1.0, 1.1, 1.9, 2.1, 4.9, 5.1)
DEADLINE_S = 60.0


@dataclass
class Account:
    """What the clients saw."""

    answered: Counter[str] = field(default_factory=Counter)  # request ids with a full and right answer
    failed: list[str] = field(default_factory=list)

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


@contextlib.asynccontextmanager
async def under(load: Load) -> AsyncIterator[Account]:
    """Keep up `load` while the block runs; on the way out let every request that was begun end."""
    account, stopping = Account(), asyncio.Event()
    tasks = [asyncio.create_task(_client(load, number, account, stopping)) for number in range(load.clients)]
    try:
        yield account
    finally:
        stopping.set()
        await asyncio.gather(*tasks)


async def _client(load: Load, number: int, account: Account, stopping: asyncio.Event) -> None:
    chance = random.Random(f"{load.seed}:{number}")
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    # Pausing POSTs hold their client for two seconds, so one client in three sends them: the load stays constant.
    may_pause = number % 3 == 0
    while not stopping.is_set():
        request_id = secrets.token_hex(8)
        is_post = chance.random() < load.post_share
        pause_s = 2.0 if is_post and may_pause and chance.random() < load.pause_share else 0.0
        try:
            async with asyncio.timeout(DEADLINE_S):
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", load.port)
                is_kept = await _request(connection, load.host, request_id, is_post=is_post, pause_s=pause_s)
            account.answered[request_id] += 1
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            account.failed.append(f"{'POST' if is_post else 'GET'} {request_id}: {error!r}")
            is_kept = False
        if connection is not None and (not is_kept or chance.random() < load.fresh_share):
            connection[1].close()
            connection = None
        if chance.random() < load.gap_share:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(chance.choice(GAPS_S)):
                    await stopping.wait()
    if connection is not None:
        connection[1].close()


async def _request(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    host: str,
    request_id: str,
    *,
    is_post: bool,
    pause_s: float,
) -> bool:
    """One request and its whole answer; returns whether the connection may be used again."""
    reader, writer = connection
    body = BODY if is_post else b""
    head = f"{'POST' if is_post else 'GET'} / HTTP/1.1\r\nHost: {host}\r\nX-Id: {request_id}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2])
    if pause_s:
        await writer.drain()
        await asyncio.sleep(pause_s)
    writer.write(body[len(body) // 2 :])
    await writer.drain()
    status = await reader.readuntil(b"\r\n")
    headers = {}
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    if "content-length" in headers:
        content = await reader.readexactly(int(headers["content-length"]))
    else:
        content = await _read_chunks(reader)
    expected = f"{request_id} {len(body)}"
    if status.split()[1] != b"200" or content.decode("latin-1") != expected:
        raise ValueError(f"{status!r} {content[:80]!r}")
    return headers.get("connection", "").lower() != "close"


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    content = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        content += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return content
