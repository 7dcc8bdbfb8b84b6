"""Finds out where a command listens when it does not listen on $DOMAIN_SOCKET.

Reads /proc of the run's processes, as root: their sockets' inodes, then the tables of their network namespace.
"""

import contextlib
import os
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

_TCP_LISTEN = "0A"
_UNIX_ACCEPTS = 0x10000  # __SO_ACCEPTCON, net/unix
_SOCKET_LINK = re.compile(r"socket:\[(\d+)\]")


def find_listeners(pids: Iterable[int]) -> list[str]:
    """Addresses on which the processes listen, as their owner would write them: `127.0.0.1:8000`, a path, `@name`.

    A datagram socket with a name counts too (`unix datagram socket /path`): a common slip. Sorted; what vanishes while
    it is read is left out.
    """
    found: set[str] = set()
    for pid in pids:
        inodes = _socket_inodes(pid)
        if inodes:
            found |= set(_tcp(pid, inodes)) | set(_unix(pid, inodes))
    return sorted(found)


def _socket_inodes(pid: int) -> set[str]:
    inodes: set[str] = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                match = _SOCKET_LINK.fullmatch(os.readlink(entry.path))
                if match:
                    inodes.add(match[1])
    return inodes


def _tcp(pid: int, inodes: set[str]) -> Iterable[str]:
    for table in ("tcp", "tcp6"):
        for fields in rows(pid, table):
            if len(fields) > 9 and fields[3] == _TCP_LISTEN and fields[9] in inodes:
                yield parse_endpoint(fields[1])


def _unix(pid: int, inodes: set[str]) -> Iterable[str]:
    for fields in rows(pid, "unix"):
        if len(fields) < 8 or fields[6] not in inodes or not fields[3].isalnum():
            continue
        if int(fields[3], 16) & _UNIX_ACCEPTS:
            yield fields[7]
        elif fields[4] == "0002" and not fields[7].startswith("@"):  # SOCK_DGRAM with a path
            yield f"unix datagram socket {fields[7]}"


def rows(pid: int, table: str) -> list[list[str]]:
    try:
        text = Path(f"/proc/{pid}/net/{table}").read_text(errors="backslashreplace")  # names are the tenant's choice
        return [line.split() for line in text.split("\n")[1:]]
    except OSError:
        return []


def parse_endpoint(text: str) -> str:
    """`0100007F:1F40` (as in /proc/net/tcp: address in host byte order by 32-bit words, port in hex) to words."""
    address, port = text.split(":")
    words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
    raw = b"".join(words)
    if len(raw) == 4:
        return f"{IPv4Address(raw)}:{int(port, 16)}"
    return f"[{IPv6Address(raw)}]:{int(port, 16)}"
