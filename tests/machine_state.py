"""What the kernel knows of one tenant of a test platform: cgroups, counters, processes."""

import json
from pathlib import Path

from hostel.agent import cgroup
from hostel.agent.installation import Installation
from hostel.wire.codec import parse
from live import Platform

CGROUPS = Path("/sys/fs/cgroup")


def tenant_cgroup(platform: Platform, name: str) -> str:
    installation = parse(Installation, json.loads(platform.paths.installation_file.read_text()))
    number = json.loads((platform.paths.tenants / f"{name}.json").read_text())["number"]
    return installation.cgroup_of(number)


def processes_of(platform: Platform, name: str) -> list[int]:
    """All that runs of a tenant, in whatever sandbox."""
    path = tenant_cgroup(platform, name)
    return [pid for run in cgroup.children(path) for pid in cgroup.processes(f"{path}/{run}")]


def read_counter(path: str, controller: str, v1: str, v2: str) -> str:
    """The file of a cgroup that holds a counter, on either version."""
    place = CGROUPS / path.strip("/") / v2 if cgroup.is_unified() else CGROUPS / controller / path.strip("/") / v1
    return place.read_text().strip()
