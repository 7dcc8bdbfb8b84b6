"""What is mounted, as /proc/self/mountinfo has it (proc_pid_mountinfo(5))."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mount:
    device: str  # `major:minor`
    place: str
    kind: str
    options: frozenset[str]  # of the file system; those of the mount alone are not among them


def read_mounts() -> Iterator[Mount]:
    """In the order in which they were made."""
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            mount, _, system = line.partition(" - ")
            device, _, place = mount.split()[2:5]
            kind, _, options = system.split(maxsplit=2)
            yield Mount(device, place, kind, frozenset(options.strip().split(",")))


def find_mount(place: Path) -> tuple[str, frozenset[str]]:
    """Type and options of the file system that holds `place`."""
    device = os.stat(place).st_dev
    found: tuple[str, frozenset[str]] = ("unknown", frozenset())
    for mount in read_mounts():
        if mount.device == f"{os.major(device)}:{os.minor(device)}":
            found = (mount.kind, mount.options)
    return found
