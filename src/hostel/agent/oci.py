"""The OCI configuration of a run. Pure: values in, one dict out.

No source lies below a directory that a tenant can write, but for the tenant's home itself; no destination lies below
the home. runc follows symlinks in both (security D17).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hostel.agent.cgroup import CPU_PERIOD_US, is_unified
from hostel.agent.seccomp import render_profile
from hostel.wire.website import MIB, Limits

_HIDDEN = ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
           "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/proc/cmdline", "/proc/key-users"]  # fmt: skip
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
OOM_SCORE = 300  # the platform's own processes, the panel among them, have less
OOM_SCORE_OF_A_START = 1_000  # goes first, however small it is, where the memory does not suffice
OPEN_FILES = (4_096, 16_384)  # soft and hard RLIMIT_NOFILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A directory or file of the host, seen in the sandbox at `to`."""

    source: str
    to: str
    writable: bool = False
    executable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What differs between one sandbox and another."""

    hostname: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    uid: int
    cgroup: str  # absolute, as in `/hostel-1a2b3c4d/17/r5`
    network: str  # path of a network namespace
    limits: Limits
    mounts: tuple[Mount, ...]
    oom_score: int = OOM_SCORE
    rootfs: str = "rootfs"
    tmpfs_bytes: int = field(default=256 * MIB)  # of /tmp; /dev/shm has a quarter; both count as memory


def render_config(container: Container) -> dict[str, Any]:
    """`config.json` of the bundle for `container`."""
    return {
        "ociVersion": "1.0.2",
        "hostname": container.hostname,
        "root": {"path": container.rootfs, "readonly": True},
        "process": _process(container),
        "mounts": [*_own_mounts(container), *(render_bind(mount) for mount in container.mounts)],
        "linux": {
            "cgroupsPath": container.cgroup,
            "namespaces": [
                *({"type": kind} for kind in ("pid", "mount", "ipc", "uts", "cgroup")),
                {"type": "network", "path": container.network},
            ],
            "resources": _resources(container.limits),
            "maskedPaths": _HIDDEN,
            "readonlyPaths": _READ_ONLY,
            "seccomp": render_profile(),
            "rootfsPropagation": "private",
        },
    }


def _process(container: Container) -> dict[str, Any]:
    soft, hard = OPEN_FILES
    return {
        "terminal": False,
        "cwd": container.cwd,
        "args": list(container.argv),
        "env": [f"{key}={value}" for key, value in container.environment.items()],
        "user": {"uid": container.uid, "gid": container.uid, "umask": 0o22},
        "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
        "noNewPrivileges": True,
        "oomScoreAdj": container.oom_score,
        "rlimits": [
            {"type": "RLIMIT_NOFILE", "soft": soft, "hard": hard},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        ],
    }


def _own_mounts(container: Container) -> list[dict[str, Any]]:
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        _tmpfs("/dev", "nosuid", "strictatime", "mode=755", "size=65536k"),
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
        _tmpfs("/dev/shm", "nosuid", "nodev", "noexec", "mode=1777", f"size={container.tmpfs_bytes // 4}"),
        _tmpfs("/tmp", "nosuid", "nodev", "mode=1777", f"size={container.tmpfs_bytes}"),
        _tmpfs("/var/tmp", "nosuid", "nodev", "mode=1777", f"size={container.tmpfs_bytes // 4}"),
        _tmpfs("/run", "nosuid", "nodev", "noexec", "mode=755", "size=1m"),
    ]


def _tmpfs(destination: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def render_bind(mount: Mount) -> dict[str, Any]:
    """An entry of the configuration's `mounts`."""
    # rro, not ro: a file system mounted below the source would else stay writable (security D16).
    options = ["rbind", "nosuid", "nodev", "rprivate", "rw" if mount.writable else "rro"]
    if not mount.executable:
        options.append("noexec")
    return {"destination": mount.to, "type": "bind", "source": mount.source, "options": options}


def _resources(limits: Limits) -> dict[str, Any]:
    resources: dict[str, Any] = {
        # Memory and swap together: a site at its limit is ended, not swapped to death.
        "memory": {"limit": limits.memory_bytes, "swap": limits.memory_bytes},
        "pids": {"limit": limits.pids},
        "cpu": {"quota": int(limits.cpu * CPU_PERIOD_US), "period": CPU_PERIOD_US},
    }
    if is_unified():
        resources["unified"] = {"memory.oom.group": "1"}  # a site that lost one process to it would be half dead
    return resources
