"""The operator's hand: suspend and resume, and limits of one user, on what runs."""

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator

import httpx
import pytest

from hostel.cli.agent import Agent
from hostel.wire.errors import AccountSuspended, TooManyConsoles
from hostel.wire.website import ExecRequest, State
from live import HOSTEL, Platform, User, answering, send_signal
from machine_state import processes_of
from waiting import until

PROMISED_S = 2.0
SLOW_START = "sleep 8; exec python3 answer.py late"


@pytest.fixture(scope="module")
def mallory(platform: Platform) -> User:
    """Whom the operator has an eye on."""
    return platform.add_user_with_server("mallory")


@pytest.fixture
def site(platform: Platform, mallory: User) -> Iterator[str]:
    assert platform.create(mallory, "mallory", answering("here")).json()["webapp"]["state"] == "running"
    yield "mallory"
    platform.hostel("user", "resume", "mallory")
    platform.delete(mallory, "mallory")


@pytest.fixture
def console(platform: Platform, mallory: User) -> Iterator[subprocess.Popen[str]]:
    """A `hostel shell` of which something runs, and a child of it that left its session and ignores TERM."""
    script = "echo mine > kept; trap '' TERM; setsid sleep 600 & echo ready; sleep 600"
    process = subprocess.Popen(
        [str(HOSTEL), "shell", "mallory", "--", "bash", "-c", script],
        stdout=subprocess.PIPE, text=True, env=environment(platform),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def environment(platform: Platform) -> dict[str, str]:
    return {"HOSTEL_ROOT": str(platform.root), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}


def state_of(platform: Platform, label: str) -> State:
    return Agent(platform.paths).website(f"{label}.{platform.domain}").state


def restart_agent(platform: Platform) -> None:
    pid = platform.part_pid("agent")
    send_signal(pid, signal.SIGKILL)
    until(lambda: platform.part_pid("agent") not in (0, pid), what="another agent")
    until(lambda: accepts(str(platform.paths.agent_for_root / "agent.sock")), what="the agent answers")


def accepts(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


def test_suspending_stops_everything_of_a_user_within_two_seconds_and_resuming_brings_it_back(
    platform: Platform, alice: User, mallory: User, site: str, console: subprocess.Popen[str]
) -> None:
    platform.create(alice, "alice", answering("undisturbed"))
    held: list[httpx.Response] = []
    creating = threading.Thread(target=platform.create, args=(mallory, "held-mallory", SLOW_START))
    creating.start()
    route = platform.paths.routes / f"held-mallory.{platform.domain}.json"
    until(route.exists, what="the website is known")
    visitor = threading.Thread(target=lambda: held.append(platform.get("held-mallory")))
    visitor.start()
    until(lambda: platform.edge_status("held-mallory")["held"] > 0, what="a request is held")
    until(lambda: len(processes_of(platform, "mallory")) >= 4, what="the slow one starts")

    suspending = subprocess.Popen(
        [str(HOSTEL), "user", "suspend", "mallory", "--reason", "a secret of the operator's"],
        env=environment(platform), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    # The command itself takes a second to reach the panel; what was promised begins with the panel's word.
    record = platform.paths.tenants / "mallory.json"
    until(lambda: json.loads(record.read_text())["suspended"], what="the agent knows it")
    until(lambda: not processes_of(platform, "mallory"), what="nothing of the user runs", deadline_s=PROMISED_S)
    answer = platform.get(site)
    assert (answer.status_code, "This account is suspended" in answer.text) == (503, True)
    assert "secret" not in answer.text
    visitor.join(PROMISED_S)
    assert [each.status_code for each in held] == [503], "who was held is told as well"
    assert console.wait(5) != 0
    assert suspending.wait(10) == 0
    creating.join(30)
    with platform.api(mallory) as api:
        refused = api.get("websites/")
    assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (401, "account_suspended")
    with pytest.raises(AccountSuspended):
        Agent(platform.paths).prepare("mallory", ExecRequest(argv=("true",)))
    assert platform.get("alice").json()["word"] == "undisturbed", "nobody else notices"

    restart_agent(platform)
    assert platform.get(site).status_code == 503
    assert (state_of(platform, site), processes_of(platform, "mallory")) == (State.SUSPENDED, [])

    platform.hostel("user", "resume", "mallory")
    assert platform.get(site).json()["word"] == "here"
    assert platform.shell("mallory", "cat kept") == "mine\n", "nothing is lost"
    with platform.api(mallory) as api:
        assert api.get("websites/").status_code == 200
    assert platform.get("alice").json()["run"] is not None
    platform.delete(mallory, "held-mallory")
    platform.delete(alice, "alice")


def test_a_suspension_that_an_agent_did_not_live_to_carry_out_is_carried_out_by_the_next(
    platform: Platform, mallory: User, site: str, console: subprocess.Popen[str]
) -> None:
    """It dies right after it wrote the record: the console, which ignores TERM, still runs then."""
    pid, record = platform.part_pid("agent"), platform.paths.tenants / "mallory.json"
    suspending = subprocess.Popen(
        [str(HOSTEL), "user", "suspend", "mallory"], env=environment(platform), stderr=subprocess.DEVNULL
    )
    until(lambda: json.loads(record.read_text())["suspended"], what="the agent knows it")
    send_signal(pid, signal.SIGKILL)
    assert processes_of(platform, "mallory")
    until(lambda: platform.get(site).status_code == 503, what="the next agent shows it")
    until(lambda: not processes_of(platform, "mallory"), what="nothing of the user runs")
    assert console.wait(5) != 0
    suspending.wait(30)


def test_other_limits_hold_for_what_runs_without_a_new_run(platform: Platform, mallory: User, site: str) -> None:
    before = platform.get(site).json()["run"]
    platform.hostel("user", "limits", "mallory", "site_memory_mb=200", "pids=77", "cpu=0.5", "consoles=1")
    try:
        assert platform.shell("mallory", "ulimit -c") == "0\n"
        agent = Agent(platform.paths)
        plan = agent.prepare("mallory", ExecRequest(argv=("true",)))
        with pytest.raises(TooManyConsoles, match=r"may have 1 consoles open \(limit `consoles`\)"):
            agent.prepare("mallory", ExecRequest(argv=("true",)))
        refused = platform.hostel("shell", "mallory", "--", "true", check=False)
        assert (refused.returncode, "hostel user limits mallory consoles=" in refused.stderr) == (1, True)
        agent.end(plan.run)
        assert platform.shell("mallory", "echo again") == "again\n"
        assert platform.get(site).json()["run"] == before
        assert limits_in_force(platform, "mallory") == {"memory": 200 << 20, "pids": 77}
    finally:
        default = [f"{name}=default" for name in ("site_memory_mb", "pids", "cpu", "consoles")]
        platform.hostel("user", "limits", "mallory", *default)
    assert limits_in_force(platform, "mallory") == {"memory": 512 << 20, "pids": 256}
    assert platform.get(site).json()["run"] == before


def limits_in_force(platform: Platform, name: str) -> dict[str, int]:
    """Of the one run of the user that there is."""
    from hostel.agent import cgroup
    from machine_state import read_counter, tenant_cgroup

    path = tenant_cgroup(platform, name)
    (run,) = [run for run in cgroup.children(path) if cgroup.processes(f"{path}/{run}")]
    memory = read_counter(f"{path}/{run}", "memory", "memory.limit_in_bytes", "memory.max")
    return {"memory": int(memory), "pids": int(read_counter(f"{path}/{run}", "pids", "pids.max", "pids.max"))}
