"""Control groups of both kinds: limits of tenants, processes of runs, out-of-memory counters.

runc makes and joins a run's own cgroup; this module makes the tenant's above it and reads both. Version 1 is the
hybrid layout with one tree a controller; version 2 the unified tree.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hostel.agent.mounts import read_mounts
from hostel.wire.website import Limits

ROOT = Path("/sys/fs/cgroup")
CPU_PERIOD_US = 100_000
_V1_CONTROLLERS = ("memory", "pids", "cpu")
# All tenants together, against anything else on the machine that wants the processor or the disk at the same time: half
# of what one service gets (100), or on version 1, where services have no group, one process (1024).
_TENANTS_WEIGHT = 50
_TENANTS_SHARES = 512
_FAVOR = "favordynmods"


def is_unified() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def hasten_entries() -> bool:
    """Let processes enter cgroups without waiting for the kernel's grace period: 6 ms in each hierarchy, of which runc
    has a run enter nine on version 1. False where the kernel cannot (before Linux 6.0), or no version 2 is mounted.

    `favordynmods` of cgroup2 holds for the whole machine and for version 1 too. cgroup-v2.rst says that forks cost more
    then; no difference stood out of the noise. `mount` keeps the other options.
    """
    unified = next((mount for mount in read_mounts() if mount.kind == "cgroup2"), None)
    if unified is None:
        return False
    command = ["mount", "-o", f"remount,{_FAVOR}", unified.place]
    return _FAVOR in unified.options or subprocess.run(command, capture_output=True, check=False).returncode == 0


def ensure_tenant(path: str, limits: Limits) -> None:
    """Make the cgroup `path` (as in `/hostel-1a2b3c4d/17`) with `limits`, or change its limits. Idempotent."""
    _make(path)
    _limit(path, limits)
    if is_unified():  # for runs that hibernate; of no run that is awake anything goes there
        _write_where_known(_directory("", path) / "memory.swap.max", limits.memory_bytes)


def ensure_tenants_root(path: str) -> None:
    """Make the cgroup above all tenants, which yields to the platform's processes and everything else. Idempotent."""
    _make(path)
    if is_unified():
        _write(_directory("", path) / "cpu.weight", _TENANTS_WEIGHT)
        _write_where_known(_directory("", path) / "io.weight", _TENANTS_WEIGHT)
    else:
        _write(_directory("cpu", path) / "cpu.shares", _TENANTS_SHARES)
        for name in ("blkio.weight", "blkio.bfq.weight"):
            _write_where_known(_directory("blkio", path) / name, _TENANTS_WEIGHT)


def change_limits(path: str, limits: Limits) -> bool:
    """Give a run that lives other limits. False if it needs more than it may now have, or is gone."""
    try:
        _limit(path, limits)
        if is_unified():  # as runc has it: ended at its limit, not swapped to death
            _write_where_known(_directory("", path) / "memory.swap.max", 0)
    except OSError:
        return False
    return True


def _make(path: str) -> None:
    if not is_unified():
        for controller in _V1_CONTROLLERS:
            _directory(controller, path).mkdir(parents=True, exist_ok=True)
        return
    directory = ROOT
    for part in path.strip("/").split("/"):
        _write(directory / "cgroup.subtree_control", "+memory +pids +cpu")
        _write_where_known(directory / "cgroup.subtree_control", "+io")
        directory /= part
        directory.mkdir(exist_ok=True)


def _limit(path: str, limits: Limits) -> None:
    quota_us = int(limits.cpu * CPU_PERIOD_US)
    if is_unified():
        directory = _directory("", path)
        _write(directory / "memory.max", limits.memory_bytes)
        _write(directory / "pids.max", limits.pids)
        _write_if_other(directory / "cpu.max", f"{quota_us} {CPU_PERIOD_US}")
        return
    _limit_memory_v1(_directory("memory", path), limits.memory_bytes)
    _write(_directory("pids", path) / "pids.max", limits.pids)
    _limit_cpu_v1(path, quota_us)


def _limit_memory_v1(directory: Path, limit_bytes: int) -> None:
    """Memory, and memory with swap: the second must never be less than the first, which makes the order matter."""
    names = [name for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes") if (directory / name).exists()]
    is_raised = int((directory / names[-1]).read_text()) < limit_bytes
    for name in reversed(names) if is_raised else names:
        _write(directory / name, limit_bytes)


def _limit_cpu_v1(path: str, quota_us: int) -> None:
    """No cgroup may have more than the one above it: those below that had more get as much."""
    directory = _directory("cpu", path)
    _write_if_other(directory / "cpu.cfs_period_us", CPU_PERIOD_US)
    if _number(directory / "cpu.cfs_quota_us") == quota_us:
        return
    for name in children(path):
        below = directory / name / "cpu.cfs_quota_us"
        with contextlib.suppress(FileNotFoundError):
            if int(below.read_text()) > quota_us:
                _write(below, quota_us)
    _write(directory / "cpu.cfs_quota_us", quota_us)


def processes(path: str) -> list[int]:
    """Process ids in `path` itself (not below it), in the host's numbering; [] when it is not there."""
    controller = "" if is_unified() else "pids"
    try:
        return [int(line) for line in (_directory(controller, path) / "cgroup.procs").read_text().split()]
    except (FileNotFoundError, OSError):
        return []


def signal_all(path: str, number: signal.Signals) -> None:
    """Send a signal to every process of a run's cgroup, and let it be heard: frozen ones take none, of version 1 not
    even KILL. A process that is gone by then is no error.
    """
    for pid in processes(path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    thaw(path)


def can_freeze() -> bool:
    """Whether the kernel has what `freeze` and `reclaim` need: version 2 since Linux 5.19, version 1 its freezer."""
    if is_unified():  # the root's own group has neither file
        return any((ROOT / name / "memory.reclaim").exists() for name in children(""))
    # A directory of the controller's name may be there and nothing mounted on it.
    return (ROOT / "freezer" / "cgroup.procs").exists() and (ROOT / "memory" / "memory.force_empty").exists()


def freeze(path: str) -> None:
    """Begin to stop every process of `path`; `is_frozen` tells when that is done. Raises OSError."""
    if is_unified():
        _write(_directory("", path) / "cgroup.freeze", 1)
    else:
        _write(_directory("freezer", path) / "freezer.state", "FROZEN")


def thaw(path: str) -> None:
    """Let the processes of `path` go on. Nothing happens where none is frozen, or all is gone."""
    if is_unified():
        _write_where_known(_directory("", path) / "cgroup.freeze", 0)
    else:
        _write_where_known(_directory("freezer", path) / "freezer.state", "THAWED")


def is_frozen(path: str) -> bool:
    """False also while some of it still runs."""
    if is_unified():
        return _stat(_directory("", path) / "cgroup.events", "frozen") == 1
    try:
        return (_directory("freezer", path) / "freezer.state").read_text().strip() == "FROZEN"
    except OSError:
        return False


def reclaim(path: str) -> None:
    """Move what the processes of `path` have in memory to the swap. Blocks, for some hundred milliseconds as a rule.

    Does what it can: the swap may be full, and some pages cannot be moved.
    """
    if not is_unified():
        with contextlib.suppress(OSError):
            _write(_directory("memory", path) / "memory.force_empty", 0)
        return
    directory = _directory("", path)
    with contextlib.suppress(OSError):
        _write(directory / "memory.swap.max", "max")
        _write(directory / "memory.reclaim", _number(directory / "memory.current"))  # EAGAIN: not all of it
    _write_where_known(directory / "memory.swap.max", 0)  # what is there stays there


def set_oom_score(path: str, score: int) -> None:
    """Say how readily the out-of-memory killer takes the processes of a run; their children inherit it."""
    done: set[int] = set()
    while new := set(processes(path)) - done:  # until no process was made meanwhile
        for pid in new:
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/oom_score_adj").write_text(str(score))
        done |= new


def terminate(paths: Iterable[str], *, grace_s: float) -> None:
    """TERM to everything in these runs' cgroups, KILL to what is left after `grace_s`. Blocks as long."""
    remaining = list(paths)
    for path in remaining:
        signal_all(path, signal.SIGTERM)
    end = time.monotonic() + grace_s
    while remaining and time.monotonic() < end:
        remaining = [path for path in remaining if processes(path)]
        time.sleep(0.02)
    kill_trees(remaining)


def kill_trees(paths: Iterable[str], *, deadline_s: float = 5.0) -> None:
    """KILL everything in and below `paths` and remove the cgroups, for what an earlier agent left behind.

    Repeats until empty: a fork bomb makes new processes between reading and killing. Gives up silently where none of
    them has gone for `deadline_s` (processes in uninterruptible sleep); the next start tries again. No path waits for
    another one's end: there may be thousands, and to look at all of them once may take longer than the deadline.
    """
    remaining = [path for path in paths if not _try_to_kill_tree(path)]
    end = time.monotonic() + deadline_s
    while remaining and time.monotonic() < end:
        time.sleep(0.01)
        left = [path for path in remaining if not _try_to_kill_tree(path)]
        if len(left) < len(remaining):
            end = time.monotonic() + deadline_s
        remaining = left


def _try_to_kill_tree(path: str) -> bool:
    """Returns whether nothing is left."""
    below = children(path)
    for child in [*(f"{path}/{name}" for name in below), path]:
        signal_all(child, signal.SIGKILL)
    for child in below:
        remove(f"{path}/{child}")
    return remove(path)


def children(path: str) -> list[str]:
    """Names of the cgroups directly below `path`, over all controllers."""
    names: set[str] = set()
    for controller in _controllers():
        with contextlib.suppress(OSError), os.scandir(_directory(controller, path)) as entries:
            names |= {entry.name for entry in entries if entry.is_dir()}
    return sorted(names)


def remove(path: str) -> bool:
    """Remove the empty cgroup `path` from every tree. True when it is in none of them any more."""
    gone = True
    for controller in _controllers():
        try:
            os.rmdir(_directory(controller, path))
        except FileNotFoundError:
            pass
        except OSError:
            gone = False
    return gone


def oom_kills(path: str) -> int:
    """How many processes of `path` the out-of-memory killer took (v1 memory.oom_control, v2 memory.events)."""
    controller, name = ("", "memory.events") if is_unified() else ("memory", "memory.oom_control")
    return _stat(_directory(controller, path) / name, "oom_kill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Of a tenant's cgroup, with all below it; zeros where there is none yet."""

    cpu_s: float  # since it was made
    memory_bytes: int  # without files that the kernel could drop at once
    processes: int


def read_cpu_s(path: str) -> float:
    if is_unified():
        return _stat(_directory("", path) / "cpu.stat", "usage_usec") / 1e6
    return _number(_directory("cpuacct", path) / "cpuacct.usage") / 1e9


def set_idle(path: str, *, is_idle: bool) -> None:
    """Let every sibling take the processor from `path` at once, or no longer."""
    _write_where_known(_directory("" if is_unified() else "cpu", path) / "cpu.idle", int(is_idle))


def is_idle(path: str) -> bool:
    return _number(_directory("" if is_unified() else "cpu", path) / "cpu.idle") == 1


def read_counters(path: str) -> Counters:
    processes = _number(_directory("" if is_unified() else "pids", path) / "pids.current")
    return Counters(cpu_s=read_cpu_s(path), memory_bytes=read_memory_bytes(path), processes=processes)


def read_memory_bytes(path: str) -> int:
    if is_unified():
        used, inactive = _directory("", path) / "memory.current", "inactive_file"
    else:
        used, inactive = _directory("memory", path) / "memory.usage_in_bytes", "total_inactive_file"
    return max(0, _number(used) - _stat(used.with_name("memory.stat"), inactive))


def _number(file: Path) -> int:
    """0 where there is no such file, or its cgroup goes while it is read (ENODEV)."""
    try:
        return int(file.read_text())
    except OSError:
        return 0


def _stat(file: Path, key: str) -> int:
    """As `_number`, of one line."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key} ")), 0)


def fork_refusals(path: str) -> int:
    """How often the kernel refused the processes of `path` another process or thread (`pids.events`)."""
    return _stat(_directory("" if is_unified() else "pids", path) / "pids.events", "max")


def unreaped(path: str, *, least: int = 0) -> int:
    """How many processes of `path` have ended without being waited for: they count against its limit until then.

    0 where fewer than `least` processes are counted at all: then the others are not looked at.
    """
    directory = _directory("" if is_unified() else "pids", path)
    try:
        counted = int((directory / "pids.current").read_text())
        if counted < least:
            return 0
        living = len((directory / ("cgroup.threads" if is_unified() else "tasks")).read_text().split())
    except (OSError, ValueError):
        return 0
    return max(0, counted - living)


def _controllers() -> list[str]:
    if is_unified():
        return [""]
    names = [entry.name for entry in os.scandir(ROOT) if entry.is_dir() and not entry.is_symlink()]
    return sorted(names)


def _directory(controller: str, path: str) -> Path:
    return ROOT / controller / path.strip("/")


def _write(file: Path, value: int | str) -> None:
    file.write_text(str(value))


def _write_if_other(file: Path, value: int | str) -> None:
    """For limits of the processor: a write has the kernel look at every cgroup of the machine (__cfs_schedulable)."""
    if file.read_text().strip() != str(value):
        _write(file, value)


def _write_where_known(file: Path, value: int | str) -> None:
    """For what a kernel, or its configuration, need not have."""
    with contextlib.suppress(OSError):
        file.write_text(str(value))
