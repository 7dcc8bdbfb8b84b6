"""What an installation leaves in the kernel when its root is removed without `hostel up` being stopped first."""

import contextlib
import subprocess

import structlog
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from hostel.agent import cgroup, network
from hostel.agent.errors import SandboxFault
from hostel.agent.installation import Installation

log = structlog.get_logger()


def remove_leftovers(installation: Installation) -> None:
    """End what still runs of `installation`, and remove its links, rules and cgroups. Idempotent.

    What cannot be removed is logged: it must not keep another installation from starting.
    """
    log.warning("removed what was left of an installation whose root is gone", installation=installation.id)
    for above in installation.cgroups:
        cgroup.kill_trees(f"{above}/{name}" for name in cgroup.children(above))
    cgroup.kill_trees(installation.cgroups)
    try:
        with IPRoute() as ip:
            for link in ip.get_links():
                if str(link.get("ifname")).startswith(installation.interfaces):
                    with contextlib.suppress(NetlinkError):
                        ip.link("del", index=link["index"])
        network.remove_rules(installation)
    except (OSError, NetlinkError, SandboxFault, subprocess.SubprocessError) as error:
        log.error("the network of a gone installation could not be removed", error=str(error))
