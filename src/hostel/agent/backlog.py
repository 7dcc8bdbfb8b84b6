"""Whether a server has taken the connection that was made to it.

A connect() to a unix socket succeeds as soon as somebody listens: gunicorn listens before it imports the application,
and a broken import would be noticed only after the route was switched. The length of the accept queue, which the
kernel tells by sock_diag(7), says more, and nothing has to be sent to find out.
"""

import socket
import struct
from collections.abc import Iterator

from hostel.agent.kernel import enter_network
from hostel.agent.threads import in_new_thread

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_SHOW_VFS, _SHOW_RQLEN = 0x02, 0x10  # linux/unix_diag.h
_UNIX_DIAG_VFS, _UNIX_DIAG_RQLEN = 1, 4
_LISTEN_STATES = 1 << 10
_NO_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_MESSAGE_BYTES = 16  # struct unix_diag_msg


class Backlog:
    """Reads accept queues of one network namespace. Not for use by two tasks at once: no await inside."""

    def __init__(self, namespace: int) -> None:
        self._socket = in_new_thread(lambda: _open_in(namespace))

    def pending(self, inode: int) -> int | None:
        """Connections waiting at the listening socket file with `inode`; None if nobody listens at it.

        Raises OSError where the kernel has no unix_diag.
        """
        body = struct.pack(
            "=BBHIIIII", socket.AF_UNIX, 0, 0, _LISTEN_STATES, 0, _SHOW_VFS | _SHOW_RQLEN, _NO_COOKIE, _NO_COOKIE
        )
        header = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0)
        self._socket.send(header + body)
        found: int | None = None
        for attributes in self._answers():
            if _UNIX_DIAG_VFS in attributes and struct.unpack_from("=I", attributes[_UNIX_DIAG_VFS])[0] == inode:
                found = struct.unpack_from("=I", attributes[_UNIX_DIAG_RQLEN])[0]
        return found

    def close(self) -> None:
        self._socket.close()

    def _answers(self) -> Iterator[dict[int, bytes]]:
        while True:
            data = self._socket.recv(1 << 18)
            offset = 0
            while offset < len(data):
                length, kind, *_ = _HEADER.unpack_from(data, offset)
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", data, offset + _HEADER.size)[0], "unix_diag")
                yield _parse_attributes(data[offset + _HEADER.size + _MESSAGE_BYTES : offset + length])
                offset += (length + 3) & ~3


def _parse_attributes(data: bytes) -> dict[int, bytes]:
    attributes: dict[int, bytes] = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        attributes[kind] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return attributes


def _open_in(namespace: int) -> socket.socket:
    enter_network(namespace)
    diag = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    diag.settimeout(1.0)
    return diag
