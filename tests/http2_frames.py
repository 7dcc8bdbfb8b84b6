"""The least of HTTP/2 that sends one request with any headers whatever, also such as a library would refuse to send."""

import socket
import struct
from collections.abc import Iterator, Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x7
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
# The indexed fields of RFC 7541's static table that are statuses.
STATUSES = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def encode(headers: Sequence[tuple[str, str]]) -> bytes:
    """Each as a literal without indexing and without Huffman code (RFC 7541, 6.2.2)."""
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in headers)


def _string(text: str) -> bytes:
    data = text.encode("latin-1")
    assert len(data) < 127
    return bytes([len(data)]) + data


def exchange(connection: socket.socket, headers: Sequence[tuple[str, str]], body: bytes) -> str:
    """Send one request; returns its status, `reset <code>` or `goaway <code>`, or `closed`."""
    flags = END_HEADERS | (0 if body else END_STREAM)
    request = frame(SETTINGS, 0, 0, b"") + frame(HEADERS, flags, 1, encode(headers))
    connection.sendall(PREFACE + request + (frame(DATA, END_STREAM, 1, body) if body else b""))
    for kind, payload in _frames(connection):
        if kind == HEADERS:
            return str(_status(payload))
        if kind == RST_STREAM:
            return f"reset {struct.unpack('>I', payload)[0]}"
        if kind == GOAWAY:
            return f"goaway {struct.unpack('>I', payload[4:8])[0]}"
    return "closed"


def _frames(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    with connection.makefile("rb") as stream:
        while len(head := stream.read(9)) == 9:
            yield head[3], stream.read(int.from_bytes(head[:3], "big"))


def _status(block: bytes) -> int:
    """`:status` comes first. nginx sends the rarer ones as a literal with an indexed name, without Huffman code."""
    if block[0] & 0xE0 == 0x20:  # a change of the table's size
        block = block[1:]
    if block[0] in STATUSES:
        return STATUSES[block[0]]
    assert block[1] == 3, block[:8]
    return int(block[2:5])
