"""Finds and ends the nginx processes of one root.

After kill -9 of nginx's master its workers go on serving, with routes that nobody updates any more, and a new master
fails on their ports. They are orphans that name neither configuration nor root on their command line, so they are
known by what they hold open: log files and control socket below the root. A tenant may run an nginx as well, whose
output goes to FIFOs below the root: it lives in a PID namespace of its own, and that one is never touched.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

from hostel.supervisor.part import is_of_this_machine, list_pids
from hostel.wire.paths import Paths
from hostel.wire.process import ProcessIdentity, has_ended

# Graceful first: QUIT closes the listening sockets at once and lets a request that is being answered end.
_STEPS = ((signal.SIGQUIT, 0.4), (signal.SIGTERM, 0.2), (signal.SIGKILL, 0.3))


def end_nginx(paths: Paths) -> int:
    """End all nginx processes of this root and wait until they are gone. Returns how many there were.

    Then removes the control socket: a killed master leaves it, and the next one could not bind to its name.
    Takes less than a second. Raises TimeoutError if one survives KILL (it hangs in the kernel).
    """
    ended = left = find_nginx(paths)
    for number, wait_s in _STEPS:
        for process in left:
            process.send(number)
        _wait_for_end(left, wait_s)
        left = find_nginx(paths)  # a master may have forked another worker meanwhile
        if not left:
            break
    else:
        raise TimeoutError(f"nginx does not end: pid {', '.join(str(process.pid) for process in left)}")
    paths.edge_socket.unlink(missing_ok=True)
    return len(ended)


def find_nginx(paths: Paths) -> list[ProcessIdentity]:
    sockets = _find_sockets(paths.edge)
    found = []
    for pid in list_pids():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            identity = ProcessIdentity.of(pid)
            if _is_nginx(pid) and is_of_this_machine(pid) and _holds(pid, paths, sockets) and identity.is_alive():
                found.append(identity)
    return found


def _is_nginx(pid: int) -> bool:
    executable = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    return executable in ("nginx", "nginx (deleted)")  # the second after an upgrade of the package


def _holds(pid: int, paths: Paths, sockets: set[str]) -> bool:
    directory = f"/proc/{pid}/fd"
    below = (f"{paths.edge}/", f"{paths.log}/")
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            target = os.readlink(f"{directory}/{name}")
            if target.startswith(below) or target in sockets:
                return True
    return False


def _find_sockets(directory: Path) -> set[str]:
    """The sockets that were bound below `directory`, as /proc/<pid>/fd shows them."""
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as lines:
        rows = [line.rstrip("\n").split(None, 7) for line in lines]
    # Num RefCount Protocol Flags Type St Inode Path; most have no path.
    return {f"socket:[{row[6]}]" for row in rows if len(row) == 8 and row[7].startswith(f"{directory}/")}


def _wait_for_end(processes: list[ProcessIdentity], wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            pidfd = process.open_pidfd()
            try:
                has_ended(pidfd, wait_s=max(0.0, deadline - time.monotonic()))
            finally:
                os.close(pidfd)
