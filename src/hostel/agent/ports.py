"""Servers that listen on TCP only: a port for each run, and the test that its server accepts.

Ports are handed out in turn, over all tenants, so that none comes again before 9,000 other starts: no late connection
for one run ever meets another.
"""

import asyncio
import contextlib
import errno
import json
import socket
from collections.abc import Iterable
from pathlib import Path

from hostel.agent.listeners import rows
from hostel.agent.sockets import Found
from hostel.wire.files import write_atomically
from hostel.wire.website import RunId

FIRST, COUNT = 20_000, 10_000
_CONNECT_S = 1.0
_PAUSES_S = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.2, 0.2)
_ESTABLISHED = "01"


class Ports:
    """The last port is on disk: a successor goes on after it."""

    def __init__(self, runs: Path, file: Path) -> None:
        self._runs = runs
        self._file = file
        self._held = dict(self._read_held())
        try:
            self._last = int(file.read_text())
        except (OSError, ValueError):
            self._last = FIRST - 1

    def take(self, run: RunId) -> int:
        """The next one that no run has which is not removed yet. Raises OSError where it cannot be noted."""
        for step in range(1, COUNT + 1):
            port = FIRST + (self._last - FIRST + step) % COUNT
            holder = self._held.get(port)
            if holder is None or not (self._runs / holder).exists():
                write_atomically(self._file, str(port).encode())
                self._last = port
                self._held[port] = run
                return port
        raise OSError(errno.EADDRINUSE, "every port is some run's")

    def _read_held(self) -> Iterable[tuple[int, RunId]]:
        for file in self._runs.glob("*/run.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                record = json.loads(file.read_bytes())
                if record["port"]:
                    yield int(record["port"]), RunId(record["run"])


async def probe_port(address: str, port: int, *, pids: Iterable[int]) -> Found:
    """Look whether a server of the processes' network accepts at `port`, as `sockets.probe` does. Nothing is sent."""
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setblocking(False)
    try:
        async with asyncio.timeout(_CONNECT_S):
            await asyncio.get_running_loop().sock_connect(client, (address, port))
        own_port = client.getsockname()[1]
        for pause_s in _PAUSES_S:
            if await asyncio.to_thread(_was_accepted, own_port, port, list(pids)):
                return Found.ACCEPTS
            await asyncio.sleep(pause_s)
    except TimeoutError:
        return Found.REFUSES
    except OSError:
        return Found.NOTHING
    finally:
        client.close()
    return Found.REFUSES


def _was_accepted(own_port: int, port: int, pids: list[int]) -> bool:
    """A connection that waits for accept() has no inode yet (proc(5))."""
    for pid in pids:
        for table in ("tcp", "tcp6"):
            for fields in rows(pid, table):
                if len(fields) > 9 and fields[3] == _ESTABLISHED and fields[9] != "0":
                    local, remote = (int(end.rpartition(":")[2], 16) for end in fields[1:3])
                    if (local, remote) == (port, own_port):
                        return True
        return False  # one process is enough: they share one network
    return False
