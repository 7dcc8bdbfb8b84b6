"""Who keeps the processor busy yields to who needs it now and then.

Tenants have equal shares, so one that computes without end takes no more than its part; but each short request of
another one waits until it has had its turn, several times over. So a tenant that is heavy for a while is put into the
kernel's idle class (`cpu.idle`) among tenants: anybody else's process takes the processor from it at once, and what
nobody else wants it still gets. Two heavy ones share as before. A kernel without `cpu.idle` (before 5.15) does without.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from hostel.agent import cgroup
from hostel.agent.tenant import Tenant

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
HEAVY_CORES = 0.4  # more than that on average makes a tenant heavy
LIGHT_CORES = 0.2  # less than that for a while makes it light again
MEMORY_S = 3.0  # the average is over about as long


class Fairness:
    """`serve` is its task. While all tenants, whose cgroups lie below `root`, use little, nobody is looked at."""

    def __init__(self, root: str = "") -> None:
        self._root = root
        self._together = (0.0, float("-inf"))  # when, and the cpu_s of all of them then
        self._looked_at: dict[str, tuple[float, float]] = {}  # when, and the cpu_s of then
        self._cores: dict[str, float] = {}  # moving averages
        self._heavy: set[str] = set()

    async def serve(self, tenants: Callable[[], Sequence[Tenant]]) -> None:
        while True:
            if self._is_worth_a_look(cgroup.read_cpu_s(self._root), time.monotonic()):
                self._forget_all_but({tenant.cgroup for tenant in tenants()})
                for tenant in tenants():
                    if tenant.is_ready:
                        self.look_at(tenant.cgroup, cgroup.read_cpu_s(tenant.cgroup), time.monotonic())
                        await asyncio.sleep(0)
            await asyncio.sleep(LOOK_EVERY_S)

    def _is_worth_a_look(self, cpu_s: float, now: float) -> bool:
        """Whether somebody may have become heavy, or light again."""
        before_at, before_s = self._together
        self._together = now, cpu_s
        return bool(self._heavy) or cpu_s - before_s > LIGHT_CORES * (now - before_at)

    def look_at(self, path: str, cpu_s: float, now: float) -> bool:
        """Take in what the tenant with this cgroup has used so far. Returns whether it is heavy."""
        if path not in self._looked_at and cgroup.is_idle(path):  # by an earlier agent
            self._heavy.add(path)
        before_at, before_s = self._looked_at.get(path, (now, cpu_s))
        self._looked_at[path] = (now, cpu_s)
        seconds = now - before_at
        if seconds > 0:
            share = min(1.0, seconds / MEMORY_S)
            average = self._cores.get(path, 0.0)
            self._cores[path] = average + share * (max(0.0, cpu_s - before_s) / seconds - average)
            self._judge(path, self._cores[path])
        return path in self._heavy

    def _forget_all_but(self, paths: set[str]) -> None:
        for path in self._looked_at.keys() - paths:
            del self._looked_at[path]
            self._cores.pop(path, None)
            self._heavy.discard(path)

    def _judge(self, path: str, cores: float) -> None:
        if path not in self._heavy and cores > HEAVY_CORES:
            self._heavy.add(path)
            log.info("tenant is heavy", cgroup=path, cores=round(cores, 2))
            cgroup.set_idle(path, is_idle=True)
        elif path in self._heavy and cores < LIGHT_CORES:
            self._heavy.discard(path)
            cgroup.set_idle(path, is_idle=False)
