"""Group I, faults. Elsewhere, by their ids: I1 in tests/integration/test_recovery.py and, at random, test_schedules.py;
I2 and I4 in test_deaths.py and tests/contract/test_supervisor.py; I5 and I10 in test_wanted_state.py; I6 in
tests/unit/panel/test_panel_commands.py; I8 in test_streaming.py.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_fixtures import DOMAIN, RunningEdge, answer, in_background, replying

import hostel
from hostel.wire.route import RouteState
from live import Platform, User, answering, send_signal
from stepped_clock import SteppedClock
from waiting import until

DAY_S = 86_400


# -- I7, the platform's own processes


def run_of(platform: Platform, label: str) -> str:
    return str(platform.ask_agent("GET", f"/websites/{label}.{platform.domain}").json()["run"])


@pytest.fixture
def clock(spare_clock: SteppedClock) -> Iterator[SteppedClock]:
    yield spare_clock
    spare_clock.step(0)


@pytest.fixture
def ticking(spare: Platform, mona: User) -> Iterator[str]:
    """The label of a website that serves."""
    assert spare.create(mona, "ticking-mona", answering(), grace_s=1).json()["webapp"]["state"] == "running"
    yield "ticking-mona"
    spare.delete(mona, "ticking-mona")


def test_i7_a_stepped_clock_ends_starts_and_delays_nothing(
    spare: Platform, mona: User, ticking: str, clock: SteppedClock
) -> None:
    """Agent, logger and supervisor live by the monotonic clock. Positive control: a program that goes by the wall clock
    takes the step for time.
    """
    environment = {**os.environ, **clock.environment}
    told = [sys.executable, "-c", "import time; print(time.time())"]
    run, restarts = run_of(spare, ticking), (spare.root / "up.log").read_text().count("starts (pid")
    for step in (3600, -3600, DAY_S, -DAY_S):
        clock.step(step)
        seen = float(subprocess.run(told, env=environment, capture_output=True, text=True, check=True).stdout)
        assert abs(seen - time.time() - step) < 60, "positive control"
        assert spare.get(ticking).status_code == 200
        assert run_of(spare, ticking) == run
        began = time.monotonic()
        with spare.api(mona) as api:
            assert api.post(f"websites/{ticking}.{spare.domain}/reload/").json() == {"status": "OK"}
        assert time.monotonic() - began < 10
        now = run_of(spare, ticking)
        assert now != run
        run = now
    pid = spare.get(ticking).json()["pid"]
    assert pid == 1
    spare.shell("mona", "true")  # a sandbox starts
    assert (spare.root / "up.log").read_text().count("starts (pid") == restarts, "no part was started anew"


def test_i7_an_agent_that_starts_after_a_step_adopts_what_runs(
    spare: Platform, mona: User, ticking: str, clock: SteppedClock
) -> None:
    """A process is known by pid and start time since boot, not by the clock. Its positive control is I3's."""
    run = run_of(spare, ticking)
    for step in (DAY_S, -DAY_S):
        clock.step(step)
        before = spare.part_pid("agent")
        send_signal(before, 9)
        until(lambda before=before: spare.part_pid("agent") not in (0, before), what="another agent")
        until(lambda: knows(spare, ticking), what="it answers")
        assert run_of(spare, ticking) == run
        assert spare.get(ticking).status_code == 200


def knows(platform: Platform, label: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.connect(str(platform.paths.agent_for_panel / "agent.sock"))
        client.sendall(f"GET /websites/{label}.{platform.domain} HTTP/1.0\r\n\r\n".encode())
        return client.recv(64).startswith(b"HTTP/1.1 200")
    return False


# -- I7, the edge


class SteppedEdge(RunningEdge):
    """Its nginx lives by a clock that can be stepped."""

    def __init__(self, clock: SteppedClock) -> None:
        super().__init__()
        self._clock = clock

    def restart(self) -> None:
        """In the place of the nginx that has written its configuration."""
        self.stop()
        self.paths.edge_socket.unlink(missing_ok=True)
        environment = {"PATH": "/usr/sbin:/usr/bin", "TZ": "UTC", **self._clock.environment}
        with (self.root / "stderr").open("ab") as stderr:
            conf = str(self.paths.edge / "nginx.conf")
            self.process = subprocess.Popen(["nginx", "-c", conf], stderr=stderr, env=environment)
        until(self._is_up, what="nginx answers on its control socket")


@pytest.fixture
def edge(clock: SteppedClock) -> Iterator[SteppedEdge]:
    with SteppedEdge(clock) as edge:
        edge.restart()
        yield edge


def held_through(edge: SteppedEdge, clock: SteppedClock, step: int) -> tuple[int, float, int]:
    """Status and seconds of a request that is held for 0.8 s, in the midst of which the clock is stepped; after a
    step back, how many wakes came for the next one.
    """
    agent = edge.agent(replying(answer("", status="202 Accepted")))
    domain = f"held{abs(step)}.{DOMAIN}"
    edge.publish(domain, RouteState.HELD, hold_s=0.8)
    began = time.monotonic()
    with in_background(lambda: edge.get(domain)) as result:
        until(lambda: edge.status(domain).held == 1, what="it is held")
        until(lambda: agent.requests, what="the agent is asked")
        clock.step(step)
        status = result().status
    took_s = time.monotonic() - began
    told = len(agent.requests)
    if step < 0:
        edge.publish(domain, RouteState.HELD, hold_s=2.5)
        edge.get(domain)
    edge.loop.run(agent.stop())
    return status, took_s, len(agent.requests) - told


@pytest.mark.parametrize("step", [DAY_S, -DAY_S])
def test_i7_a_stepped_clock_ends_no_hold_and_prolongs_none(edge: SteppedEdge, clock: SteppedClock, step: int) -> None:
    """And who waits next is told of. Positive control: the same edge with nginx's own clock in the place of ours."""
    status, took_s, wakes = held_through(edge, clock, step)
    assert (status, wakes > 0) == (503, step < 0)
    assert 0.7 < took_s < 3.0
    if step > 0:
        clock.step(0)
        (edge.paths.edge / "lua/hostel/clock.lua").write_text("return ngx.now\n")
        edge.restart()
        _, took_s, _ = held_through(edge, clock, step + 1)
        assert took_s < 0.7, "positive control: it is given up at once"


# -- I9


def test_i9_a_configuration_that_nginx_refuses_is_never_used(tmp_path: Path) -> None:
    """A release with a broken template: what serves goes on and is not touched; by itself it does not start, and says
    what nginx says. Positive control: the release without the fault starts in the same place.
    """
    broken = tmp_path / "hostel"
    shutil.copytree(Path(hostel.__file__).parent, broken, ignore=shutil.ignore_patterns("__pycache__"))
    template = broken / "edge/nginx.conf.j2"
    template.write_text(template.read_text().replace("worker_processes", "worker_proceses", 1))
    domain = f"alice.{DOMAIN}"
    with RunningEdge() as edge:
        start = [sys.executable, "-m", "hostel.edge", "--root", str(edge.root)]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        edge.running(domain, edge.upstream("run-alice", replying(answer("alice"))))
        conf = (edge.paths.edge / "nginx.conf").read_bytes()

        beside = subprocess.run(start, env=environment, capture_output=True, text=True, timeout=30, check=False)
        assert (beside.returncode, "still runs" in beside.stderr) == (78, True)
        assert edge.get(domain).body == b"alice"
        assert (edge.paths.edge / "nginx.conf").read_bytes() == conf

        edge.stop()
        alone = subprocess.run(start, env=environment, capture_output=True, text=True, timeout=30, check=False)
        assert alone.returncode == 78
        assert "unknown directive" in alone.stderr
        assert "worker_proceses" in alone.stderr
        edge.start()
        assert edge.get(domain).body == b"alice"
