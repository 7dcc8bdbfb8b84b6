"""Asks the agent how the panel is, as root's command line does."""

import http.client
import json
import socket
from pathlib import Path


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, *, timeout_s: float) -> None:
        super().__init__("agent", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def find_panel_state(agent_socket: Path, *, timeout_s: float) -> str | None:
    """The panel's state as the agent gives it; None while the agent does not answer."""
    connection = _UnixConnection(agent_socket, timeout_s=timeout_s)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        health = json.loads(answer.read(65_536))
        return str(health["panel"]) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()
