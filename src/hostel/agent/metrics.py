"""Keeps what the charts of all websites show: once a minute one question to the edge, and a look at each run.

What is known lies in memory, in a fixed size for each website of which there is something to know, and in one file
each, which is written every ten minutes and at an orderly end. A kill costs what was not written: a gap.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from hostel.agent import cgroup, series
from hostel.agent.sandbox import Sandbox
from hostel.agent.series import MINUTE_S, DamagedSeries, Sample, Series, add_up
from hostel.edge.publish import Counted
from hostel.wire.errors import EdgeUnreachable, UnknownWebsite
from hostel.wire.metrics import Period, WebsiteMetrics
from hostel.wire.names import SYSTEM_TENANT
from hostel.wire.website import RunId

if TYPE_CHECKING:
    from hostel.agent.node import Node

log = structlog.get_logger()

SAVE_EVERY_MINUTES = 10
_AT_ONCE = 50  # websites; between them others have their turn
_LEAST_S = 1.0  # between two questions to the edge, and between two looks at a run that its use is told of
_ALL_HEARD_S = 60.0  # after so long a worker of the edge has handed over what it had counted
_OWN = "agent"  # no domain: those have a dot


@dataclass(frozen=True, slots=True)
class Look:
    """At one run."""

    at_s: float  # monotonic
    run: RunId
    cpu_s: float


class Metrics:
    """`serve` is its task. Nothing is kept of the panel."""

    def __init__(self, node: "Node", directory: Path) -> None:
        self._node = node
        self._directory = directory
        self._series: dict[str, Series] = {}
        self._looks: dict[str, Look] = {}
        self._deeds: dict[str, tuple[int, int]] = {}  # restarts and reloads that are accounted for
        self._freed: dict[str, float] = {}  # names, and when, since 1970: what was counted before is of who had them
        self._asked_at = -_LEAST_S  # monotonic
        self._renaming = threading.Lock()  # a file is put in its place by a thread
        self._saved_at = _minute() // SAVE_EVERY_MINUTES

    async def serve(self) -> None:
        self._remove_strangers()
        while True:
            await self.look()
            await asyncio.sleep(MINUTE_S - time.time() % MINUTE_S)

    async def close(self) -> None:
        """The agent ends in order."""
        with contextlib.suppress(EdgeUnreachable):  # which ends before the agent where all of it does
            await self._take()
        self.save()

    async def look(self) -> None:
        """At the edge and at everything that is awake."""
        await self._ask_edge()
        awake = self._node.awake
        for domain in self._looks.keys() - awake.keys():
            del self._looks[domain]
        domains = [domain for domain in awake if self._is_watched(domain)]
        for first in range(0, len(domains), _AT_ONCE):
            await self._look_at({domain: awake[domain] for domain in domains[first : first + _AT_ONCE]})
        self._count_deeds(self._node.websites)
        self._series_of(_OWN).add(_minute(), Sample())
        if _minute() // SAVE_EVERY_MINUTES != self._saved_at:
            self._saved_at = _minute() // SAVE_EVERY_MINUTES
            self._forget_the_old()
            await asyncio.to_thread(self.save)

    async def report(self, domain: str, period: Period) -> WebsiteMetrics:
        """Up to this moment. Raises UnknownWebsite."""
        if not self._is_watched(domain):
            raise UnknownWebsite
        await self._ask_edge()
        serving = self._node.awake.get(domain)
        if serving is not None:
            await self._look_at({domain: serving})
        if not self._is_watched(domain):  # deleted meanwhile
            raise UnknownWebsite
        self._count_deeds([domain])
        ring, seen = self._ring(domain, period), self._ring(_OWN, period)
        last = _minute() // ring.minutes
        first, step_s = last - ring.size + 1, ring.minutes * MINUTE_S
        limits = self._node.websites[domain].spec.limits
        # Where somebody looked and nothing had happened, the point says so; else there is none.
        points = (ring.find(index) or seen.find(index) for index in range(first, last + 1))
        return WebsiteMetrics(
            period=period,
            step_s=step_s,
            from_s=first * step_s,
            until_s=(last + 1) * step_s,
            memory_limit_bytes=limits.memory_bytes,
            cpu_limit_cores=limits.cpu,
            points=tuple(point for point in points if point is not None),
        )

    def forget(self, domain: str) -> None:
        """The website was deleted: who has its name next shall see nothing of it."""
        self._looks.pop(domain, None)
        self._deeds.pop(domain, None)
        self._freed[domain] = time.time()
        self._drop(domain)

    def save(self) -> None:
        """Not flushed to the disk: what a power cut tears begins anew."""
        for domain, kept in list(self._series.items()):
            if kept.is_new:
                kept.is_new = False
                temporary = self._directory / f".{domain}"
                try:
                    temporary.write_bytes(kept.dump())
                    with self._renaming:
                        if self._series.get(domain) is kept:
                            temporary.replace(self._file(domain))
                        else:  # the website was deleted meanwhile
                            temporary.unlink()
                except OSError as error:
                    kept.is_new = True
                    log.warning("metrics could not be written", website=domain, error=str(error))

    # -- private

    def _drop(self, domain: str) -> None:
        with self._renaming:
            self._series.pop(domain, None)
            self._file(domain).unlink(missing_ok=True)

    async def _ask_edge(self) -> None:
        if time.monotonic() - self._asked_at < _LEAST_S:
            return
        self._asked_at = time.monotonic()
        try:
            await self._take()
        except EdgeUnreachable as error:
            log.warning("the edge does not say what it has counted", error=str(error))

    async def _take(self) -> None:
        began = time.time()
        taken = await self._node.edge.take_metrics()
        by_minute: dict[int, dict[str, list[int]]] = {}
        for counted in taken:
            add_up(by_minute.setdefault(counted.at_s // MINUTE_S, {}), self._of_owners(counted))
        self._freed = {domain: at for domain, at in self._freed.items() if abs(began - at) < _ALL_HEARD_S}
        for minute, websites in by_minute.items():
            for number, (domain, counts) in enumerate(websites.items()):
                if self._is_watched(domain):
                    self._series_of(domain).add(minute, Sample(counts=counts))
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _of_owners(self, counted: Counted) -> dict[str, Sequence[int]]:
        """Without the visits of websites whose names were given up since."""
        return {
            domain: pairs
            for domain, pairs in counted.websites.items()
            if counted.began.get(domain, counted.at_s) > self._freed.get(domain, 0.0)
        }

    async def _look_at(self, runs: Mapping[str, Sandbox]) -> None:
        found = await asyncio.to_thread(read_runs, [sandbox.cgroup for sandbox in runs.values()])
        now = time.monotonic()
        for (domain, sandbox), (memory_bytes, cpu_s) in zip(runs.items(), found, strict=True):
            before = self._looks.get(domain)
            if not self._is_watched(domain):  # deleted meanwhile
                continue
            sample, over_s = Sample(memory_bytes=memory_bytes), 0.0
            if before is not None and before.run == sandbox.run:
                over_s = now - before.at_s
                if over_s < _LEAST_S:
                    continue
                sample = replace(sample, cpu_s=max(0.0, cpu_s - before.cpu_s), over_s=over_s)
            self._looks[domain] = Look(now, sandbox.run, cpu_s)
            self._series_of(domain).add(_minute(ago_s=over_s / 2), sample)

    def _count_deeds(self, domains: Iterable[str]) -> None:
        for domain in domains:
            known, deeds = self._deeds.get(domain, (0, 0)), self._node.websites[domain].deeds
            if deeds != known and self._is_watched(domain):
                self._deeds[domain] = deeds
                sample = Sample(restarts=deeds[0] - known[0], reloads=deeds[1] - known[1])
                self._series_of(domain).add(_minute(), sample)

    def _is_watched(self, domain: str) -> bool:
        website = self._node.websites.get(domain)
        return website is not None and website.spec.tenant != SYSTEM_TENANT

    def _ring(self, domain: str, period: Period) -> series.Ring:
        kept = self._series.get(domain) or self._read(domain) or Series()
        return kept.hour if period is Period.HOUR else kept.day

    def _series_of(self, domain: str) -> Series:
        kept = self._series.get(domain)
        if kept is None:
            kept = self._series[domain] = self._read(domain) or Series()
        return kept

    def _read(self, domain: str) -> Series | None:
        """What an earlier agent has left."""
        try:
            return series.load(self._file(domain).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, DamagedSeries) as error:
            log.warning("metrics cannot be read and begin anew", website=domain, error=str(error))
            return None

    def _forget_the_old(self) -> None:
        """Of whom nothing was seen for a day there is nothing left to show."""
        for domain, kept in list(self._series.items()):
            if not kept.day.has_since(_minute() // kept.day.minutes - kept.day.size):
                self._drop(domain)

    def _remove_strangers(self) -> None:
        for file in self._directory.iterdir():
            if file.name != _OWN and file.name not in self._node.websites:
                with contextlib.suppress(OSError):
                    file.unlink()

    def _file(self, domain: str) -> Path:
        return self._directory / domain


def _minute(*, ago_s: float = 0.0) -> int:
    return int(time.time() - ago_s) // MINUTE_S


def read_runs(paths: list[str]) -> list[tuple[int, float]]:
    """Memory in bytes and seconds of the processor of the runs with these cgroups."""
    return [(cgroup.read_memory_bytes(path), cgroup.read_cpu_s(path)) for path in paths]
