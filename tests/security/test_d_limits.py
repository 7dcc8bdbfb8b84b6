"""D3 to D5, D10, D24, I11: what one tenant can use up, and that nobody else notices.

Each probe is also run where that one limit is higher, and succeeds there: a limit that never bites would show nothing.
"""

import json
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hostel.agent import cgroup
from hostel.wire.process import PLATFORM_OOM_SCORE
from live import Platform, User, answering
from machine_state import processes_of, read_counter, tenant_cgroup
from sandboxed import prepared, python, run
from waiting import until

SMALL = ("memory_mb=128", "site_memory_mb=96", "site_pids=40", "pids=90", "cpu=0.5")
FORKS = """
import os, time
made = 0
try:
    while made < 300:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except OSError:
    pass
print(made)
"""
EAT = "x = b'x' * (200 << 20)"
FILL = """
import errno, json, os, sys
written = {}
for place in sys.argv[1:]:
    file = os.open(f"{place}/filler", os.O_WRONLY | os.O_CREAT)
    count = 0
    try:
        while count < 400 << 20:
            count += os.write(file, bytes(1 << 20))
    except OSError as error:
        assert error.errno == errno.ENOSPC
    os.close(file)
    os.unlink(f"{place}/filler")
    written[place] = count >> 20
print(json.dumps(written))
"""
OPEN = """
import errno, multiprocessing, resource
def open_all(_):
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        kept = [open("/dev/null") for _ in range(17_000)]
    except OSError as error:
        assert error.errno == errno.EMFILE
        return "EMFILE"
    return "all"
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
    print("raised")
except (ValueError, PermissionError):
    print("not raised")
with multiprocessing.Pool(4) as pool:
    print(*pool.map(open_all, range(4)))
"""
SPIN = """
import os, sys, time
end = time.monotonic() + 1.5
children = [os.fork() for _ in range(2)]  # each of two makes two
while time.monotonic() < end:
    pass
if all(children):
    print("done", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def trudy(platform: Platform) -> User:
    """Has a small plan; bob has the usual one."""
    user = platform.add_user_with_server("trudy")
    platform.hostel("user", "limits", "trudy", *SMALL)
    return user


@pytest.fixture(scope="module")
def neighbour(platform: Platform, alice: User) -> Iterator[str]:
    assert platform.create(alice, "alice", answering("undisturbed")).status_code == 201
    yield "alice"
    platform.delete(alice, "alice")


def assert_serves(platform: Platform, label: str, *, requests: int = 10) -> None:
    for _ in range(requests):
        began = time.monotonic()
        assert platform.get(label).json()["word"] == "undisturbed"
        assert time.monotonic() - began < 2.0


def error_log(platform: Platform, user: User, label: str) -> str:
    return (platform.paths.site_logs / user.name / f"{label}.{platform.domain}.error.log").read_text()


def test_d3_a_fork_bomb_ends_at_the_pids_limit(platform: Platform, trudy: User, bob: User) -> None:
    assert int(python(platform, trudy, FORKS)) < 90
    assert int(python(platform, bob, FORKS)) == 300, "where the limit is higher it goes on"


def test_d3_fork_bombs_in_three_sites_at_once_stay_within_their_user_and_die(
    platform: Platform, trudy: User, neighbour: str
) -> None:
    bomb = "(sleep 0.3; b() { b | b & }; b) & exec python3 answer.py"
    labels = [f"bomb{number}-trudy" for number in range(3)]
    for label in labels:
        assert platform.create(trudy, label, bomb).status_code == 201
    path = tenant_cgroup(platform, "trudy")
    until(lambda: sum(cgroup.fork_refusals(f"{path}/{run}") for run in cgroup.children(path)), what="a refusal")
    assert int(read_counter(path, "pids", "pids.current", "pids.current")) <= 90
    assert_serves(platform, neighbour)
    for label in labels:
        platform.delete(trudy, label)
    until(lambda: not processes_of(platform, "trudy"), what="all bombs are gone", deadline_s=15)


def test_d4_reloads_with_requests_kept_open_bring_no_more_than_twice_the_plan(platform: Platform, trudy: User) -> None:
    """Each run that drains may have room of its own: of four that would be five times the plan."""
    url = f"websites/trudy.{platform.domain}/reload/"
    platform.create(trudy, "trudy", answering())
    limits = []
    with ThreadPoolExecutor(4) as pool, platform.api(trudy) as api:
        for _ in range(4):
            before = platform.edge_status("trudy")["requests"]
            pool.submit(platform.get, "trudy", "/slow?s=10")
            until(lambda before=before: platform.edge_status("trudy")["requests"] > before)  # type: ignore[misc]
            assert api.post(url).json() == {"status": "OK"}
            limits.append(memory_limit_mb("trudy", platform))
    assert max(limits) == 2 * 128
    assert limits[0] == 128 + 96, "positive control: one run has its room"
    platform.delete(trudy, "trudy")


def memory_limit_mb(name: str, platform: Platform) -> int:
    return int(read_counter(tenant_cgroup(platform, name), "memory", "memory.limit_in_bytes", "memory.max")) >> 20


def test_d3_a_command_that_ends_for_want_of_processes_says_so(platform: Platform, trudy: User, bob: User) -> None:
    script = FORKS.replace("300", "60") + "assert made == 60\nexec(open('answer.py').read())\n"
    for user, state, reason in ((trudy, "failed", "too_many_processes"), (bob, "running", None)):
        put(platform, user, "forks.py", script)
        webapp = platform.create(user, user.name, "exec python3 forks.py served").json()["webapp"]
        platform.delete(user, user.name)
        assert (webapp["state"], webapp["reason"]) == (state, reason)
    assert "too many processes" in error_log(platform, trudy, "trudy")


def put(platform: Platform, user: User, name: str, text: str) -> None:
    platform.hostel("shell", user.name, "--", "bash", "-c", f"cat > {name}", stdin=text)


def test_d4_a_command_that_needs_too_much_memory_is_ended_and_says_so(
    platform: Platform, trudy: User, bob: User, neighbour: str
) -> None:
    command = f"exec python3 -c \"{EAT}; exec(open('answer.py').read())\" served"
    webapp = platform.create(trudy, "trudy", command).json()["webapp"]
    platform.delete(trudy, "trudy")
    assert (webapp["state"], webapp["reason"]) == ("failed", "out_of_memory")
    assert "more than its 96 MiB of memory" in webapp["detail"]
    assert "out of memory" in error_log(platform, trudy, "trudy")
    assert platform.create(bob, "bob", command).json()["webapp"]["state"] == "running", "where the limit is higher"
    platform.delete(bob, "bob")
    assert_serves(platform, neighbour, requests=1)


def test_d4_a_child_that_needs_too_much_memory_is_told_in_the_error_log(platform: Platform, trudy: User) -> None:
    """On version 2 of cgroups the whole website ends with it (memory.oom.group) and is started again."""
    platform.create(trudy, "trudy", f'(sleep 0.3; python3 -c "{EAT}"; echo survived >&2) & exec python3 answer.py')
    until(lambda: "out of memory" in error_log(platform, trudy, "trudy"), what="the log says it", deadline_s=15)
    assert platform.get("trudy").status_code == 200
    platform.delete(trudy, "trudy")


def test_d5_every_tmpfs_has_a_size_and_counts_as_memory(platform: Platform, trudy: User, bob: User) -> None:
    places = ("/tmp", "/var/tmp", "/dev/shm")
    sizes = {"/tmp": 256, "/var/tmp": 64, "/dev/shm": 64}
    assert json.loads(python(platform, bob, FILL, *places)) == sizes
    unlimited = json.loads(python(platform, bob, FILL, "/dev/shm", change=without_sizes))
    assert unlimited == {"/dev/shm": 400}, "without its size it goes on"
    killed = run(platform, trudy, ("/usr/bin/python3", "-I", "-c", FILL, "/tmp"))
    assert killed.returncode in (-9, 137), "what lies there counts: 256 MiB are more than the user's 128"
    written = run(
        platform, trudy, ("/bin/bash", "-c", "for d in /tmp /var/tmp /dev/shm; do touch $d/x || exit 1; done")
    )
    assert written.returncode == 0


def without_sizes(config: dict[str, Any]) -> None:
    for mount in config["mounts"]:
        mount["options"] = [option for option in mount["options"] if not option.startswith("size=")]


def test_d5_no_other_place_of_the_sandboxs_own_can_be_written(platform: Platform, bob: User) -> None:
    """Control: the three places of the test above can."""
    script = "for d in / /dev /run /etc /usr /var /opt /var/sockets; do touch $d/x 2>/dev/null && echo $d; done; true"
    assert run(platform, bob, ("/bin/bash", "-c", script)).stdout == ""


def test_d10_open_files_end_at_the_limit_and_nginx_still_opens_its_own(
    platform: Platform, bob: User, alice: User, neighbour: str
) -> None:
    assert python(platform, bob, OPEN).split() == ["not", "raised", *["EMFILE"] * 4]
    assert python(platform, bob, OPEN, change=with_more_files).split()[-4:] == ["all"] * 4
    platform.create(alice, "fresh-alice", answering("undisturbed"))  # a log that nginx has not open yet
    assert_serves(platform, "fresh-alice", requests=1)
    platform.delete(alice, "fresh-alice")


def with_more_files(config: dict[str, Any]) -> None:
    (limit,) = [each for each in config["process"]["rlimits"] if each["type"] == "RLIMIT_NOFILE"]
    limit["soft"] = limit["hard"] = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def test_d24_busy_loops_are_throttled_to_the_users_share(platform: Platform, trudy: User, neighbour: str) -> None:
    """How little a neighbour notices is measured by bench/neighbour.py. Disk I/O has a weight, and no limit."""
    throttled, cpu_s = spin(platform, trudy)
    assert throttled > 0
    assert cpu_s < 1.5 * 0.5 + 0.4
    assert_serves(platform, neighbour)
    platform.hostel("user", "limits", "trudy", "cpu=64")
    assert spin(platform, trudy)[0] == 0, "without the limit nothing holds it back"
    platform.hostel("user", "limits", "trudy", *SMALL)


def spin(platform: Platform, user: User) -> tuple[int, float]:
    """In how many periods four busy loops were throttled, and how many seconds of processor they got."""
    argv = ("/usr/bin/python3", "-I", "-c", SPIN)
    pipe = subprocess.PIPE
    with prepared(platform, user, argv) as (command, bundle):
        path = f"{tenant_cgroup(platform, user.name)}/{bundle.name}"
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
            lines = read_counter(path, "cpu", "cpu.stat", "cpu.stat").splitlines()
            counters = cgroup.read_counters(path)
    return next(int(line.split()[1]) for line in lines if line.startswith("nr_throttled ")), counters.cpu_s


def test_d24_all_users_together_yield_to_the_platform(platform: Platform, trudy: User) -> None:
    """The panel's cgroup is not below that of the users, and has the usual weight."""
    usual = 100 if cgroup.is_unified() else 1024
    users, panel = tenant_cgroup(platform, "trudy").rpartition("/")[0], panel_cgroup(platform)
    weights = [int(read_counter(path, "cpu", "cpu.shares", "cpu.weight")) for path in (users, panel.rpartition("/")[0])]
    assert weights == [usual // 2, usual]


def panel_cgroup(platform: Platform) -> str:
    (record,) = [
        record
        for file in platform.paths.runs.glob("*/run.json")
        if (record := json.loads(file.read_text()))["tenant"] == "hostel"
    ]
    installation = json.loads(platform.paths.installation_file.read_text())["id"]
    return f"/hostel-{installation}-platform/{record['number']}"


def test_i11_platform_processes_are_ended_last(platform: Platform, neighbour: str) -> None:
    """What the kernel itself does when the machine is out of memory cannot be tried on a machine that others use."""
    parts = [platform.supervisor_pid, *(platform.part_pid(part) for part in ("agent", "edge", "logger"))]
    workers = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent_of(pid) == parts[2]]
    panel = [pid for run in cgroup.children(panel_cgroup(platform)) for pid in runs_of(platform, run)]
    assert len(workers) >= 2
    assert panel
    expected = PLATFORM_OOM_SCORE if may_protect_itself() else 0
    assert {oom_score(pid) for pid in (*parts, *workers, *panel)} == {expected}
    assert {oom_score(pid) for pid in processes_of(platform, "alice")} == {300}


def runs_of(platform: Platform, run: str) -> list[int]:
    return cgroup.processes(f"{panel_cgroup(platform)}/{run}")


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def may_protect_itself() -> bool:
    """CAP_SYS_RESOURCE, which containers often lack: `hostel up` says so there."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(line.split()[1], 16) >> 24 & 1)
