"""Brings back what a frozen process has in the swap, before it asks for it page by page.

A Django website that wakes touches some 2,800 pages for its first answer, and waits for the disk at each few of them;
asked for together they come in one go. `process_madvise` (Linux 5.10) asks; without it they come one by one.

It has three times as many, though, and most of the time of a wake goes into those. So what it has used from one wake to
the next sleep is what it gets at the wake after that.
"""

import contextlib
import ctypes
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from hostel.agent import cgroup

PROCESSES_MOST = 32  # of one run
RANGES_MOST = 4096  # of one process: who has more chose so, and waits
LINES_MOST = 4 * RANGES_MOST
_RANGES_A_CALL = 512  # the kernel takes 1024
MEASURED_BYTES_MOST = 1 << 30  # of one process
_PAGE, _ENTRY = os.sysconf("SC_PAGESIZE"), 8
_TOP_BIT = bytes(byte >> 7 for byte in range(256))
_PRESENT = re.compile(rb"\x01+(?:\x00{1,4}\x01+)*")  # a small gap costs less than another range
_PROCESS_MADVISE, _WILLNEED = 440, 3  # the same on all architectures; asm-generic/mman-common.h

_libc = ctypes.CDLL(None, use_errno=True)


class _Range(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("length", ctypes.c_size_t))


# By process; each list is what one call takes.
Used = Mapping[int, Sequence["ctypes.Array[_Range]"]]


def fetch(path: str, *, used: Used) -> None:
    """Ask for what the processes of the run with this cgroup have in the swap: of those in `used` what they will use
    most likely, of others all of it. Blocks while the disk is asked.
    """
    for pid in cgroup.processes(path)[:PROCESSES_MOST]:
        with contextlib.suppress(OSError):  # it has ended, or the kernel knows no such call
            _fetch(pid, used[pid] if pid in used else _split(_read_ranges(pid)))


def find_used(path: str) -> Used:
    """What each process of a frozen run has used since it last went on: that is in memory, and what it did not touch
    still in the swap. Without the processes of which more is needed to tell than is worth it.
    """
    found = {}
    for pid in cgroup.processes(path)[:PROCESSES_MOST]:
        with contextlib.suppress(OSError):
            ranges = _read_ranges(pid)
            if sum(end - start for start, end in ranges) <= MEASURED_BYTES_MOST:
                found[pid] = _split(_find_present(pid, ranges))
    return found


def _fetch(pid: int, asked: Sequence["ctypes.Array[_Range]"]) -> None:
    descriptor = os.pidfd_open(pid)
    try:
        for some in asked:
            if _libc.syscall(_PROCESS_MADVISE, descriptor, some, len(some), _WILLNEED, 0) < 0:
                raise OSError(ctypes.get_errno(), f"process_madvise of {pid}")
    finally:
        os.close(descriptor)


def _split(ranges: list[tuple[int, int]]) -> list["ctypes.Array[_Range]"]:
    """As the kernel takes them, made before they are needed: who wakes waits for it."""
    calls = (ranges[first : first + _RANGES_A_CALL] for first in range(0, len(ranges), _RANGES_A_CALL))
    return [(_Range * len(some))(*(_Range(start, end - start) for start, end in some)) for some in calls]


def _read_ranges(pid: int) -> list[tuple[int, int]]:
    with Path(f"/proc/{pid}/maps").open() as lines:
        return list(islice(find_ranges(islice(lines, LINES_MOST)), RANGES_MOST))


def _find_present(pid: int, ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for start, end in ranges:
            pagemap.seek(start // _PAGE * _ENTRY)
            found += find_present(pagemap.read((end - start) // _PAGE * _ENTRY), start=start)
    return found[:RANGES_MOST]


def find_present(entries: bytes, *, start: int) -> Iterator[tuple[int, int]]:
    """The ranges that are in memory, by their entries of /proc/<pid>/pagemap: bit 63 of each says so (pagemap.rst)."""
    is_present = entries[_ENTRY - 1 :: _ENTRY].translate(_TOP_BIT)
    for run in _PRESENT.finditer(is_present):
        yield start + run.start() * _PAGE, start + run.end() * _PAGE


def find_ranges(lines: Iterator[str]) -> Iterator[tuple[int, int]]:
    """Of /proc/<pid>/maps what is memory of the process's own; of a file the whole of it would be read."""
    for line in lines:
        span, modes, _, _, inode = line.split(maxsplit=5)[:5]
        if modes[1] == "w" and inode == "0":
            start, _, end = span.partition("-")
            yield int(start, 16), int(end, 16)
