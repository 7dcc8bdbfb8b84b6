"""A network in which a browser finds the platform and nothing else.

Chromium aborts what it is loading when an interface of the machine comes or goes (ERR_NETWORK_CHANGED), and the
platform makes one for each user. In a namespace of its own it notices none of that.
"""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence

from pyroute2 import netns

HERE = "127.0.0.1"


@contextlib.contextmanager
def quiet_network(ports: Sequence[int]) -> Iterator[str]:
    """The name of a network namespace where 127.0.0.1 leads to ours, for these ports alone."""
    name = f"hostel-browser-{os.getpid()}-{ports[0]}"
    netns.create(name)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        with contextlib.ExitStack() as relays:
            for port in ports:
                relays.enter_context(relay(name, port))
            yield name
    finally:
        netns.remove(name)


@contextlib.contextmanager
def relay(name: str, port: int) -> Iterator[None]:
    netns.pushns(name)
    try:
        listener = socket.create_server((HERE, port))  # a socket stays in the network it was made in
    finally:
        netns.popns()
    with listener:
        accepting = threading.Thread(target=_accept, args=(listener, port))
        accepting.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept, which closing alone does not
        accepting.join()


def _accept(listener: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError):  # the listener was shut down
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_join, args=(client, port), daemon=True).start()


def _join(client: socket.socket, port: int) -> None:
    with client, socket.create_connection((HERE, port)) as server:
        answering = threading.Thread(target=_carry, args=(server, client), daemon=True)
        answering.start()
        _carry(client, server)
        answering.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side may break off
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
