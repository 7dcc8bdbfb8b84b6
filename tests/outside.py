"""A network beyond this machine: a namespace behind a veth pair, with servers that keep what connects.

It has public addresses, which sandboxes may reach, and private ones, which they may not.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pyroute2 import IPRoute

from hostel.agent import kernel
from hostel.agent.threads import in_new_thread

NEAR, FAR = "203.0.113.1", "203.0.113.7"  # TEST-NET-3, RFC 5737
PRIVATE = ("10.255.77.7", "172.16.77.7", "192.168.77.7", "169.254.77.7", "100.64.77.7")
PORTS = (25, 8080)
INTERFACE = "hosteltest0"


@contextmanager
def outside() -> Iterator[None]:
    """While it lasts, FAR and PRIVATE answer on PORTS, routed through this machine."""
    descriptor = in_new_thread(_make)
    servers: list[socket.socket] = []
    try:
        with IPRoute() as ip:
            index = ip.link_lookup(ifname=INTERFACE)[0]
            ip.addr("add", index=index, address=NEAR, prefixlen=24)
            ip.link("set", index=index, state="up")
            for address in PRIVATE:
                ip.route("add", dst=f"{address}/32", gateway=FAR)
        servers = in_new_thread(lambda: _listen(descriptor))
        for server in servers:
            threading.Thread(target=_serve, args=(server,), daemon=True).start()
        yield
    finally:
        for server in servers:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
        os.close(descriptor)
        with IPRoute() as ip:
            for index in ip.link_lookup(ifname=INTERFACE):
                ip.link("del", index=index)


def _make() -> int:
    """In a thread of its own: the namespace with its end of the pair. Returns a descriptor of it."""
    host = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.unshare_network()
        with IPRoute() as ip:
            peer = {"ifname": INTERFACE, "net_ns_fd": host}
            ip.link("add", ifname="eth0", kind="veth", peer=peer)
            index = ip.link_lookup(ifname="eth0")[0]
            ip.addr("add", index=index, address=FAR, prefixlen=24)
            for address in PRIVATE:
                ip.addr("add", index=index, address=address, prefixlen=32)
            ip.link("set", index=index, state="up")
            ip.route("add", dst="default", gateway=NEAR)
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(host)


def _listen(descriptor: int) -> list[socket.socket]:
    kernel.enter_network(descriptor)
    return [socket.create_server((address, port), backlog=2048) for address in (FAR, *PRIVATE) for port in PORTS]


def _serve(server: socket.socket) -> None:
    """Keeps what connects until the other side closes."""
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_wait_for_end, args=(connection,), daemon=True).start()


def _wait_for_end(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        connection.recv(1)
