"""What makes starts of websites quick, and is set on the machine for it."""

import os
from pathlib import Path

import pytest

LINUX = tuple(int(part) for part in os.uname().release.split(".")[:2])


@pytest.mark.skipif(LINUX < (6, 0), reason="favordynmods came with Linux 6.0")
@pytest.mark.usefixtures("platform")
def test_processes_enter_cgroups_without_waiting() -> None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    unified = [options.split(",") for _, _, kind, options, *_ in mounts if kind == "cgroup2"]
    assert all("favordynmods" in options for options in unified[:1]), unified
