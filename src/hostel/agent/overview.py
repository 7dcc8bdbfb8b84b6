"""What a user's dashboard shows, in one small answer however many websites there are."""

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostel.agent import certificate_desk, cgroup
from hostel.wire.report import TenantOverview
from hostel.wire.website import Phase, State, WebsiteReport

if TYPE_CHECKING:
    from hostel.agent.node import Node

TROUBLED_MOST = 20
_SHORTEST_S = 1.0  # that the use of the processor is told over
_LONGEST_S = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    at_s: float  # monotonic
    cpu_s: float


class Overviews:
    """Remembers when whose processor time was last looked at: use takes two looks."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._looks: dict[str, Look] = {}

    def read(self, name: str, *, domains: Collection[str]) -> TenantOverview:
        """Raises UnknownTenant."""
        tenant = self._node.user(name)
        counters = cgroup.read_counters(tenant.cgroup)
        reports = self._node.reports(name)
        return TenantOverview(
            states=dict(Counter(report.state.value for report in reports)),
            troubled=tuple(report for report in reports if is_troubled(report))[:TROUBLED_MOST],
            websites=self._node.reports(name, only=domains) if domains else (),
            memory_bytes=counters.memory_bytes,
            cpu_percent=self._cpu_percent(name, Look(time.monotonic(), counters.cpu_s)),
            disk=self._node.disk.find(name),
            certificates=certificate_desk.reports(self._node, tenant=name).certificates,
            consoles=self._node.consoles.report_all(tenant).consoles,
        )

    def _cpu_percent(self, name: str, now: Look) -> float | None:
        """Of one core, since the last look that is old enough and not too old; None without one."""
        before = self._looks.get(name)
        seconds = now.at_s - before.at_s if before else _LONGEST_S + 1
        if before is None or seconds > _LONGEST_S:
            self._looks = {other: look for other, look in self._looks.items() if now.at_s - look.at_s < _LONGEST_S}
            self._looks[name] = now
            return None
        if seconds < _SHORTEST_S:
            return None
        self._looks[name] = now
        return round(max(0.0, now.cpu_s - before.cpu_s) / seconds * 100, 1)


def is_troubled(report: WebsiteReport) -> bool:
    return report.state in (State.FAILED, State.BACKING_OFF) or report.deploy.phase is Phase.FAILED
