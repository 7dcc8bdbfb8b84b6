"""How much each tenant's home holds, where the file system does not say so itself: measured now and then, from outside.

Weaker than quotas: between two measurements a tenant can fill the disk. What is over the limit is told, and gets no
more through the platform's own doors; what serves visitors goes on.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from hostel.agent import disk_walk
from hostel.wire.errors import DiskLimitReached
from hostel.wire.report import DiskUsage
from hostel.wire.website import MIB

log = structlog.get_logger()

EVERY_S = 600.0
AGAIN_AFTER_S = 5.0  # of one home, however often something happens in it; and ten times as long as it took
FILES_LIMIT = 1_000_000  # of one home; without quotas nothing else bounds them
QUOTA_OPTIONS = {"usrquota", "uquota", "uqnoenforce", "prjquota", "pquota", "usrjquota", "quota"}


class Disk:
    """`serve` is its task."""

    def __init__(self, homes: Path) -> None:
        self._homes = homes
        self._known: dict[str, DiskUsage] = {}
        self._measured_at: dict[str, float] = {}  # monotonic
        self._due_at: dict[str, float] = {}  # before that, not again
        self._asked: set[str] = set()
        self._is_asked = asyncio.Event()

    def find(self, name: str) -> DiskUsage | None:
        """None where it was not measured yet."""
        return self._known.get(name)

    def check(self, name: str, limit_bytes: int) -> None:
        """Raises DiskLimitReached, naming the limit."""
        words = self.describe_excess(name, limit_bytes)
        if words:
            raise DiskLimitReached(
                f"{words} Remove some, or ask the operator for more: `hostel user limits {name} disk_mb=...`"
            )

    def describe_excess(self, name: str, limit_bytes: int) -> str:
        """A sentence, or "" where all is well."""
        used = self._known.get(name)
        if used is not None and used.used_bytes > limit_bytes:
            return f"The home holds {used.used_bytes // MIB} MiB of {limit_bytes // MIB} (limit `disk_mb`)."
        if used is not None and used.files > FILES_LIMIT:
            return f"The home holds {used.files} files; more than {FILES_LIMIT} are too many."
        return ""

    def measure_soon(self, name: str) -> None:
        """Something happened that may have changed much."""
        self._asked.add(name)
        self._is_asked.set()

    def forget(self, name: str) -> None:
        self._known.pop(name, None)
        self._measured_at.pop(name, None)
        self._due_at.pop(name, None)

    async def serve(self, names: Callable[[], Sequence[str]]) -> None:
        """Measure all homes now and then, and those that were asked for before the others."""
        while True:
            self._is_asked.clear()
            now = time.monotonic()
            for_all = [name for name in names() if now - self._measured_at.get(name, -EVERY_S) >= EVERY_S]
            due = [name for name in self._asked if now >= self._due_at.get(name, 0.0)]
            if due or for_all:
                self._asked.difference_update(due)
                await self.measure([*due, *(name for name in for_all if name not in due)])
                continue
            if self._asked:
                await asyncio.sleep(AGAIN_AFTER_S / 2)
            else:
                await self._wait(EVERY_S / 10)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._is_asked.wait()
        except TimeoutError:
            return

    async def measure(self, names: Sequence[str]) -> None:
        """One child process for all; ends with it, or at a fault of it, which is logged."""
        argv = (sys.executable, "-I", disk_walk.__file__, str(self._homes))
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("a child without its pipes")
        try:
            for name in names:
                began = self._measured_at[name] = time.monotonic()
                child.stdin.write(f"{name}\n".encode())
                answer = (await child.stdout.readline()).decode().split()
                if name in self._measured_at:  # not forgotten meanwhile
                    self._take(name, answer)
                    now = time.monotonic()
                    self._due_at[name] = now + max(AGAIN_AFTER_S, 10 * (now - began))
        except (OSError, ValueError) as error:
            log.error("homes could not be measured", error=str(error))
        finally:
            child.stdin.close()
            if child.returncode is None:
                child.kill()
            await child.wait()

    def _take(self, name: str, answer: Sequence[str]) -> None:
        if len(answer) == 4 and answer[0] == name:
            used_bytes, files, is_complete = map(int, answer[1:])
            self._known[name] = DiskUsage(used_bytes=used_bytes, files=files, is_complete=bool(is_complete))
        elif len(answer) > 1 and answer[1] == "-":  # there is no home yet
            self._known.pop(name, None)
        else:
            raise ValueError(f"the measuring child said {answer!r} of {name}")
