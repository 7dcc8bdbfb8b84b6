"""Control groups of both kinds: limits of tenants, processes of runs, out-of-memory counters.

runc makes and joins a run's own cgroup; this module makes the tenant's above it and reads both. Version 1 is the
hybrid layout with one tree a controller; version 2 the unified tree.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from hostel.wire.website import Limits

ROOT = Path("/sys/fs/cgroup")
CPU_PERIOD_US = 100_000
_V1_CONTROLLERS = ("memory", "pids", "cpu")


def is_unified() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def ensure_tenant(path: str, limits: Limits) -> None:
    """Make the cgroup `path` (as in `/hostel-1a2b3c4d/17`) with `limits`, or change its limits. Idempotent."""
    if is_unified():
        _ensure_v2(path, limits)
    else:
        _ensure_v1(path, limits)


def _ensure_v1(path: str, limits: Limits) -> None:
    for controller in _V1_CONTROLLERS:
        _directory(controller, path).mkdir(parents=True, exist_ok=True)
    _write(_directory("memory", path) / "memory.limit_in_bytes", limits.memory_bytes)
    _write(_directory("pids", path) / "pids.max", limits.pids)
    cpu = _directory("cpu", path)
    _write(cpu / "cpu.cfs_period_us", CPU_PERIOD_US)
    _write(cpu / "cpu.cfs_quota_us", int(limits.cpu * CPU_PERIOD_US))


def _ensure_v2(path: str, limits: Limits) -> None:
    directory = ROOT
    for part in path.strip("/").split("/"):
        _write(directory / "cgroup.subtree_control", "+memory +pids +cpu")
        directory /= part
        directory.mkdir(exist_ok=True)
    _write(directory / "memory.max", limits.memory_bytes)
    _write(directory / "pids.max", limits.pids)
    _write(directory / "cpu.max", f"{int(limits.cpu * CPU_PERIOD_US)} {CPU_PERIOD_US}")


def processes(path: str) -> list[int]:
    """Process ids in `path` itself (not below it), in the host's numbering; [] when it is not there."""
    controller = "" if is_unified() else "pids"
    try:
        return [int(line) for line in (_directory(controller, path) / "cgroup.procs").read_text().split()]
    except (FileNotFoundError, OSError):
        return []


def signal_all(path: str, number: signal.Signals) -> None:
    """Send a signal to every process of a run's cgroup. A process that is gone by then is no error."""
    for pid in processes(path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


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
    for path in remaining:
        kill_tree(path)


def kill_tree(path: str, *, deadline_s: float = 5.0) -> None:
    """KILL everything in and below `path` and remove the cgroups, for what an earlier agent left behind.

    Repeats until empty: a fork bomb makes new processes between reading and killing. Gives up silently at the
    deadline (a process in uninterruptible sleep); the next start tries again.
    """
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        below = children(path)
        for child in [*(f"{path}/{name}" for name in below), path]:
            signal_all(child, signal.SIGKILL)
        for child in below:
            remove(f"{path}/{child}")
        if remove(path):
            return
        time.sleep(0.01)


def children(path: str) -> list[str]:
    """Names of the cgroups directly below `path`, over all controllers."""
    names: set[str] = set()
    for controller in _controllers():
        with contextlib.suppress(OSError):
            names |= {entry.name for entry in os.scandir(_directory(controller, path)) if entry.is_dir()}
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
    name = ("", "memory.events") if is_unified() else ("memory", "memory.oom_control")
    try:
        lines = (_directory(name[0], path) / name[1]).read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _controllers() -> list[str]:
    if is_unified():
        return [""]
    names = [entry.name for entry in os.scandir(ROOT) if entry.is_dir() and not entry.is_symlink()]
    return sorted(names)


def _directory(controller: str, path: str) -> Path:
    return ROOT / controller / path.strip("/")


def _write(file: Path, value: int | str) -> None:
    file.write_text(str(value))
