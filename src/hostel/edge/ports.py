"""Whether the edge may have its ports, and who holds them if not. Reads /proc; changes nothing."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from hostel.edge.errors import EdgeCannotStart, PortInUse

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp; include/net/tcp_states.h


def has_ipv6() -> bool:
    """Whether a socket can be bound to `::` here."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def check_port(address: str, port: int) -> None:
    """Raise PortInUse, naming the holder, unless `address`:`port` can be bound.

    nginx binds with SO_REUSEPORT and would share the port with another nginx of root without a word; hence this.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            raise _refusal(address, port, error) from error


def _refusal(address: str, port: int, error: OSError) -> EdgeCannotStart:
    if error.errno == errno.EADDRINUSE:
        holder = find_holder(port) or "another process"
        return PortInUse(f"port {port} is taken by {holder}; stop it, or choose another port in hostel.toml ([listen])")
    if error.errno == errno.EADDRNOTAVAIL:
        return EdgeCannotStart(f"{address} is not an address of this machine; correct addresses in hostel.toml")
    return EdgeCannotStart(f"cannot listen on {address} port {port}: {error.strerror}")


def find_holder(port: int) -> str | None:
    """`<program> (pid N)` for the process that listens on `port`, or None if it cannot be seen from here."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        if inodes.intersection(_open_files(process)):
            name = (process / "comm").read_text().strip()
            return f"{name} (pid {process.name})"
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            yield from _listening_lines(Path(table).read_text().splitlines()[1:], port)


def _listening_lines(lines: Iterable[str], port: int) -> Iterator[str]:
    for line in lines:
        fields = line.split()
        if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
            yield fields[9]


def _open_files(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):  # processes end while they are looked at
        for descriptor in os.listdir(process / "fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(process / "fd" / descriptor)
