"""Who listens on a TCP port of this machine: answered from /proc, without any other program."""

import contextlib
import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from hostel.wire.paths import Paths

LISTENING = "0A"  # TCP_LISTEN, include/net/tcp_states.h


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a listening socket open."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def try_to_listen(address: str, port: int) -> OSError | None:
    """The error that a server would get at `address` and `port`, or None."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as nginx does
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, port))
            probe.listen(1)  # two sockets with SO_REUSEADDR may both bind; only one may listen
    except OSError as error:
        return error
    return None


def is_taken(error: OSError) -> bool:
    return error.errno == errno.EADDRINUSE


def find_holders(port: int) -> list[Holder]:
    """Processes that listen on `port` at any address, by pid. Needs root to see other users' processes."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    return [Holder(pid, _process_name(pid)) for pid in pids if sockets & set(_open_files(pid))]


def is_own_nginx(holder: Holder, paths: Paths) -> bool:
    """Is it the nginx of this root? An orphaned worker too: it keeps the logs below the root open."""
    if holder.name != "nginx":
        return False
    places = tuple(f"{place}/" for place in (paths.log, paths.run))
    return any(file.startswith(places) for file in _open_files(holder.pid))


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):  # tcp6: a kernel without IPv6
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return inodes


def _open_files(pid: int) -> list[str]:
    directory = f"/proc/{pid}/fd"
    files = []
    with contextlib.suppress(OSError):  # it may end at any moment
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):
                files.append(os.readlink(f"{directory}/{name}"))
    return files


def _process_name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "unknown"
