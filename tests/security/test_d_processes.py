"""D1, D2, D6 to D10, D25, I3 and I13: processes that would outlast, choke or outdo what they belong to."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hostel.agent import cgroup
from hostel.agent.installation import Installation
from hostel.agent.tenant import read_record
from hostel.wire.codec import parse
from hostel.wire.process import ProcessIdentity
from live import ANSWER, Platform, User, answering, send_signal
from sandboxed import bash, in_namespaces_without, prepared, python
from servers import put
from waiting import until

DEADLINE_S = 15.0


def group_of(platform: Platform, user: User) -> str:
    installation = parse(Installation, json.loads(platform.paths.installation_file.read_bytes()))
    return installation.cgroup_of(read_record(platform.paths.tenants / f"{user.name}.json").number)


def serving_group(platform: Platform, user: User, label: str) -> str:
    report = platform.ask_agent("GET", f"/websites/{label}.{platform.domain}").json()
    return f"{group_of(platform, user)}/{report['run']}"


def error_log(platform: Platform, user: User, label: str) -> str:
    file = platform.paths.site_logs / user.name / f"{label}.{platform.domain}.error.log"
    return file.read_text() if file.exists() else ""


# -- D1, D2

DAEMON = "(setsid sleep 600 >/dev/null 2>&1 </dev/null &) ; sleep 0.1"


def test_d1_a_daemon_ends_with_pid_1(platform: Platform, alice: User) -> None:
    """Without a pid namespace, the control, it lives on although runc says that all is over."""
    for change, lives in ((None, False), (in_namespaces_without("pid"), True)):
        with prepared(platform, alice, ("/bin/bash", "-c", f"{DAEMON}; read"), change) as (argv, bundle):
            at = argv.index("run") + 1
            pid_file = bundle / "pid"
            detached = [*argv[:at], "--detach", "--pid-file", str(pid_file), *argv[at:]]
            with subprocess.Popen(detached, stdin=subprocess.PIPE) as process:
                process.wait(DEADLINE_S)
                first = ProcessIdentity.of(int(pid_file.read_text()))
                until(lambda: bool(sleepers(platform, alice)))
            until(lambda first=first: not first.is_alive())
            assert bool(sleepers(platform, alice)) is lives
        assert sleepers(platform, alice) == []


def sleepers(platform: Platform, user: User) -> list[int]:
    """Processes of the user's uid that sleep for ten minutes, wherever they are."""
    uid = (platform.paths.homes / user.name).stat().st_uid
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid == uid and b"sleep\x00600" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_d1_nothing_of_a_deleted_website_lives(platform: Platform, alice: User) -> None:
    platform.create(alice, "alice", f"{DAEMON}; exec python3 answer.py")
    path = serving_group(platform, alice, "alice")
    assert len(cgroup.processes(path)) >= 2
    platform.delete(alice, "alice")
    until(lambda: not (cgroup.ROOT / "pids" / path.strip("/")).exists() and not cgroup.processes(path))
    assert sleepers(platform, alice) == []


def test_d2_a_daemon_stays_in_the_cgroup_of_its_website(platform: Platform, alice: User) -> None:
    """There is no control: without a file system of cgroups and root's rights in it a cgroup cannot be left."""
    platform.create(alice, "alice", f"{DAEMON}; exec python3 answer.py")
    try:
        (daemon,) = sleepers(platform, alice)
        run = serving_group(platform, alice, "alice")
        lines = Path(f"/proc/{daemon}/cgroup").read_text().splitlines()
        places = {line.split(":")[1]: line.split(":")[2] for line in lines}
        assert {places[name] for name in ("memory", "pids", "cpu", "") if name in places} <= {run, "/"}
        assert run in places.values()
        assert "cgroup" not in bash(platform, alice, "cut -d' ' -f 9- /proc/self/mountinfo")
    finally:
        platform.delete(alice, "alice")


# -- D6

DOUBLE_FORK = """
import os, sys
refused = 0
for _ in range(int(sys.argv[1])):
    try:
        child = os.fork()
    except OSError:
        refused += 1
        continue
    if child == 0:
        if os.fork() == 0:
            os.execv("/bin/true", ["true"])
        os._exit(0)
    os.waitpid(child, 0)
print(refused)
"""

# A server that reaps only its own children, as most do, and makes orphans when it is asked to.
CLOGGING = """
import asyncio, os
async def handle(reader, writer):
    line = await reader.readline()
    made = 0
    if b"/orphans" in line:
        try:
            for _ in range(300):
                child = os.fork()
                if child == 0:
                    if os.fork() == 0: os._exit(0)
                    os._exit(0)
                os.waitpid(child, 0)
                made += 1
        except OSError: pass
    body = f"{os.getpid()} {made}".encode()
    writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
    await writer.drain(); writer.close()
async def main():
    server = await asyncio.start_unix_server(handle, os.environ["DOMAIN_SOCKET"])
    await server.serve_forever()
asyncio.run(main())
"""


def test_d6_a_server_choked_by_its_orphans_is_started_anew_without_a_lost_request(
    platform: Platform, alice: User
) -> None:
    """PID 1 is the server itself, and does not wait for orphans: without a new run no fork would ever succeed again."""
    put(platform, alice, "clogging.py", CLOGGING)
    assert platform.create(alice, "alice", "python3 clogging.py", grace_s=1).status_code == 201
    try:
        first = serving_group(platform, alice, "alice")
        made = int(platform.get("alice", "/orphans").text.split()[1])
        assert made < 300, "the limit of 256 processes has been reached"
        assert cgroup.unreaped(first) > 200
        assert platform.get("alice", "/orphans").text.split()[1] == "0", "the control: nothing can be forked any more"
        deadline = time.monotonic() + 30
        while serving_group(platform, alice, "alice") == first:
            assert platform.get("alice").status_code == 200
            assert time.monotonic() < deadline
        assert int(platform.get("alice", "/orphans").text.split()[1]) > 200
        assert "[hostel] ended processes that the command does not wait for" in error_log(platform, alice, "alice")
    finally:
        platform.delete(alice, "alice")


def test_d6_a_console_waits_for_orphans(platform: Platform, alice: User) -> None:
    """bash as PID 1 does; the control, Python as PID 1, does not."""
    zombies = "grep -h ') Z ' /proc/[0-9]*/stat | wc -l"
    assert bash(platform, alice, f"/usr/bin/python3 -I -c '{DOUBLE_FORK}' 200; {zombies}").split() == ["0", "0"]
    count = f"import os; os.system({zombies!r})"
    assert int(python(platform, alice, f"{DOUBLE_FORK}{count}", "200").split()[0]) > 190


# -- D7 to D10, D25

KILLED = "[hostel] the command did not end when it was asked to (SIGTERM): it was killed"


def test_d7_what_ignores_term_is_killed_after_its_grace_and_the_log_says_so(platform: Platform, alice: User) -> None:
    """The control is the website that ends in good order: nothing is said of it."""
    server = ANSWER.read_text()
    put(platform, alice, "stubborn.py", server.replace("signal.SIGTERM, ending.set", "signal.SIGUSR1, ending.set"))
    for command, is_killed in ((answering(), False), ("trap '' TERM; exec python3 stubborn.py", True)):
        before = error_log(platform, alice, "alice").count(KILLED)
        assert platform.create(alice, "alice", command, grace_s=1).json()["webapp"]["state"] == "running"
        path = serving_group(platform, alice, "alice")
        began = time.monotonic()
        platform.delete(alice, "alice")
        until(lambda path=path: not (cgroup.ROOT / "pids" / path.strip("/")).exists() and not cgroup.processes(path))
        assert (time.monotonic() - began > 1) or not is_killed
        until(lambda said=before + is_killed: error_log(platform, alice, "alice").count(KILLED) == said)


# Accepts one connection, which is when a website counts as running, and ends; the first time after a second.
CRASHING = """
import os, socket, time
with open("starts", "a") as file: file.write("start\\n")
server = socket.socket(socket.AF_UNIX)
server.bind(os.environ["DOMAIN_SOCKET"])
server.listen()
kept = server.accept()
if len(open("starts").readlines()) == 1: time.sleep(1)
raise SystemExit(3)
"""


def test_d9_a_crash_loop_slows_down(platform: Platform, alice: User) -> None:
    """Nine starts in five minutes: the pause doubles from 0.2 s on (tests/unit/agent/test_reconcile.py)."""
    put(platform, alice, "crash.py", CRASHING)
    platform.create(alice, "alice", "exec python3 crash.py")
    try:
        agent = platform.part_pid("agent")
        before = cpu_s(agent)
        began = time.monotonic()
        until(lambda: report(platform)["restarts"] >= 3)
        assert (cpu_s(agent) - before) / (time.monotonic() - began) < 0.5
        assert len(platform.shell("alice", "cat starts").split()) <= 6
    finally:
        platform.delete(alice, "alice")


def report(platform: Platform) -> dict[str, int]:
    return dict(platform.ask_agent("GET", f"/websites/alice.{platform.domain}").json())


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


CRASH = "import ctypes, os; os.chdir('/tmp'); ctypes.string_at(0)"


def test_d9_a_crash_leaves_no_core(platform: Platform, alice: User) -> None:
    """Where the machine writes cores to files (kernel.core_pattern), as it does where these tests run."""
    assert not Path("/proc/sys/kernel/core_pattern").read_text().startswith("|")
    script = f'cd /tmp; python3 -c "{CRASH}"; ulimit -c; ls /tmp'
    assert "core" not in bash(platform, alice, script)

    def with_cores(config: dict[str, dict[str, list[dict[str, object]]]]) -> None:
        config["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 1 << 30, "hard": 1 << 30}]

    assert "core" in bash(platform, alice, script, change=with_cores)


OPEN_ALL = """
import os, resource, sys
kept = []
try:
    while len(kept) < 20000: kept.append(os.open("/dev/null", os.O_RDONLY))
except OSError: pass
print(len(kept), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_d10_descriptors_have_a_limit_for_each_process(platform: Platform, alice: User) -> None:
    """Sixty-four processes at their limit leave most of what the machine has (fs.file-max) to others."""
    opened, soft, hard = map(int, python(platform, alice, OPEN_ALL).split())
    assert opened <= soft == 4_096 < hard == 16_384

    def unlimited(config: dict[str, dict[str, list[dict[str, object]]]]) -> None:
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 16_384, "hard": 16_384}]

    assert int(python(platform, alice, OPEN_ALL, change=unlimited).split()[0]) > 16_000
    file_max = int(Path("/proc/sys/fs/file-max").read_text())
    assert file_max > 64 * soft


INOTIFY = """
import ctypes
libc = ctypes.CDLL(None)
made = 0
while made < 5000 and libc.inotify_init1(0) >= 0: made += 1
print(made)
"""


def test_d25_limits_of_a_uid_are_a_tenants_own(platform: Platform, alice: User, bob: User) -> None:
    """inotify instances, of which the kernel gives each uid 128: who has them all takes none from others."""
    with prepared(platform, alice, ("/usr/bin/python3", "-uc", INOTIFY + "input()")) as (argv, _):
        holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert holder.stdout is not None
        taken = int(holder.stdout.readline())
        again = int(python(platform, alice, INOTIFY))
        others = int(python(platform, bob, INOTIFY))
        holder.communicate("\n", timeout=DEADLINE_S)
    assert again < 5, "the control: of one's own uid nothing is left"
    assert others == taken


# -- I3, I13


def test_i3_a_pid_that_is_another_process_now_is_left_alone(platform: Platform, alice: User, tmp_path: Path) -> None:
    """The record of a run with a stranger's pid: an agent that finds it ends the run, not the stranger."""
    platform.create(alice, "alice", answering())
    run = platform.ask_agent("GET", f"/websites/alice.{platform.domain}").json()["run"]
    file = platform.paths.runs / run / "run.json"
    record = json.loads(file.read_text())
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        forged = {**record["process"], "pid": stranger.pid}
        assert not ProcessIdentity(**forged).is_alive()
        assert ProcessIdentity.of(stranger.pid).is_alive()  # the control: with its own start it is found
        file.write_text(json.dumps({**record, "process": forged}))
        agent = platform.part_pid("agent")
        send_signal(agent, signal.SIGKILL)
        until(lambda: platform.part_pid("agent") not in (0, agent))
        until(lambda: platform.hostel("website", "list", check=False).returncode == 0)
        assert platform.get("alice").status_code == 200
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        platform.delete(alice, "alice")


@contextmanager
def frozen(path: str) -> Iterator[None]:
    """All processes of a run, so that not even KILL ends them (version 1; on version 2 KILL thaws).

    One level below the run's own group, which the agent thaws when it ends a run.
    """
    unified = cgroup.is_unified()
    own = cgroup.ROOT / ("" if unified else "freezer") / path.strip("/")
    below = own / "stuck"
    below.mkdir()
    move(cgroup.processes(path), below)
    file = below / ("cgroup.freeze" if unified else "freezer.state")
    file.write_text("1" if unified else "FROZEN")
    try:
        yield
    finally:
        file.write_text("0" if unified else "THAWED")
        move([int(pid) for pid in (below / "cgroup.procs").read_text().split()], own)
        until(lambda: not (below / "cgroup.procs").read_text())
        below.rmdir()


def move(pids: list[int], group: Path) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))


def test_i13_a_run_that_cannot_die_holds_up_neither_its_website_nor_others(
    platform: Platform, alice: User, bob: User
) -> None:
    """The control is in the fixture: thawed, the run ends and every trace of it goes."""
    platform.create(alice, "alice", answering("first"), grace_s=1, drain_s=1)
    platform.create(bob, "bob", answering())
    try:
        stuck = serving_group(platform, alice, "alice")
        with frozen(stuck):
            with platform.api(alice) as api:
                began = time.monotonic()
                assert api.post(f"websites/alice.{platform.domain}/reload/").status_code == 200
                assert time.monotonic() - began < DEADLINE_S
            assert serving_group(platform, alice, "alice") != stuck
            assert platform.get("alice").status_code == 200
            with platform.api(bob) as api:
                assert api.post(f"websites/bob.{platform.domain}/reload/").status_code == 200
            assert cgroup.processes(stuck) != []
            platform.delete(alice, "alice")
            assert platform.get("alice").status_code == 404
        until(lambda: not cgroup.processes(stuck))
    finally:
        platform.delete(bob, "bob")
