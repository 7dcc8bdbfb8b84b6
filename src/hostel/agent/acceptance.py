"""Whether a server has taken the connection that was made to it.

A connect() to a unix socket succeeds as soon as somebody listens: gunicorn listens before it imports the application,
and a broken import would be noticed only after the route was switched. The kernel knows better, and nothing has to be
sent to find out: until accept(), the other end of a connection has no inode (sock_diag(7), UDIAG_SHOW_PEER).
"""

import os
import socket
import struct

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_SHOW_PEER = 0x04  # linux/unix_diag.h
_UNIX_DIAG_PEER = 2
_ANY = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_MESSAGE_BYTES = 16  # struct unix_diag_msg


def was_accepted(client: socket.socket) -> bool:
    """Whether the server that `client`, a connected unix socket of this process, is connected to has accepted it.

    Costs two system calls, however many sockets there are. Raises OSError where the kernel has no unix_diag.
    """
    inode = os.fstat(client.fileno()).st_ino
    body = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, _ANY, inode, _SHOW_PEER, _ANY, _ANY)
    header = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as diag:
        diag.send(header + body)
        answer = diag.recv(4096)
    length, kind, *_ = _HEADER.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        raise OSError(number, f"unix_diag: {os.strerror(number)}")
    return _peer(answer[_HEADER.size + _MESSAGE_BYTES : length]) != 0


def _peer(attributes: bytes) -> int:
    """The inode of the other end; 0 if it has none, or none is told (the other end is closed)."""
    offset = 0
    while offset + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, offset)
        if kind == _UNIX_DIAG_PEER:
            return int(struct.unpack_from("=I", attributes, offset + 4)[0])
        offset += max(4, (length + 3) & ~3)
    return 0
