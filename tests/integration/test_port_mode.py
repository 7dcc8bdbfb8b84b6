"""Servers that listen on TCP only: reached by the edge at each run's own port, and by nobody else."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import AT_PORT, Platform, User

NAME = LABEL = "harbour"


@pytest.fixture(scope="module")
def harbour(platform: Platform) -> User:
    """A user of its own: whose website has a port gets rules in their network that others' tests do without."""
    return platform.add_user(NAME)


@pytest.fixture(scope="module")
def path(platform: Platform, harbour: User) -> Iterator[str]:
    platform.hostel("shell", NAME, "--", "bash", "-c", "cat > tcp.py", stdin=AT_PORT.read_text())
    made = platform.create(harbour, LABEL, "exec python3 tcp.py", listens_on="port")
    assert made.json()["webapp"]["state"] == "running", made.text
    yield f"websites/{LABEL}.{platform.domain}/"
    platform.delete(harbour, LABEL)


def test_a_reload_has_another_port_and_loses_no_request(platform: Platform, harbour: User, path: str) -> None:
    first = platform.get(LABEL).json()
    assert 20_000 <= int(first["port"]) < 30_000
    stop, statuses = threading.Event(), set()

    def ask() -> None:
        with platform.visitor() as client:
            while not stop.is_set():
                statuses.add(client.get(platform.url(LABEL)).status_code)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        with platform.api(harbour) as api:
            assert [api.post(f"{path}reload/").status_code for _ in range(2)] == [200, 200]
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    assert statuses == {200}
    assert int(platform.get(LABEL).json()["port"]) == int(first["port"]) + 2
    assert platform.get(LABEL).json()["for"] in ("127.0.0.1", "::1")


def test_nobody_but_the_edge_comes_to_a_port(platform: Platform, harbour: User, bob: User, path: str) -> None:
    endpoint = json.loads((platform.paths.routes / f"{LABEL}.{platform.domain}.json").read_text())["endpoint"]
    address, _, port = endpoint.rpartition(":")
    assert platform.get(LABEL).json()["port"] == port
    targets = f"{address} 127.0.0.1 {platform_gateway(platform)}"
    ask = f"for a in {targets}; do (exec 3<>/dev/tcp/$a/{port}) 2> /dev/null && echo $a; done"
    assert platform.shell("bob", ask, check=False) == ""
    assert "127.0.0.1" in platform.shell(NAME, ask, check=False)  # control: in the same network it is there
    other = socket.create_connection((address, int(port)), timeout=3)  # control: as the edge, from the gateway
    gateway = other.getsockname()[0]
    other.close()
    assert gateway == platform_gateway(platform)
    with socket.socket() as stranger:  # another address of the machine
        stranger.settimeout(2)
        stranger.bind(("127.0.0.1", 0))
        with pytest.raises(OSError):  # noqa: PT011  # refused, unreachable or no answer
            stranger.connect((address, int(port)))


def platform_gateway(platform: Platform) -> str:
    lines = platform.shell(NAME, f"grep -w www.{platform.domain} /etc/hosts")
    return lines.split()[0]


def test_a_server_at_another_port_is_told_which(platform: Platform, harbour: User, path: str) -> None:
    made = platform.create(
        harbour, "astray-harbour", "exec python3 -m http.server --bind 127.0.0.1 8000", listens_on="port"
    )
    try:
        webapp = made.json()["webapp"]
        assert (webapp["state"], webapp["reason"]) == ("failed", "listened_elsewhere")
        assert "127.0.0.1:8000" in webapp["detail"]
        assert "$PORT" in webapp["detail"]
    finally:
        platform.delete(harbour, "astray-harbour")


def test_the_record_of_a_run_has_its_port_for_the_next_agent(platform: Platform, path: str) -> None:
    records = [json.loads(file.read_text()) for file in Path(platform.paths.runs).glob("*/run.json")]
    held = {record["port"] for record in records if record["website"] == f"{LABEL}.{platform.domain}"}
    assert int(platform.get(LABEL).json()["port"]) in held
