"""What tenants and websites use: counters of the kernel and of the edge, read when somebody asks.

What a website does in a minute takes two looks: the meter keeps those of the last one.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from hostel.agent import cgroup
from hostel.agent.turns import Turns
from hostel.wire.errors import EdgeUnreachable
from hostel.wire.report import Draining, InFlight, RunUsage, TenantUsage, TenantUsages, WebsiteStatus
from hostel.wire.website import RunId

if TYPE_CHECKING:
    from hostel.agent.node import Node
    from hostel.agent.tenant import Tenant
    from hostel.agent.website import Website

log = structlog.get_logger()

LOOK_EVERY_S = 5.0
LOOKS_MOST = 100  # each time: of 1,000 websites that are awake each is looked at every 50 seconds
_LOOKS_LEAST = 2  # are kept, however old: what is asked for lies between them
_MINUTE_S = 60.0
_SHORTEST_S = 1.0  # between two looks that a rate is made of


async def read_usage(node: "Node") -> TenantUsages:
    """Of all users. Where the edge does not answer, requests are 0."""
    domains: dict[str, list[str]] = {tenant.name: [] for tenant in node.users()}
    for domain, website in node.websites.items():
        domains.get(website.spec.tenant, []).append(domain)
    try:
        arrived = await node.edge.arrivals([domain for of_one in domains.values() for domain in of_one])
    except EdgeUnreachable as error:
        log.warning("the edge does not say how many requests there were", error=str(error))
        arrived = {}
    tenants = (_read(node, tenant, domains[tenant.name], arrived) for tenant in node.users())
    return TenantUsages(at_s=time.monotonic(), tenants=tuple(tenants))


def _read(node: "Node", tenant: "Tenant", domains: list[str], arrived: dict[str, int]) -> TenantUsage:
    counters = cgroup.read_counters(tenant.cgroup)
    return TenantUsage(
        name=tenant.name,
        is_suspended=tenant.is_suspended,
        websites=len(domains),
        running=sum(node.websites[domain].serving is not None for domain in domains),
        cpu_s=counters.cpu_s,
        memory_bytes=counters.memory_bytes,
        processes=counters.processes,
        requests=sum(arrived.get(domain, 0) for domain in domains),
        disk=node.disk.find(tenant.name),
    )


@dataclass(frozen=True, slots=True)
class Look:
    """At one website that runs."""

    at_s: float  # monotonic
    run: RunId
    cpu_s: float  # since the run began
    arrived: int  # requests since nginx started


class Meter:
    """Looks at what is awake, every few seconds and at so many at a time; `serve` is its task."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._looks: dict[str, deque[Look]] = {}
        self._turns = Turns(LOOKS_MOST)

    async def serve(self) -> None:
        while True:
            await self._look_at_some()
            await asyncio.sleep(LOOK_EVERY_S)

    async def status(self, domain: str) -> WebsiteStatus:
        """Raises UnknownWebsite."""
        report = self._node.report(domain)
        website = self._node.websites[domain]
        status = WebsiteStatus(report=report, last_failure=website.record.last_failure, starting=website.beginning)
        try:
            edge = await self._node.edge.status(domain)
            arrived = await self._node.edge.arrivals([domain])
            status = replace(status, draining=await self._draining(website))
            in_flight = InFlight(requests=edge.requests, websockets=edge.websockets, held=edge.held)
        except EdgeUnreachable as error:
            log.warning("the edge does not say what is in flight", website=domain, error=str(error))
            arrived, in_flight = {}, None
        serving = website.serving
        if serving is None:
            return replace(status, in_flight=in_flight)
        counters = await asyncio.to_thread(cgroup.read_counters, serving.cgroup)
        now = Look(time.monotonic(), serving.run, counters.cpu_s, arrived.get(domain, 0))
        looks = self._looks.get(domain, ())
        return replace(
            status,
            in_flight=in_flight,
            requests_per_minute=requests_per_minute(looks, now) if arrived else None,
            usage=RunUsage(
                memory_bytes=counters.memory_bytes,
                memory_limit_bytes=website.spec.limits.memory_bytes,
                processes=counters.processes,
                cpu_percent=cpu_percent(looks, now),
            ),
        )

    async def _draining(self, website: "Website") -> Draining | None:
        bound = [await self._node.edge.bound(run) for run in website.retirement.runs]
        if not bound:
            return None
        return Draining(requests=sum(run.plain for run in bound), websockets=sum(run.streaming for run in bound))

    async def _look_at_some(self) -> None:
        awake = self._node.awake
        for domain in self._looks.keys() - awake.keys():
            del self._looks[domain]
        serving = {domain: awake[domain] for domain in self._turns.take(awake)}
        if not serving:
            return
        try:
            arrived = await self._node.edge.arrivals(list(serving))
        except EdgeUnreachable:
            return  # looks must tell of both; the next one does
        cpu_s = await asyncio.to_thread(_read_cpus, [sandbox.cgroup for sandbox in serving.values()])
        now = time.monotonic()
        for (domain, sandbox), seconds in zip(serving.items(), cpu_s, strict=True):
            looks = self._looks.setdefault(domain, deque())
            looks.append(Look(now, sandbox.run, seconds, arrived.get(domain, 0)))
            while len(looks) > _LOOKS_LEAST and looks[0].at_s < now - _MINUTE_S:
                looks.popleft()


def requests_per_minute(looks: Iterable[Look], now: Look) -> float | None:
    """Since the oldest look after which nginx was not started anew."""
    first = next((look for look in looks if look.arrived <= now.arrived), None)
    if first is None or now.at_s - first.at_s < _SHORTEST_S:
        return None
    return round((now.arrived - first.arrived) * _MINUTE_S / (now.at_s - first.at_s), 1)


def cpu_percent(looks: Iterable[Look], now: Look) -> float | None:
    """Since the oldest look at this run."""
    first = next((look for look in looks if look.run == now.run), None)
    if first is None or now.at_s - first.at_s < _SHORTEST_S:
        return None
    return round(max(0.0, now.cpu_s - first.cpu_s) / (now.at_s - first.at_s) * 100, 1)


def _read_cpus(paths: list[str]) -> list[float]:
    return [cgroup.read_cpu_s(path) for path in paths]
