"""One part of the platform as a process: found again, started, recorded. Decides nothing.

Parts outlive the supervisor: each has a session of its own, and nothing ties its life to its parent's.
"""

import contextlib
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hostel.supervisor.own_log import OwnLog
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import MalformedMessage
from hostel.wire.files import write_atomically
from hostel.wire.output import APPEND, MODE
from hostel.wire.process import ProcessIdentity
from hostel.wire.website import MIB

_LOG_BYTES = 10 * MIB
# What Python or a calling shell had set otherwise, and what the supervisor itself ignores or handles.
_DEFAULT_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopStep:
    """Send `number`, then wait at most `wait_s` for the end. KILL follows the last step."""

    number: signal.Signals
    wait_s: float


def _leave_nothing() -> None:
    """For a part that leaves nothing behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    name: str
    argv: tuple[str, ...]
    stop: tuple[StopStep, ...]
    own_log: OwnLog | None = None  # that it opens anew when it is told to
    renewed_by: signal.Signals | None = None  # ends it for a successor that goes on with all it held
    clear: Callable[[], object] = _leave_nothing  # ends what it leaves behind when it is killed; may take a second
    finish: tuple[
        str, ...
    ] = ()  # at the very end, unless it has ended by itself with 0: a program that does its last work


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """The file `<part>.json`: enough to find the process again, and to tell it from a later one with its pid."""

    pid: int
    start_ticks: int
    boot_id: str
    argv: tuple[str, ...]

    def identity(self) -> ProcessIdentity:
        return ProcessIdentity(pid=self.pid, start_ticks=self.start_ticks, boot_id=self.boot_id)


def start_part(part: Part, log: Path) -> ProcessIdentity:
    """Start `part` with its output appended to `log`. Raises OSError if it cannot be started."""
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        os.rename(log, f"{log}.1")
    pid = os.posix_spawn(
        part.argv[0],
        part.argv,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), APPEND, MODE),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=_DEFAULT_SIGNALS,
    )
    return ProcessIdentity.of(pid)  # its own child: nobody else can reap it before


def write_record(path: Path, part: Part, identity: ProcessIdentity) -> None:
    record = PartRecord(
        pid=identity.pid, start_ticks=identity.start_ticks, boot_id=identity.boot_id, argv=tuple(part.argv)
    )
    write_atomically(path, json.dumps(to_jsonable(record)).encode("ascii") + b"\n")


def find_part(part: Part, record_path: Path, root: Path) -> ProcessIdentity | None:
    """The process of `part` that an earlier supervisor of `root` started, if it still runs."""
    return _find_recorded(record_path, root) or _find_unrecorded(part)


def _find_recorded(path: Path, root: Path) -> ProcessIdentity | None:
    try:
        identity = parse(PartRecord, json.loads(path.read_bytes())).identity()
    except (OSError, ValueError, MalformedMessage):
        return None
    return identity if identity.is_alive() and names_root(_read_command_line(identity.pid), root) else None


def _find_unrecorded(part: Part) -> ProcessIdentity | None:
    """Its predecessor may have been killed between the start and the record. A fork of a part is younger than it."""
    wanted = b"".join(os.fsencode(word) + b"\0" for word in part.argv)
    found: list[ProcessIdentity] = []
    for pid in list_pids():
        with contextlib.suppress(ProcessLookupError):
            identity = ProcessIdentity.of(pid)
            if _read_command_line(pid) == wanted and is_of_this_machine(pid) and identity.is_alive():
                found.append(identity)
    return min(found, key=lambda identity: identity.start_ticks, default=None)


def names_root(command_line: bytes, root: Path) -> bool:
    """Whether a word of `command_line` is `root` or lies below it. nginx separates its words by spaces."""
    below = os.fsencode(root).rstrip(b"/") + b"/"
    return any((word + b"/").startswith(below) for word in re.split(rb"[\0 ]", command_line) if word)


def list_pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def is_of_this_machine(pid: int) -> bool:
    """False for the processes of sandboxes, and of containers that may hold a Hostel with a root of the same name."""
    try:
        return os.stat(f"/proc/{pid}/ns/pid") == os.stat("/proc/self/ns/pid")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _read_command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
