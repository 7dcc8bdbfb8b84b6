"""Which copies of a log are kept, and under which names: `.1` plain, then `.2.gz` to `.9.gz`, as on PythonAnywhere.

Plans are pure and made of steps that may be cut off anywhere: each step moves a file to a free name or removes one
that has to go, so a plan made afresh goes on where the last one was killed. Compressing is `compression.py`.
"""

import ctypes
import os
import re
import struct
import time
from collections import defaultdict
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from hostel.wire.website import MIB

_libc = ctypes.CDLL(None)
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _STATX_BTIME = -100, 0x100, 0x800  # linux/fcntl.h, linux/stat.h

COPIES = 9
_LOG_OR_COPY = re.compile(r"(?P<log>.+\.(?:access|error|server)\.log)(?:\.[1-9](?:\.gz)?)?")

# nginx writes on to a renamed access log until its open_log_file_cache looks again: at most a minute.
_SETTLE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How large and how old a log grows before it becomes copy 1, how long a copy is kept after its last line, and how
    much all logs of one directory, which is one tenant's, may take.

    A log and its nine copies cover a tenth of the age each: so no line is kept for longer than that and a tenth.
    """

    limit_bytes: int = 10 * MIB
    age_s: float = 30 * 86_400
    total_bytes: int = 256 * MIB

    @property
    def turn_s(self) -> float:
        return self.age_s / (COPIES + 1)


@dataclass(frozen=True, slots=True)
class Step:
    """Rename `source` to `target`, in the same directory; with no target, remove it."""

    source: str
    target: str | None = None

    def apply(self, directory: Path) -> None:
        if self.target is None:
            os.unlink(directory / self.source)
        else:
            os.rename(directory / self.source, directory / self.target)


def plan_rotation(log: str, present: Collection[str]) -> list[Step]:
    """Steps that make `log` copy 1. `present` are the names in its directory. The oldest of nine copies goes."""
    steps = plan_tidying(log, present)
    copies = find_copies(log, set(present) - {step.source for step in steps})
    free = next((number for number in range(1, COPIES + 1) if number not in copies), None)
    if free is None:
        steps.append(Step(copies[COPIES]))
        free = COPIES
    for number in range(free - 1, 0, -1):
        suffix = copies[number].removeprefix(f"{log}.{number}")
        steps.append(Step(copies[number], f"{log}.{number + 1}{suffix}"))
    steps.append(Step(log, f"{log}.1"))
    return steps


def plan_tidying(log: str, present: Collection[str]) -> list[Step]:
    """Remove each plain copy whose compressed twin exists: that one got its name when it was whole."""
    numbers = range(1, COPIES + 1)
    return [Step(f"{log}.{n}") for n in numbers if f"{log}.{n}" in present and f"{log}.{n}.gz" in present]


def plan_expiry(log: str, ages_s: Mapping[str, float], retention: Retention) -> list[Step]:
    """Remove the copies that are too old. `ages_s` gives the seconds since the last write, by name."""
    names = [f"{log}.{number}{suffix}" for number in range(1, COPIES + 1) for suffix in ("", ".gz")]
    return [Step(name) for name in names if ages_s.get(name, 0.0) > retention.age_s]


def plan_cap(files: Mapping[str, os.stat_result], retention: Retention) -> list[Step]:
    """Remove the oldest copies of all logs of a directory while they take too much together. No log itself goes."""
    excess = sum(status.st_size for status in files.values()) - retention.total_bytes
    steps = []
    for name in sorted(files, key=lambda name: files[name].st_mtime):
        if excess > 0 and not name.endswith(".log"):
            excess -= files[name].st_size
            steps.append(Step(name))
    return steps


def plan_compression(log: str, ages_s: Mapping[str, float]) -> list[str]:
    """The plain copies, beyond copy 1, that nobody writes to any more."""
    settle_s = _SETTLE_S if log.endswith(".access.log") else 0.0
    names = [f"{log}.{number}" for number in range(2, COPIES + 1)]
    return [name for name in names if name in ages_s and ages_s[name] >= settle_s]


def find_copies(log: str, present: Collection[str]) -> dict[int, str]:
    """The name that each copy of `log` has, compressed or not, by its number."""
    names = {n: (f"{log}.{n}.gz", f"{log}.{n}") for n in range(1, COPIES + 1)}
    return {n: name for n, pair in names.items() for name in pair if name in present}


def rotate(path: Path) -> None:
    """Make the log at `path` copy 1. Whoever has it open goes on writing into the copy."""
    copy = path.with_name(f"{path.name}.1")
    if copy.exists() and copy.samefile(path):  # killed between the two steps of `_exchange`
        copy.unlink()
    *steps, last = plan_rotation(path.name, os.listdir(path.parent))
    for step in steps:
        step.apply(path.parent)
    if path.name.endswith(".access.log"):
        _exchange(path, copy)
    else:
        last.apply(path.parent)


def _exchange(path: Path, copy: Path) -> None:
    """Make the log at `path` `copy`, and an empty one in its place, without an instant in which there is none.

    nginx looks for its open log by name every ten seconds, and where there is none it drops the line it was to write
    (ngx_open_and_stat_file; "stat() failed while logging request").
    """
    status, new = path.stat(), path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, status.st_mode & 0o777)
    finally:
        os.close(descriptor)
    os.link(path, copy)
    os.rename(new, path)


def sweep(directory: Path, retention: Retention, *, but_rotate_not: Container[Path] = ()) -> list[Path]:
    """Tidy, expire and rotate the logs of `directory`. Returns the logs that have copies to compress.

    The logs that the caller has open for writing are the caller's to rotate: `but_rotate_not`.
    """
    for log, files in _list_logs(directory).items():
        for step in plan_tidying(log, files):
            step.apply(directory)
            del files[step.source]
        for step in plan_expiry(log, _ages_s(files), retention):
            step.apply(directory)
        is_full = log in files and files[log].st_size >= retention.limit_bytes
        is_due = is_full or (log in files and is_old(directory / log, retention))
        if is_due and directory / log not in but_rotate_not:
            rotate(directory / log)
    every = {name: status for files in _list_logs(directory).values() for name, status in files.items()}
    for step in plan_cap(every, retention):
        step.apply(directory)
    return [directory / log for log, files in _list_logs(directory).items() if plan_compression(log, _ages_s(files))]


def is_old(path: Path, retention: Retention) -> bool:
    """Whether the log at `path` holds lines, and was begun so long ago that it is time for a new one."""
    began_at = _birth_time(path)
    return began_at is not None and path.stat().st_size > 0 and time.time() - began_at > retention.turn_s


def _birth_time(path: Path) -> float | None:
    """When the file was made, in seconds since 1970; None where that is not known (statx(2), of which Python 3.11
    has nothing)."""
    buffer = ctypes.create_string_buffer(256)
    flags = _AT_SYMLINK_NOFOLLOW
    if _libc.statx(_AT_FDCWD, os.fsencode(path), flags, _STATX_BTIME, buffer) != 0:
        return None
    mask = struct.unpack_from("=I", buffer, 0)[0]
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, 80)
    return float(seconds + nanoseconds / 1e9) if mask & _STATX_BTIME else None


def find_compressible(path: Path) -> Path | None:
    """A copy of the log at `path` that is to be compressed now, the oldest first."""
    names = plan_compression(path.name, _ages_s(_list_logs(path.parent).get(path.name, {})))
    return path.with_name(names[-1]) if names else None


def _list_logs(directory: Path) -> dict[str, dict[str, os.stat_result]]:
    """The regular files of each log, the log and its copies, by name."""
    logs: dict[str, dict[str, os.stat_result]] = defaultdict(dict)
    with os.scandir(directory) as entries:
        for entry in entries:
            match = _LOG_OR_COPY.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                logs[match["log"]][entry.name] = entry.stat(follow_symlinks=False)
    return logs


def _ages_s(files: Mapping[str, os.stat_result]) -> dict[str, float]:
    now = time.time()
    return {name: now - status.st_mtime for name, status in files.items()}
