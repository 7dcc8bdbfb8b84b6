"""The child process that measures homes: `python -I disk_walk.py HOMES`, names on standard input, results on output.

It reads what tenants write while they write it, so: from an opened directory downward, never through a symbolic link,
never onto another file system, and never up but to where it came from. At the lowest priority and a bounded rate: no
hurry. A process of its own, because a thread of low priority that holds the interpreter's lock would slow the agent
down exactly when the machine is busy. Standard library only, nothing of Hostel's.
"""

import contextlib
import os
import stat
import sys
import time
from dataclasses import dataclass, field

ENTRIES_PER_S = 20_000
ENTRIES_LIMIT = 2_000_000  # more in one home, and what was found so far is the answer
_BATCH = 500
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(slots=True)
class Measured:
    """`is_complete` is False where something could not be looked at, or was moved away meanwhile, or is too much."""

    used_bytes: int = 0
    entries: int = 0
    is_complete: bool = True
    _linked: set[int] = field(default_factory=set)  # inodes with several names, counted once

    def count(self, status: os.stat_result) -> None:
        self.entries += 1
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if status.st_ino in self._linked:
                return
            self._linked.add(status.st_ino)
        self.used_bytes += status.st_blocks * 512


class Pace:
    """Sleeps so that no more than so many entries are looked at in a second."""

    def __init__(self, per_s: float = ENTRIES_PER_S) -> None:
        self._per_s = per_s
        self._count = 0
        self._began = time.monotonic()

    def step(self) -> None:
        self._count += 1
        if self._count >= _BATCH:
            ahead_s = self._count / self._per_s - (time.monotonic() - self._began)
            if ahead_s > 0:
                time.sleep(ahead_s)
            self._count, self._began = 0, time.monotonic()


def measure(home: str, pace: Pace) -> Measured:
    """What lies in `home`, a path that no tenant can change. Raises OSError where it is no directory."""
    found = Measured()
    here = os.open(home, _OPEN)
    try:
        top = os.fstat(here)
        found.count(top)
        above: list[tuple[tuple[int, int], list[str]]] = []  # who is above, and its directories still to be entered
        pending = _look(here, top.st_dev, found, pace)
        while True:
            if pending:
                child = _enter(here, pending.pop(), top.st_dev, found)
                if child is not None:
                    above.append((_identity(here), pending))
                    os.close(here)
                    here = child
                    pending = _look(here, top.st_dev, found, pace)
            elif above:
                identity, pending = above.pop()
                parent = os.open("..", _OPEN, dir_fd=here)
                os.close(here)
                here = parent
                if _identity(here) != identity:  # moved away meanwhile
                    found.is_complete = False
                    break
            else:
                break
    finally:
        os.close(here)
    return found


def _look(here: int, device: int, found: Measured, pace: Pace) -> list[str]:
    """Count what is directly in `here`; the names of directories in it."""
    directories = []
    with os.scandir(here) as entries:
        for entry in entries:
            if found.entries >= ENTRIES_LIMIT:
                found.is_complete = False
                return []
            pace.step()
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:  # removed meanwhile
                continue
            if status.st_dev == device:
                found.count(status)
                if stat.S_ISDIR(status.st_mode):
                    directories.append(entry.name)
    return directories


def _enter(here: int, name: str, device: int, found: Measured) -> int | None:
    try:
        child = os.open(name, _OPEN, dir_fd=here)
    except OSError as error:
        found.is_complete = found.is_complete and isinstance(error, FileNotFoundError)
        return None
    if os.fstat(child).st_dev == device:
        return child
    os.close(child)
    return None


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _be_of_low_priority() -> None:
    os.nice(19)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main() -> None:
    _be_of_low_priority()
    homes, pace = sys.argv[1], Pace()
    for line in sys.stdin:
        name = line.rstrip("\n")
        try:
            found = measure(f"{homes}/{name}", pace)
        except OSError as error:
            print(f"{name} - {error.strerror}", flush=True)
        else:
            print(f"{name} {found.used_bytes} {found.entries} {int(found.is_complete)}", flush=True)


if __name__ == "__main__":
    main()
