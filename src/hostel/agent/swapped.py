"""Brings back what a frozen process has in the swap, before it asks for it page by page.

A Django website that wakes touches some 2,800 pages for its first answer, and waits for the disk at each few of them;
asked for together they come in one go. `process_madvise` (Linux 5.10) asks; without it they come one by one.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from hostel.agent import cgroup

PROCESSES_MOST = 32  # of one run
RANGES_MOST = 4096  # of one process: who has more chose so, and waits
LINES_MOST = 4 * RANGES_MOST
_RANGES_A_CALL = 512  # the kernel takes 1024
_PROCESS_MADVISE, _WILLNEED = 440, 3  # the same on all architectures; asm-generic/mman-common.h

_libc = ctypes.CDLL(None, use_errno=True)


class _Range(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("length", ctypes.c_size_t))


def fetch(path: str) -> None:
    """Ask for what the processes of the run with this cgroup have in the swap. Blocks while the disk is asked."""
    for pid in cgroup.processes(path)[:PROCESSES_MOST]:
        with contextlib.suppress(OSError):  # it has ended, or the kernel knows no such call
            _fetch(pid)


def _fetch(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    try:
        with Path(f"/proc/{pid}/maps").open() as lines:
            ranges = list(islice(find_ranges(islice(lines, LINES_MOST)), RANGES_MOST))
        for first in range(0, len(ranges), _RANGES_A_CALL):
            some = ranges[first : first + _RANGES_A_CALL]
            asked = (_Range * len(some))(*(_Range(start, end - start) for start, end in some))
            if _libc.syscall(_PROCESS_MADVISE, descriptor, asked, len(some), _WILLNEED, 0) < 0:
                raise OSError(ctypes.get_errno(), f"process_madvise of {pid}")
    finally:
        os.close(descriptor)


def find_ranges(lines: Iterator[str]) -> Iterator[tuple[int, int]]:
    """Of /proc/<pid>/maps what is memory of the process's own; of a file the whole of it would be read."""
    for line in lines:
        span, modes, _, _, inode = line.split(maxsplit=5)[:5]
        if modes[1] == "w" and inode == "0":
            start, _, end = span.partition("-")
            yield int(start, 16), int(end, 16)
