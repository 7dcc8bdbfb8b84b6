"""Reloads, deaths and stops for a long time, and the proof that nothing was lost.

reloads    50 reloads of each server at most half a second apart under a constant load that never retries
stopped    the agent stopped by SIGSTOP while 1,000 requests a second are answered and logged
adoption   100 live sandboxes, the agent killed: from the start of the next one to the last adopted run
master     nginx's master killed: for how long connections are refused
schedules  random schedules of kill -9 and SIGSTOP at the fail-points of agent, runc, logger and publication
replay     those schedules again, one at a time, that were not as promised

Each part writes its figures and the machine into results/soak.json and leaves the other parts' alone.
"""

import argparse
import asyncio
import contextlib
import gzip
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmark import RESULTS, write_result
from machine import describe

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import schedules
from live import Platform, User, answering, running
from load import Account, Load, under
from reloads import reload_again_and_again
from servers import SERVERS, install

RELOADS = 50
SCHEDULES = 1_000
REQUESTS_LEAST = 20_000  # through the reloads of each server
LOGGED_PER_S = 1_000
STOPPED_S = 300.0
TENANTS, SITES_EACH = 20, 5
KILLS = 5
ADOPTION_AIM_S = 2.0
STABLE_S = 62.0
MASTER_AIM_S = 1.0
SCHEDULE_SETTINGS = "[limits]\nstart_deadline_s = 12.0\n[panel]\nlogins_per_minute = 1000"

console = Console()


@dataclass(frozen=True, slots=True)
class Options:
    is_quick: bool
    seconds: float  # of the parts that have no natural end
    seed: int
    arenas: int  # schedules played at once, each on a platform of its own
    is_resumed: bool  # the last run's schedules count


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one part found: figures for the result file, and in words what was not as promised."""

    figures: dict[str, object]
    complaints: list[str]


@dataclass(slots=True)
class Record:
    """What the schedules of `seeds` have shown so far."""

    seeds: Sequence[int]
    played: int = 0
    requests: int = 0
    longest_convergence_s: float = 0.0
    hits: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def start(platform: Platform, user: User, label: str, command: str) -> None:
    created = platform.create(user, label, command)
    if created.json()["webapp"]["state"] != "running":
        raise SystemExit(f"{command} did not start: {created.text}")


# -- reloads


def soak_reloads(options: Options) -> Outcome:
    reloads = 5 if options.is_quick else RELOADS
    found: dict[str, object] = {}
    complaints: list[str] = []
    table = Table("server", "reloads", "requests", "failed", "lost or doubled", "longest wait")
    with running() as platform:
        user = platform.add_user("soak")
        install(platform, user)
        for server in SERVERS:
            least = 0 if options.is_quick else REQUESTS_LEAST
            with console.status(f"reloads of {server}"):
                account, times, differing = asyncio.run(reload_server(platform, user, server, reloads, least))
            wait = f"{account.longest_wait_s:.2f} s"
            table.add_row(server, str(times), f"{account.total:,}", str(len(account.failed)), str(differing), wait)
            found[server] = {
                "reloads": times,
                "requests": account.total,
                "failed": len(account.failed),
                "failures": account.failed[:20],
                "lost_or_doubled": differing,
                "longest_wait_s": round(account.longest_wait_s, 3),
            }
            if account.failed or differing:
                complaints.append(f"{server}: {len(account.failed)} failed, {differing} lost or doubled")
    console.print(table)
    return Outcome(found, complaints)


async def reload_server(
    platform: Platform, user: User, server: str, reloads: int, least: int
) -> tuple[Account, int, int]:
    """At least `reloads` reloads, and more until `least` requests have been made."""
    start(platform, user, "soak", SERVERS[server].command)
    record = platform.paths.homes / "soak/record.txt"
    record.write_text("")
    times = 0
    async with under(Load(host=f"soak.{platform.domain}", port=platform.http_port, seed=1)) as account:
        while times < reloads or account.total < least:
            codes = await reload_again_and_again(platform, user, "soak", 5, seed=times)
            if set(codes) != {200}:
                raise SystemExit(f"a reload of {server} failed: {codes}")
            times += 5
    platform.delete(user, "soak")
    recorded = Counter(record.read_text().split())
    differing = (recorded - account.answered).total() + (account.answered - recorded).total()
    return account, times, differing


# -- the agent stopped


def soak_stopped_agent(options: Options) -> Outcome:
    seconds = 10.0 if options.is_quick else min(STOPPED_S, options.seconds)
    with running() as platform:
        user = platform.add_user("soak")
        install(platform, user)
        start(platform, user, "soak", "venv/bin/uvicorn --uds $DOMAIN_SOCKET recording:asgi")
        with console.status(f"the agent is stopped for {seconds:g} s"):
            account, was_stopped, took_s = asyncio.run(serve_without_agent(platform, seconds))
        logs = platform.paths.site_logs / "soak"
        complaints = [f"{len(account.failed)} requests failed: {account.failed[:3]}"] if account.failed else []
        if not was_stopped:
            complaints.append("the agent was not stopped all the time")
        lines = {}
        for kind in ("access", "server"):
            logged = logged_ids(logs / f"soak.{platform.domain}.{kind}.log")
            lines[kind] = logged.total()
            lost, more = (account.answered - logged).total(), (logged - account.answered).total()
            if lost or more:
                complaints.append(f"{kind} log: {lost} of {len(account.answered)} lines lost, {more} too many")
    table = Table("stopped for", "requests", "a second", "failed", "access log lines", "server log lines")
    rate = account.total / took_s
    row = f"{seconds:g} s", f"{account.total:,}", f"{rate:,.0f}", str(len(account.failed))
    table.add_row(*row, f"{lines['access']:,}", f"{lines['server']:,}")
    console.print(table)
    figures: dict[str, object] = {
        "stopped_s": seconds,
        "requests": account.total,
        "requests_per_s": round(rate),
        "failed": len(account.failed),
        "access_log_lines": lines["access"],
        "server_log_lines": lines["server"],
        "longest_wait_s": round(account.longest_wait_s, 3),
    }
    return Outcome(figures, complaints)


async def serve_without_agent(platform: Platform, seconds: float) -> tuple[Account, bool, float]:
    """The account, whether it was stopped at the end too, and for how long there was load."""
    agent, began = platform.part_pid("agent"), time.monotonic()
    host, port = f"soak.{platform.domain}", platform.http_port
    gets = Load(host=host, port=port, seed=1, clients=32, post_share=0, gap_share=0, fresh_share=0.02)
    async with under(replace(gets, rate_per_s=LOGGED_PER_S)) as account:
        os.kill(agent, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
            was_stopped = platform.part_pid("agent") == agent and state_of(agent) == "T"
        finally:
            os.kill(agent, signal.SIGCONT)
        took_s = time.monotonic() - began
    return account, was_stopped, took_s


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def logged_ids(log: Path) -> Counter[str]:
    """The request ids in a log and its copies, once the log has stopped growing."""
    size = -1
    while size != log.stat().st_size:
        size = log.stat().st_size
        time.sleep(1.0)
    found: Counter[str] = Counter()
    for file in sorted(log.parent.glob(f"{log.name}*")):
        with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
            found.update(match[1] for line in lines if (match := re.search(r"GET /\?([0-9a-f]{16}) ", line)))
    return found


# -- adoption


def soak_adoption(options: Options) -> Outcome:
    tenants, each = (2, 5) if options.is_quick else (TENANTS, SITES_EACH)
    settings = "[panel]\nlogins_per_minute = 1000\nrequests_per_minute = 10000"
    with running(settings) as platform, ThreadPoolExecutor(4) as pool:
        with console.status(f"starting {tenants * each} websites"):
            users = list(pool.map(platform.add_user_with_server, (f"soak{number}" for number in range(tenants))))
            labels = [(user, f"s{number}-{user.name}") for user in users for number in range(each)]
            list(pool.map(lambda pair: start(platform, pair[0], pair[1], answering(pair[1])), labels))
        runs = {label: platform.get(label).json()["run"] for _, label in labels}
        took_s, imports_s, complaints = [], import_seconds(), []
        for _ in range(KILLS):
            seconds, adopted = kill_and_time(platform)
            took_s.append(seconds)
            if adopted != len(labels) + 1:  # and the panel
                complaints.append(f"{adopted} of {len(labels) + 1} runs were adopted")
        if runs != {label: platform.get(label).json()["run"] for _, label in labels}:
            complaints.append("a run was not adopted but started anew")
    table = Table("sandboxes", "from start to last adopted run", "of it Python and imports", "aim")
    shown = ", ".join(f"{seconds:.2f}" for seconds in took_s)
    table.add_row(str(len(labels)), f"{shown} s", f"{imports_s:.2f} s", f"{ADOPTION_AIM_S:g} s")
    console.print(table)
    if max(took_s) > ADOPTION_AIM_S:
        complaints.append(f"adoption took {max(took_s):.2f} s, more than {ADOPTION_AIM_S:g} s")
        console.print(import_profile(), highlight=False, markup=False)
    figures: dict[str, object] = {
        "sandboxes": len(labels),
        "tenants": tenants,
        "took_s": took_s,
        "imports_s": imports_s,
    }
    return Outcome(figures, complaints)


def kill_and_time(platform: Platform) -> tuple[float, int]:
    """Kill the agent. Seconds from the start of its successor's process to `node restored`, and how many it adopted."""
    log = platform.paths.log / "agent.log"
    offset, before = log.stat().st_size, platform.part_pid("agent")
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (restored := find_event(log, offset, "node restored")) is None:
        if time.monotonic() > deadline:
            raise SystemExit("the next agent does not come up")
        time.sleep(0.05)
    at = datetime.fromisoformat(str(restored["timestamp"])).timestamp()
    seconds = at - started_at(platform.part_pid("agent"))
    time.sleep(2.0)  # let it settle: a killed start is another test's
    return round(seconds, 3), int(str(restored["adopted"]))


def find_event(log: Path, offset: int, event: str) -> dict[str, object] | None:
    with log.open() as file:
        file.seek(offset)
        for line in file:
            if f'"{event}"' in line and line.endswith("\n"):
                return dict(json.loads(line))
    return None


def started_at(pid: int) -> float:
    """When a process was made, in seconds since 1970. proc(5): field 22 counts ticks since boot."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def import_seconds() -> float:
    """What an agent costs before its first line: Python's start and its imports; the best of three."""
    took_s = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run([sys.executable, "-P", "-c", "import hostel.agent.__main__"], check=True)
        took_s.append(time.monotonic() - began)
    return round(min(took_s), 3)


def import_profile() -> str:
    """The imports that cost most, with what they import themselves."""
    argv = [sys.executable, "-P", "-X", "importtime", "-c", "import hostel.agent.__main__"]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stderr.splitlines()
    rows = [line.removeprefix("import time:").split("|") for line in lines if line.count("|") == 2][1:]
    rows.sort(key=lambda row: -int(row[1]))
    return "\n".join(f"{int(row[1]) / 1000:8.0f} ms {row[2].strip()}" for row in rows[:25])


# -- master


def soak_master(options: Options) -> Outcome:
    """The first death follows a minute of life, as most will; the others come early and wait for the back-off."""
    with running() as platform:
        time.sleep(0 if options.is_quick else STABLE_S)
        refused_s = []
        for _ in range(KILLS):
            before = platform.part_pid("edge")
            with watching_port(platform.http_port) as gaps:
                os.kill(before, signal.SIGKILL)
                while platform.part_pid("edge") in (0, before) or not platform.is_up():
                    time.sleep(0.01)
            refused_s.append(round(max(gaps), 3))
    table = Table("nginx's master killed", "connections refused for", "aim")
    table.add_row(f"{KILLS} times", ", ".join(f"{seconds:.2f}" for seconds in refused_s) + " s", f"{MASTER_AIM_S:g} s")
    console.print(table)
    late = refused_s[0] > MASTER_AIM_S
    return Outcome({"refused_s": refused_s}, [f"connections were refused for {refused_s[0]:.2f} s"] if late else [])


@contextmanager
def watching_port(port: int) -> Iterator[list[float]]:
    """Connects all the time; what it yields are the seconds between one success and the next, filled until the end."""
    gaps: list[float] = [0.0]
    is_over = threading.Event()

    def watch() -> None:
        last = time.monotonic()
        while not is_over.is_set():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                gaps.append(time.monotonic() - last)
                last = time.monotonic()
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield gaps
    finally:
        is_over.set()
        watcher.join()


# -- schedules


def soak_schedules(options: Options) -> Outcome:
    """Each arena is a process with a platform of its own, and plays its part of the seeds."""
    earlier = read_results().get("schedules", {}) if options.is_resumed else {}
    count = 5 if options.is_quick else SCHEDULES - earlier.get("played", 0)
    began, wall_end = time.monotonic(), time.time() + options.seconds
    shares = [range(options.seed + number, options.seed + count, options.arenas) for number in range(options.arenas)]
    with console.status(f"schedules from seed {options.seed}"), ProcessPoolExecutor(options.arenas) as pool:
        records = list(pool.map(play_share, shares, [wall_end] * options.arenas))
    hits = sum((record.hits for record in records), Counter[str](earlier.get("hits", {})))
    violations = [*earlier.get("violations", ()), *(each for record in records for each in record.violations)]
    played = earlier.get("played", 0) + sum(record.played for record in records)
    requests = earlier.get("requests", 0) + sum(record.requests for record in records)
    longest_s = max([earlier.get("longest_convergence_s", 0.0), *(each.longest_convergence_s for each in records)])
    console.print(schedules.table(hits), highlight=False, markup=False)
    console.print(f"{played} schedules, {requests} requests, {len(violations)} violations")
    figures: dict[str, object] = {
        "played": played,
        "arenas": options.arenas,
        "took_s": earlier.get("took_s", 0) + round(time.monotonic() - began),
        "requests": requests,
        "first_seeds": [*earlier.get("first_seeds", ()), options.seed],
        "longest_convergence_s": round(longest_s, 1),
        "hits": dict(hits),
        "violations": violations,
    }
    return Outcome(figures, violations)


def play_share(seeds: Sequence[int], wall_end: float = math.inf) -> Record:
    """The schedules of `seeds`, or as many as are played by `wall_end`. Where one could not be played to its end, that
    counts as a violation and a new platform plays the next one.
    """
    record = Record(seeds)
    while record.played < len(seeds) and time.time() < wall_end:
        with running(SCHEDULE_SETTINGS) as platform:
            users = [platform.add_user(name) for name in ("soak", "steady")]
            asyncio.run(play(platform, users, record, wall_end))
    return record


def soak_replay(_: Options) -> Outcome:
    """Those of the last schedules that were not as promised, one after the other: was the machine too busy?"""
    earlier = read_results()["schedules"]["violations"]
    seeds = sorted({int(violation.split(":")[0].removeprefix("seed ")) for violation in earlier})
    record = play_share(seeds)
    console.print(f"{record.played} schedules again, {len(record.violations)} violations")
    return Outcome({"seeds": seeds, "violations": record.violations}, record.violations)


async def play(platform: Platform, users: list[User], record: Record, wall_end: float) -> None:
    """Until all are played, or `wall_end` has come, or one could not be."""
    async with schedules.arena(platform, users) as arena:
        try:
            while record.played < len(record.seeds) and time.time() < wall_end:
                seed = record.seeds[record.played]
                record.played += 1
                outcome = await arena.run(seed)
                record.requests += outcome.requests
                record.longest_convergence_s = max(record.longest_convergence_s, outcome.converged_s)
                for violation in outcome.violations:
                    record.violations.append(f"seed {seed}: {violation}")
                    console.print(record.violations[-1], str(outcome.schedule), highlight=False, markup=False)
                if outcome.violations:
                    keep_logs(platform, seed)
        except Exception as error:  # the figures of those before it must not be lost
            record.violations.append(f"seed {seed}: not played to its end: {error!r}")
            console.print(record.violations[-1], highlight=False, markup=False)
        finally:
            record.hits += arena.hits


def keep_logs(platform: Platform, seed: int) -> None:
    """The platform goes; what its parts have said explains the violation."""
    kept = Path(tempfile.mkdtemp(prefix=f"hostel-schedule-{seed}-"))
    shutil.copytree(platform.paths.log, kept, dirs_exist_ok=True)
    console.print(f"its logs: {kept}", highlight=False, markup=False)


# -- the whole

PARTS: dict[str, Callable[[Options], Outcome]] = {
    "reloads": soak_reloads,
    "stopped": soak_stopped_agent,
    "adoption": soak_adoption,
    "master": soak_master,
    "schedules": soak_schedules,
    "replay": soak_replay,
}


def read_results() -> dict[str, dict[str, Any]]:
    file = RESULTS / "soak.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def write_part(name: str, figures: dict[str, object], machine: dict[str, object]) -> None:
    write_result("soak", {**read_results(), name: {"machine": machine, **figures}})


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=600.0, help="for the schedules, and at most for the stop")
    arguments.add_argument("--quick", action="store_true", help="a little of each and no result file, to try it")
    arguments.add_argument("--only", action="append", choices=list(PARTS), help="this part; repeatable")
    arguments.add_argument("--seed", type=int, default=int(time.time()), help="of the schedules")
    arguments.add_argument("--arenas", type=int, default=1, help="schedules that are played at once")
    arguments.add_argument(
        "--resume", action="store_true", help="play what the last run's schedules lack of a thousand"
    )
    given = arguments.parse_args()
    seconds = 30.0 if given.quick else given.seconds
    options = Options(
        is_quick=given.quick, seconds=seconds, seed=given.seed, arenas=given.arenas, is_resumed=given.resume
    )
    complaints: list[str] = []
    for name in given.only or PARTS:
        machine = describe()
        outcome = PARTS[name](options)
        complaints += [f"{name}: {complaint}" for complaint in outcome.complaints]
        if outcome.figures and not options.is_quick:
            write_part(name, outcome.figures, machine)
    if complaints:
        raise SystemExit("\n".join(complaints))
    console.print("Nothing was lost.")


if __name__ == "__main__":
    main()
