"""The end of all that an installation has running on this machine."""

import asyncio

from hostel.agent import cgroup, network
from hostel.agent.installation import Installation
from hostel.agent.sandbox import Sandboxes
from hostel.agent.streams import Logger
from hostel.agent.tenant import release
from hostel.wire.paths import Paths

STOP_GRACE_S = 10.0


async def end_everything(paths: Paths, installation: Installation) -> None:
    """End and remove all that this installation has in the kernel: what is known from it alone, not from records.

    TERM to all sandboxes, KILL after a grace. Records stay: the next agent has the websites asleep. Idempotent.
    """
    in_cgroups = (name for tree in installation.cgroups for name in cgroup.children(tree))
    names = {*in_cgroups, *(entry.name for entry in paths.sockets.iterdir())}
    numbers = sorted(int(name) for name in names if name.isdecimal())
    tenants = [installation.cgroup_of(number) for number in numbers]
    runs = [f"{tenant}/{run}" for tenant in tenants for run in cgroup.children(tenant)]
    await asyncio.to_thread(cgroup.terminate, runs, grace_s=STOP_GRACE_S)
    await asyncio.to_thread(Sandboxes(paths, Logger(paths.logger_socket)).forget_all)
    for number in numbers:
        await asyncio.to_thread(release, paths, installation, number)
    await asyncio.to_thread(cgroup.kill_trees, installation.cgroups)
    await asyncio.to_thread(network.remove_rules, installation)
