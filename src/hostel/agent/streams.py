"""The agent's end of a run's output: the FIFOs, and the requests to the logger that reads them."""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from hostel.wire import failpoint
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import MalformedMessage
from hostel.wire.files import write_atomically
from hostel.wire.streams import PIPE_BYTES, LoggerAnswer, LoggerRequest, LoggerVerb, Streams
from hostel.wire.website import MIB, RunId

_DEADLINE_S, _IMPATIENT_S = 5.0, 0.5


@dataclass(frozen=True, slots=True)
class Output:
    """Descriptors of a run's FIFOs, opened for reading and writing: what is written while no logger reads stays."""

    stdout: int
    stderr: int

    def note(self, text: str) -> None:
        """A line of the platform's own in the error log. Lost where the pipe is full: nobody waits for it."""
        with contextlib.suppress(OSError):
            descriptor = os.open(f"/proc/self/fd/{self.stderr}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.write(descriptor, f"[hostel] {text}\n".encode())
            finally:
                os.close(descriptor)

    def close(self) -> None:
        os.close(self.stdout)
        os.close(self.stderr)


def make_streams(directory: Path, streams: Streams) -> Output:
    """Make the FIFOs of a run below `directory` and tell the logger by `streams.json` where they go."""
    place = directory / streams.run
    place.mkdir(mode=0o700, parents=True)
    for name in ("stdout", "stderr"):
        os.mkfifo(place / name, 0o600)
    failpoint.reach("streams.made")
    write_atomically(place / "streams.json", json.dumps(to_jsonable(streams)).encode())
    return open_streams(directory, streams.run)


def open_streams(directory: Path, run: RunId) -> Output:
    """Raises FileNotFoundError when the run has no FIFOs (any more)."""
    return Output(_open(directory / run / "stdout"), _open(directory / run / "stderr"))


def _open(path: Path) -> int:
    # Read-write: opening never blocks, and the pipe outlives each of its readers (fifo(7)).
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    with contextlib.suppress(PermissionError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return descriptor


def remove_streams(directory: Path, run: RunId) -> None:
    shutil.rmtree(directory / run, ignore_errors=True)


class Logger:
    """Asks the logger for things. Without a logger, runs go on: it finds their FIFOs when it starts.

    A stopped one takes requests, and answers when it goes on. Once it has let one run out of time, it is not waited for
    that long again until it has answered: starts and restarts would be slow for its sake.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._deadline_s = _DEADLINE_S

    async def open(self, run: RunId) -> None:
        await self._ask(LoggerVerb.OPEN, run)

    async def close(self, run: RunId) -> bool:
        """True when all that the run wrote is in its log files; False when the logger does not answer: ask again."""
        return await self._ask(LoggerVerb.CLOSE, run) is not None

    async def tail(self, run: RunId) -> tuple[str, ...]:
        """The last lines of the run's stderr; () when the logger cannot say."""
        answer = await self._ask(LoggerVerb.TAIL, run)
        return answer.lines if answer else ()

    async def _ask(self, verb: LoggerVerb, run: RunId) -> LoggerAnswer | None:
        request = json.dumps(to_jsonable(LoggerRequest(verb=verb, run=run))).encode() + b"\n"
        try:
            async with asyncio.timeout(self._deadline_s):
                reader, writer = await asyncio.open_unix_connection(self._socket, limit=MIB)
                try:
                    writer.write(request)
                    failpoint.reach("streams.asked")
                    answer = parse(LoggerAnswer, json.loads(await reader.readline()))
                finally:
                    writer.close()
        except TimeoutError:
            self._deadline_s = _IMPATIENT_S
            return None
        except (OSError, ValueError, MalformedMessage):
            return None
        self._deadline_s = _DEADLINE_S
        return answer
