"""What only the running agent can say of the machine: is what it set still in force?"""

import asyncio
import os
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

from hostel.agent import network, sockets
from hostel.wire.report import AgentCheck
from hostel.wire.website import State

if TYPE_CHECKING:
    from hostel.agent.node import Node


async def check_machine(node: "Node") -> tuple[AgentCheck, ...]:
    """All checks, each of which says what to do when it is not ok."""
    checks: tuple[Callable[[Node], AgentCheck], ...] = (_panel, _rules, _forwarding, _sockets, _resolvers, _uids)
    return tuple([await asyncio.to_thread(check, node) for check in checks])


def _panel(node: "Node") -> AgentCheck:
    report = node.panel.report()
    why = f": {report.failure.detail}" if report.failure else ""
    return AgentCheck(
        name="panel",
        ok=report.state is State.RUNNING,
        message=f"the panel is {report.state.value}{why}",
        hint=f"read {node.paths.site_logs}/hostel/{node.config.panel_host}.error.log",
    )


def _rules(node: "Node") -> AgentCheck:
    table = f"hostel_{node.installation.id}"
    found = subprocess.run(["nft", "list", "table", "inet", table], capture_output=True, check=False, timeout=10)
    return AgentCheck(
        name="network rules",
        ok=found.returncode == 0,
        message=f"nftables table {table}" + ("" if found.returncode == 0 else " is gone"),
        hint="something flushed the rules: restart the platform, and let that something leave the table alone",
    )


def _forwarding(_: "Node") -> AgentCheck:
    with open("/proc/sys/net/ipv4/ip_forward") as file:
        is_on = file.read().strip() == "1"
    message = "the kernel forwards IPv4" if is_on else "net.ipv4.ip_forward is 0: sandboxes have no network"
    return AgentCheck(name="forwarding", ok=is_on, message=message, hint="sysctl -w net.ipv4.ip_forward=1")


def _sockets(node: "Node") -> AgentCheck:
    mounted = [t for t in node.tenants.values() if os.path.ismount(t.socket_directory)]
    bad = [tenant.name for tenant in mounted if not sockets.is_nosymfollow(tenant.socket_directory)]
    return AgentCheck(
        name="sockets",
        ok=not bad,
        message="socket directories follow no symlinks" if not bad else f"not mounted nosymfollow: {', '.join(bad)}",
        hint="restart the platform",
    )


def _resolvers(node: "Node") -> AgentCheck:
    resolvers = list(node.config.network.resolvers) or network.host_resolvers()
    return AgentCheck(
        name="name servers",
        ok=bool(resolvers),
        message=f"sandboxes ask {', '.join(resolvers)}" if resolvers else "the host has none that sandboxes can reach",
        hint=f"set network.resolvers in {node.paths.config_file}",
    )


def _uids(node: "Node") -> AgentCheck:
    left = 65_536 - node.installation.next_number
    return AgentCheck(
        name="uids",
        ok=left > 100,
        message=f"{left} users can still be added",
        hint="uids are never used twice: move to a new installation",
    )
