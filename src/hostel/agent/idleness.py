"""Finds the websites that nobody uses and lets them sleep, where their owner or their plan says so.

One look at all: one question to the edge for those that are awake and may sleep, and the processor time of one of
them when it has just become idle and when it has been so for long enough. Asleep ones cost nothing.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from hostel.agent import cgroup
from hostel.agent.hibernation import Hibernation
from hostel.edge.publish import Idleness
from hostel.wire.errors import EdgeUnreachable
from hostel.wire.website import RunId

if TYPE_CHECKING:
    from hostel.agent.node import Node
    from hostel.agent.website import Website

log = structlog.get_logger()

LOOK_MOST_S, LOOK_LEAST_S = 10.0, 1.0
_LOOKS_A_TERM = 4  # of the website that may sleep soonest
IDLE_CORES = 0.01  # more than that on average is no tick of a server's, but work
MEASURED_LEAST_S = 0.8
SLEEPERS_MOST = 50  # a look: each is published
# Under memory pressure: some task waited for memory for so much of the last ten seconds.
PRESSED_PERCENT = 10.0
PRESSED_IDLE_S = 10.0  # who was visited within that time is not idle
PRESSED_MOST = 8  # a look, so that the pressure can be seen to fall
PRESSURE = Path("/proc/pressure/memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Of one website that is awake: since when nobody was there, and what it has used when that was noticed."""

    run: RunId
    since: float  # monotonic
    was_busy: bool = True  # at the last look
    measured_at: float = 0.0
    cpu_s: float | None = None  # None: not read yet

    def is_working(self, cpu_s: float, now: float) -> bool:
        """Whether it has used the processor since it was measured first; it is given time to show that."""
        if self.cpu_s is None:
            return True
        return (cpu_s - self.cpu_s) / max(now - self.measured_at, MEASURED_LEAST_S) > IDLE_CORES


def follow(before: Rest | None, run: RunId, *, in_flight: int, seen_s: float, now: float) -> Rest:
    """What is known after a look at which the last request came `seen_s` ago (-1: longer than the edge knows)."""
    last = now - seen_s if seen_s >= 0 else 0.0
    if before is None or before.run != run:
        return Rest(run=run, since=now, was_busy=in_flight > 0)
    if in_flight or before.was_busy:
        return Rest(run=run, since=now, was_busy=in_flight > 0)
    if last > before.since:
        return Rest(run=run, since=last, was_busy=False)
    return before


def choose(rests: Mapping[str, Rest], terms_s: Mapping[str, float], *, now: float, is_pressed: bool) -> list[str]:
    """Which websites have been idle for long enough; under pressure those that have been so for longest as well."""
    idle = sorted((each for each, rest in rests.items() if not rest.was_busy), key=lambda each: rests[each].since)
    due = [each for each in idle if now - rests[each].since >= terms_s[each]]
    early = [each for each in idle if now - rests[each].since >= PRESSED_IDLE_S] if is_pressed else []
    return list(dict.fromkeys([*due, *early[:PRESSED_MOST]]))[:SLEEPERS_MOST]


class Watch:
    """`serve` is its task."""

    def __init__(self, node: "Node", hibernation: Hibernation) -> None:
        self._node = node
        self._hibernation = hibernation
        self._rests: dict[str, Rest] = {}
        self._terms_s: dict[str, float] = {}

    async def serve(self) -> None:
        while True:
            await self.look()
            shortest_s = min(self._terms_s.values(), default=LOOK_MOST_S)
            await asyncio.sleep(max(LOOK_LEAST_S, min(LOOK_MOST_S, shortest_s / _LOOKS_A_TERM)))

    async def look(self) -> None:
        self._hibernation.look()
        sites = {domain: site for domain, site in self._node.websites.items() if site.may_fall_asleep}
        self._terms_s = {domain: site.spec.sleep_after_s for domain, site in sites.items()}
        self._rests = {domain: rest for domain, rest in self._rests.items() if domain in sites}
        if not sites:
            return
        try:
            found = await self._node.edge.idleness(list(sites))
        except EdgeUnreachable as error:
            log.warning("the edge does not say who is idle", error=str(error))
            return
        now = time.monotonic()
        for domain, site in sites.items():
            self._follow(domain, site, found.get(domain), now)
        is_pressed = read_pressure() >= PRESSED_PERCENT and self._hibernation.is_memory_short
        for domain in choose(self._rests, self._terms_s, now=now, is_pressed=is_pressed):
            self._judge(domain, sites[domain], now)

    def _follow(self, domain: str, site: "Website", found: Idleness | None, now: float) -> None:
        before = self._rests.pop(domain, None)
        if site.serving is None or found is None:  # it has just ended, or the edge knows nothing
            return
        rest = follow(before, site.serving.run, in_flight=found.in_flight, seen_s=found.seen_s, now=now)
        if rest is before and rest.cpu_s is None:  # idle since the last look: what it uses from here on is its own
            rest = replace(rest, cpu_s=cgroup.read_cpu_s(site.serving.cgroup), measured_at=now)
        self._rests[domain] = rest

    def _judge(self, domain: str, site: "Website", now: float) -> None:
        """Let it sleep, unless it has been working. Either way its rest begins anew: it may not come to sleep."""
        rest = self._rests[domain]
        if site.serving is None or rest.cpu_s is None or now - rest.measured_at < MEASURED_LEAST_S:
            return
        cpu_s = cgroup.read_cpu_s(site.serving.cgroup)
        if not rest.is_working(cpu_s, now):
            log.info("website is idle", website=domain, idle_s=round(now - rest.since), tier=site.spec.sleep.value)
            site.fall_asleep()
        self._rests[domain] = Rest(run=rest.run, since=now, was_busy=False)


def read_pressure(file: Path = PRESSURE) -> float:
    """How much of the last ten seconds some task waited for memory, in percent; 0 where the kernel does not say."""
    try:
        line = file.read_text().split("\n", 1)[0]
    except OSError:
        return 0.0
    return next((float(word[6:]) for word in line.split() if word.startswith("avg10=")), 0.0)
