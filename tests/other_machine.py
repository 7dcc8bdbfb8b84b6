"""What a platform's agent reads of its machine, given by a test: a machine that others use cannot be brought there.

The platform is started in a mount namespace of its own. There, for as long as a test says so, a file with other
contents lies at a path of the kernel's, or something is not mounted; nobody else sees anything of it.
"""

import contextlib
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

from hostel.agent import cgroup
from live import Platform

APART = ("unshare", "--mount", "--propagation", "private")  # becomes the command that follows
MEMINFO = Path("/proc/meminfo")


@contextlib.contextmanager
def memory(platform: Platform, **kilobytes: int) -> Iterator[None]:
    """The machine's own memory, but with these figures: MemAvailable=1024."""
    own = [line.split() for line in MEMINFO.read_text().splitlines()]
    lines = [" ".join([name, str(kilobytes.get(name.rstrip(":"), size)), *unit]) for name, size, *unit in own]
    file = platform.root / f"meminfo-{secrets.token_hex(4)}"
    file.write_text("\n".join(lines) + "\n")
    _inside(platform, "mount", "--bind", str(file), str(MEMINFO))
    try:
        yield
    finally:
        _inside(platform, "umount", "--lazy", str(MEMINFO))  # the agent may be reading it


@contextlib.contextmanager
def without_controller(platform: Platform, name: str) -> Iterator[None]:
    """Of version 1 of cgroups."""
    place = str(cgroup.ROOT / name)
    _inside(platform, "umount", "--lazy", place)
    try:
        yield
    finally:
        _inside(platform, "mount", "-t", "cgroup", "-o", name, "cgroup", place)


def _inside(platform: Platform, *argv: str) -> None:
    subprocess.run(["nsenter", f"--target={platform.supervisor_pid}", "--mount", *argv], check=True, timeout=30)
