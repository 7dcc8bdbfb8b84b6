"""What each tenant uses: counters of the kernel and of the edge, read when somebody asks."""

import time
from typing import TYPE_CHECKING

import structlog

from hostel.agent import cgroup
from hostel.wire.errors import EdgeUnreachable
from hostel.wire.report import TenantUsage, TenantUsages

if TYPE_CHECKING:
    from hostel.agent.node import Node
    from hostel.agent.tenant import Tenant

log = structlog.get_logger()


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
