"""Freezes runs and moves their memory to the swap; lets them go on. Which, and when, others decide.

A thaw is one write to the run's cgroup, and no process is started for it. Reclaim comes after the freeze, one run after
another in the background: who wakes a website waits for none of it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import structlog

from hostel.agent import cgroup, swapped
from hostel.wire.errors import Reason
from hostel.wire.website import MIB, Failure

log = structlog.get_logger()

FREEZE_DEADLINE_S = 1.0
_LOOK_EVERY_S = 0.002
_SHORT = 0.1
_FETCHES_AT_ONCE = 2
_WORTH_BYTES = MIB  # less is not worth a reclaim, after a restart of the agent for example
_STAYS_AWAKE = "An idle website stays awake. Its operator sees with `hostel doctor` what to do."


class Hibernation:
    """Of one machine. `obstacle` is why no website can hibernate here, as `look` found it last."""

    def __init__(self) -> None:
        self.obstacle: Failure | None = None
        self._swap_free_bytes = 0
        self.is_memory_short = False  # of all: pressure alone may be one user's, who fills a limit of their own
        self._reclaiming = asyncio.Lock()  # the disk, or the processor, is everybody's
        self._fetching = asyncio.Semaphore(_FETCHES_AT_ONCE)  # threads are for others too
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self) -> None:
        memory = read_memory()
        self._swap_free_bytes = memory.get("SwapFree", 0)
        self.is_memory_short = memory.get("MemAvailable", 0) < memory.get("MemTotal", 0) * _SHORT
        self.obstacle = find_obstacle(memory, swappiness=_read_swappiness(), can_freeze=cgroup.can_freeze())

    def find_obstacle(self, path: str) -> Failure | None:
        """Why the run with this cgroup should not be frozen now."""
        self.look()
        if self.obstacle is None and cgroup.read_counters(path).memory_bytes > self._swap_free_bytes:
            why = "This machine's swap has less room left than the website's memory needs."
            return Failure(reason=Reason.NO_SWAP, detail=f"{why} {_STAYS_AWAKE}")
        return self.obstacle

    async def freeze(self, path: str, *, is_still_wanted: Callable[[], bool]) -> swapped.Used | None:
        """Stop every process of a run, and return what `thaw` wants to know. None: that did not come about in time, or
        is no longer wanted, and all go on.
        """
        if await self._stop(path, is_still_wanted=is_still_wanted):
            return await asyncio.to_thread(swapped.find_used, path)
        cgroup.thaw(path)
        return None

    async def _stop(self, path: str, *, is_still_wanted: Callable[[], bool]) -> bool:
        try:
            cgroup.freeze(path)
            async with asyncio.timeout(FREEZE_DEADLINE_S):
                while is_still_wanted():
                    if cgroup.is_frozen(path):
                        return True
                    await asyncio.sleep(_LOOK_EVERY_S)
        except (OSError, TimeoutError) as error:
            log.warning("a run cannot be frozen", cgroup=path, error=repr(error))
        return False

    def reclaim_soon(self, path: str) -> None:
        """Move the memory of a frozen run to the swap, in its turn; nothing if it is no longer frozen by then."""
        self._in_background(self._reclaim(path), name=f"reclaim {path}")

    def thaw(self, path: str, *, used: swapped.Used) -> None:
        """Let a frozen run go on, at once. What it has in the swap is asked for meanwhile: what it will use most
        likely, or all where `used` does not say that.
        """
        cgroup.thaw(path)
        self._in_background(self._fetch(path, used=used), name=f"fetch {path}")

    def _in_background(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, path: str, *, used: swapped.Used) -> None:
        """Of many that wake at once the last have most of it back by themselves when it is their turn."""
        async with self._fetching:
            await asyncio.to_thread(swapped.fetch, path, used=used)

    async def _reclaim(self, path: str) -> None:
        async with self._reclaiming:
            if cgroup.is_frozen(path) and cgroup.read_counters(path).memory_bytes > _WORTH_BYTES:
                await asyncio.to_thread(cgroup.reclaim, path)


def cannot_freeze() -> Failure:
    return Failure(
        reason=Reason.CANNOT_FREEZE,
        detail=f"The kernel could not freeze the website within {FREEZE_DEADLINE_S:g} s: one of its processes waits "
        "for something that cannot be interrupted, a network file system for example. It stays awake, and is tried "
        "again when it has been idle for as long once more.",
    )


def find_obstacle(memory: Mapping[str, int], *, swappiness: int, can_freeze: bool) -> Failure | None:
    """Why no website can hibernate on a machine with this memory (as in /proc/meminfo, bytes)."""
    if not can_freeze:
        why = "This machine's kernel cannot freeze a website and reclaim its memory."
        return Failure(reason=Reason.CANNOT_FREEZE, detail=f"{why} {_STAYS_AWAKE}")
    if not memory.get("SwapTotal", 0):
        why = "This machine has no swap, where the memory of a website that hibernates goes."
    elif not swappiness:
        why = "vm.swappiness is 0 on this machine: the kernel moves nothing to the swap."
    elif memory.get("SwapFree", 0) < MIB:
        why = "This machine's swap is full."
    else:
        return None
    return Failure(reason=Reason.NO_SWAP, detail=f"{why} {_STAYS_AWAKE}")


def read_memory(file: Path = Path("/proc/meminfo")) -> dict[str, int]:
    """In bytes."""
    rows = (line.split() for line in file.read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3 and row[2] == "kB"}


def _read_swappiness() -> int:
    return int(Path("/proc/sys/vm/swappiness").read_text())
