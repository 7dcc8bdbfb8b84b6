"""What is said to a console's keeper (`console.py`) and heard from it.

The keeper is the tenant's to change: what it says is bytes for the tenant's own eyes and a few small numbers, and it is
waited for only so long.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hostel.agent.sandbox import Sandbox
from hostel.agent.sockets import SOCKET_NAME
from hostel.wire.console import POSITION, ConsoleUnreachable, UnknownConsole

LATEST_BYTES = 1 << 20  # no keeper keeps as much
_ANSWER_S = 8.0  # longer than the keeper waits for a command that does not read
_PIECE = 1 << 16
_ENDING_S = 0.5


async def watch(sandbox: Sandbox, *, after: int) -> tuple[int, AsyncIterator[bytes]]:
    """From which position on, and what was and will be shown from there. It ends with the console, or where whoever
    asks takes it too slowly: then ask again from where it has ended.
    """
    async with _unless_it_ends(sandbox):
        reader, writer = await _ask(sandbox, f"output {after}")
        try:
            position = await _number(reader)
        except BaseException:
            writer.close()
            raise
    return position, _pieces(reader, writer)


async def read_latest(sandbox: Sandbox) -> bytes:
    """What was shown last."""
    async with _asked(sandbox, "latest") as reader:
        await _number(reader)
        return await _read_all(reader)


async def give_input(sandbox: Sandbox, data: bytes) -> int:
    """How many of the bytes were taken: all, unless the command does not read."""
    async with _asked(sandbox, f"input {len(data)}", data) as reader:
        return min(await _number(reader), len(data))


async def resize(sandbox: Sandbox, *, rows: int, columns: int) -> None:
    async with _asked(sandbox, f"size {rows} {columns}") as reader:
        await _line(reader)


@asynccontextmanager
async def _asked(sandbox: Sandbox, line: str, body: bytes = b"") -> AsyncIterator[asyncio.StreamReader]:
    async with _unless_it_ends(sandbox), asyncio.timeout(_ANSWER_S):
        reader, writer = await _ask(sandbox, line, body)
        try:
            yield reader
        finally:
            writer.close()


@asynccontextmanager
async def _unless_it_ends(sandbox: Sandbox) -> AsyncIterator[None]:
    """Raises ConsoleUnreachable, or UnknownConsole where it does not answer because it ends just now."""
    try:
        yield
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        await asyncio.wait([sandbox.exit], timeout=_ENDING_S)
        raise (end_of(sandbox) if sandbox.exit.done() else ConsoleUnreachable()) from error


def end_of(sandbox: Sandbox) -> UnknownConsole:
    """Says how, where its command failed: the keeper exits as that does. Of an adopted one nobody hears it."""
    code = sandbox.exit.result().code
    return UnknownConsole(f"This console has ended with exit code {code}." if code else "This console has ended.")


async def _ask(sandbox: Sandbox, line: str, body: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(_ANSWER_S):
        reader, writer = await asyncio.open_unix_connection(sandbox.socket_directory / SOCKET_NAME, limit=_PIECE)
        writer.write(f"{line}\n".encode() + body)
        await writer.drain()
        return reader, writer


async def _number(reader: asyncio.StreamReader) -> int:
    text = (await _line(reader)).decode("ascii", "replace")
    if not POSITION.fullmatch(text):
        raise ConsoleUnreachable("The console answered in a way that was not understood.")
    return int(text)


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(_ANSWER_S):
        return (await reader.readuntil(b"\n"))[:-1]


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    """More than a keeper keeps, somebody sends who is none."""
    found = bytearray()
    while piece := await reader.read(_PIECE):
        found += piece
        if len(found) > LATEST_BYTES:
            raise ConsoleUnreachable("The console answered in a way that was not understood.")
    return bytes(found)


async def _pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    try:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                yield piece
    finally:
        writer.close()
