"""What one website notices of another user who, within the default plan, does everything at once that hurts.

The attacker has a website with a fork bomb, one with a memory bomb, one with four busy loops, one that floods its log,
and one to which 500 visitors hold a connection that is never answered. Each attack is shown to be in full swing
by the counter of the limit that holds it, before anything is measured. The other user's website is asked at a constant
rate, each request timed from the moment it was due, so that waiting for a slow answer hides nothing. Baseline and
attack alternate.
"""

import argparse
import asyncio
import contextlib
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmark import Amount, Benchmark
from machine import children_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from hostel.agent import cgroup
from live import Platform, User, answering, running
from machine_state import read_counter, tenant_cgroup

VICTIM, ATTACKER = "bob", "mallory"
BOMBS = {
    "fork": "(sleep 1; b() { b | b & }; b) & exec python3 answer.py",
    "memory": "(sleep 1; while :; do python3 -c 'x = b\"x\" * (4 << 30)'; done) & exec python3 answer.py",
    "log": "(sleep 1; exec yes \"$(head -c 120 /dev/zero | tr '\\0' x)\") & exec python3 answer.py",
    "busy": "(for i in 1 2 3 4; do while :; do :; done & done; wait) & exec python3 answer.py",
    "hang": "exec python3 answer.py",
}
HANGING = 500
AIM = 2.0  # p99 under attack, as a multiple of the baseline's
BITE_DEADLINE_S = 30.0
ALONE_S = 2.0


@dataclass
class Phase:
    """What the visitors of the victim saw."""

    latencies_s: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def at(self, share: float) -> float:
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000

    waits_ms: dict[str, float] = field(default_factory=dict)  # for the processor, a request, by whom

    def summary(self) -> dict[str, Any]:
        figures = {f"p{name}_ms": round(self.at(share), 2) for name, share in (("50", 0.5), ("99", 0.99))}
        counts = {"requests": len(self.latencies_s), "lost": len(self.lost)}
        return {**figures, "max_ms": round(self.at(1.0), 2), **counts, "waits_ms": self.waits_ms}


@dataclass(frozen=True)
class Bites:
    """Counters of what held the attacker, as far as they have grown."""

    forks_refused: int
    oom_kills: int
    throttled_ms: int  # of a website at its own limit: on a busy machine it does not even get that much
    in_idle_class: int  # 1: the attacker yields the processor to every other user
    log_lines_dropped: int
    connections_held: int  # by the website that never answers; the others were refused with 503
    connections_refused: int

    def since(self, before: "Bites") -> "Bites":
        grown = {key: value - getattr(before, key) for key, value in asdict(self).items()}
        now = {"connections_held": self.connections_held, "in_idle_class": self.in_idle_class}
        return Bites(**{**grown, **now})

    def all_bite(self) -> bool:
        """Of the two that hold its computing, one is enough: on a busy machine the limit itself is out of reach."""
        others = {key: value for key, value in asdict(self).items() if key not in ("throttled_ms", "in_idle_class")}
        return all(others.values()) and bool(self.throttled_ms or self.in_idle_class)


# -- the visitors


class Visitors:
    """Ask `url` of the victim at a constant rate over kept connections; never a second time."""

    def __init__(self, port: int, host: str, rate_per_s: float) -> None:
        self._port, self._rate = port, rate_per_s
        self._request = f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def measure(self, seconds: float) -> Phase:
        phase, tasks = Phase(), set()
        began = time.perf_counter()
        for number in range(int(seconds * self._rate)):
            due = began + number / self._rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.add(asyncio.create_task(self._ask(due, phase)))
        await asyncio.gather(*tasks)
        for _, writer in self._free:
            writer.close()
        self._free.clear()
        return phase

    async def _ask(self, due: float, phase: Phase) -> None:
        try:
            async with asyncio.timeout(30):
                reader, writer = self._free.pop() if self._free else await self._connect()
                writer.write(self._request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = re.search(rb"content-length: (\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            phase.lost.append(repr(error))
            return
        phase.latencies_s.append(time.perf_counter() - due)
        if not head.startswith(b"http/1.1 200"):
            phase.lost.append(head.split(b"\r\n")[0].decode())
        if b"connection: close" in head:
            writer.close()
        else:
            self._free.append((reader, writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)


# -- the attacker


class Attacker:
    def __init__(self, platform: Platform, user: User) -> None:
        self._platform, self._user = platform, user
        self._hanging: list[asyncio.StreamWriter] = []
        for kind, command in BOMBS.items():
            body = {"domain_name": self._domain(kind), "enabled": False,
                    "webapp": {"command": command, "drain_s": 0, "grace_s": 1}}  # fmt: skip
            with platform.api(user) as api:
                api.post("websites/", json=body).raise_for_status()

    async def begin(self) -> None:
        """The busy loops come first: on two cores they can be throttled only while they are alone."""
        await asyncio.to_thread(self._switch, ["busy"], True)
        await asyncio.sleep(ALONE_S)
        await asyncio.to_thread(self._switch, [kind for kind in BOMBS if kind != "busy"], True)
        host = f"{self._domain('hang')}:{self._platform.http_port}"
        for _ in range(HANGING):
            _, writer = await asyncio.open_connection("127.0.0.1", self._platform.http_port)
            writer.write(f"GET /slow?s=600 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            self._hanging.append(writer)

    async def end(self) -> None:
        for writer in self._hanging:
            writer.close()
        self._hanging.clear()
        await asyncio.to_thread(self._switch, list(BOMBS), False)

    def bites(self) -> Bites:
        path = tenant_cgroup(self._platform, ATTACKER)
        runs = [f"{path}/{run}" for run in cgroup.children(path)]
        edge = self._platform.edge_status(f"hang-{ATTACKER}")
        return Bites(
            forks_refused=sum(cgroup.fork_refusals(run) for run in runs),
            oom_kills=sum(cgroup.oom_kills(run) for run in runs),
            throttled_ms=sum(_throttled_ms(each) for each in (path, *runs)),
            in_idle_class=int(cgroup.is_idle(path)),
            log_lines_dropped=self._dropped(),
            connections_held=edge["requests"],
            connections_refused=edge["refused"].get("too_many_requests", 0),
        )

    def _dropped(self) -> int:
        """After what the logger wrote into the log, its rotated copies among them."""
        logs = list((self._platform.paths.site_logs / ATTACKER).glob(f"{self._domain('log')}.server.log*"))
        argv = ["zgrep", "-ahE", r"^\[hostel\] [0-9]+ lines? dropped", *logs]
        found = subprocess.run(argv, capture_output=True, text=True, check=False) if logs else None
        return sum(int(line.split()[1]) for line in found.stdout.splitlines()) if found else 0

    def _domain(self, kind: str) -> str:
        return f"{kind}-{ATTACKER}.{self._platform.domain}"

    def _switch(self, kinds: list[str], enabled: bool) -> None:
        def one(kind: str) -> None:
            with self._platform.api(self._user) as api:
                api.patch(f"websites/{self._domain(kind)}/", json={"enabled": enabled}).raise_for_status()

        with ThreadPoolExecutor(len(kinds)) as pool:
            list(pool.map(one, kinds))


def _throttled_ms(path: str) -> int:
    """Version 1 counts in nanoseconds, version 2 in microseconds."""
    with contextlib.suppress(FileNotFoundError):
        for line in read_counter(path, "cpu", "cpu.stat", "cpu.stat").splitlines():
            name, _, value = line.partition(" ")
            if name in ("throttled_time", "throttled_usec"):
                return int(value) // (1_000_000 if name == "throttled_time" else 1_000)
    return 0


# -- the measurement


class Waiting:
    """How long nginx's workers and the victim's website waited for a processor, as the scheduler counts it."""

    def __init__(self, platform: Platform) -> None:
        master = platform.part_pid("edge")
        path = tenant_cgroup(platform, VICTIM)
        website = [pid for run in cgroup.children(path) for pid in cgroup.processes(f"{path}/{run}")]
        self._pids = {"nginx": children_of(master), "website": website}
        self._before = self._read()

    def since(self, requests: int) -> dict[str, float]:
        now = self._read()
        return {name: round((now[name] - self._before[name]) / 1e6 / requests, 3) for name in now}

    def _read(self) -> dict[str, int]:
        return {
            name: sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) for pid in pids)
            for name, pids in self._pids.items()
        }


async def measure(visitors: Visitors, platform: Platform, seconds: float) -> Phase:
    waiting = Waiting(platform)
    phase = await visitors.measure(seconds)
    phase.waits_ms = waiting.since(len(phase.latencies_s))
    return phase


@contextlib.contextmanager
def two_users() -> Iterator[tuple[Platform, User]]:
    with running() as platform:
        victim = platform.add_user_with_server(VICTIM)
        attacker = platform.add_user_with_server(ATTACKER)
        platform.create(victim, VICTIM, answering()).raise_for_status()
        yield platform, attacker


async def until_all_bite(attacker: Attacker, before: Bites) -> None:
    end = time.monotonic() + BITE_DEADLINE_S
    while not (found := await asyncio.to_thread(lambda: attacker.bites().since(before))).all_bite():
        if time.monotonic() > end:
            raise SystemExit(f"an attack is not in full swing, so nothing is measured: {found}")
        await asyncio.sleep(0.5)


async def play(
    platform: Platform, attacker: Attacker, options: argparse.Namespace, note: Callable[[str], None]
) -> tuple[list[Phase], list[Phase], list[Bites]]:
    visitors = Visitors(platform.http_port, f"{VICTIM}.{platform.domain}", options.rate)
    baselines, attacks, bites = [], [], []
    with contextlib.suppress(PermissionError):  # visitors come from other machines: theirs must not be what is slow
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    await visitors.measure(2.0)  # warm-up
    for number in range(1, options.rounds + 1):
        note(f"round {number} of {options.rounds}: baseline")
        baselines.append(await measure(visitors, platform, options.seconds))
        note(f"round {number} of {options.rounds}: the attack begins")
        before = await asyncio.to_thread(attacker.bites)
        await attacker.begin()
        await until_all_bite(attacker, before)
        note(f"round {number} of {options.rounds}: attack")
        attacks.append(await measure(visitors, platform, options.seconds))
        bites.append((await asyncio.to_thread(attacker.bites)).since(before))
        await attacker.end()
        await asyncio.sleep(2.0)
    return baselines, attacks, bites


def main() -> None:
    rate = Amount(200.0, help="requests a second to the other website")
    bench, console = Benchmark(__doc__, rounds=Amount(3), seconds=Amount(12.0), rate=rate), Console()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with two_users() as (platform, user):
        attacker = Attacker(platform, user)
        with console.status("measuring") as status:
            measured = asyncio.run(play(platform, attacker, bench.options, status.update))
    report(console, bench, *measured)


def report(
    console: Console, bench: Benchmark, baselines: list[Phase], attacks: list[Phase], bites: list[Bites]
) -> None:
    table = Table("round", "", "p50", "p99", "max", "requests", "lost", "waits of nginx", "of the website")
    for number, (baseline, attack) in enumerate(zip(baselines, attacks, strict=True), 1):
        for name, phase in (("baseline", baseline), ("attack", attack)):
            figures = phase.summary()
            cells = [f"{figures[key]:.1f} ms" for key in ("p50_ms", "p99_ms", "max_ms")]
            waits = [f"{phase.waits_ms[who]:.2f} ms" for who in ("nginx", "website")]
            table.add_row(str(number), name, *cells, str(figures["requests"]), str(figures["lost"]), *waits)
    console.print(table)
    held = Table("round", *(key.replace("_", " ") for key in asdict(bites[0])))
    for number, each in enumerate(bites, 1):
        held.add_row(str(number), *(f"{value:,}" for value in asdict(each).values()))
    console.print(held)
    ratios = [attack.at(0.99) / baseline.at(0.99) for baseline, attack in zip(baselines, attacks, strict=True)]
    lost = sum(len(phase.lost) for phase in (*baselines, *attacks))
    ratio = statistics.median(ratios)
    console.print(f"p99 under attack: {ratio:.2f} times the baseline (aim: {AIM:g}); {lost} requests lost")
    bench.keep(
        "neighbour",
        options=vars(bench.options),
        baseline=[phase.summary() for phase in baselines],
        attack=[phase.summary() for phase in attacks],
        bites=[asdict(each) for each in bites],
        p99_ratios=[round(each, 2) for each in ratios],
        p99_ratio=round(ratio, 2),
        aim=AIM,
        lost=lost,
    )
    if lost or ratio > AIM:
        raise SystemExit("the neighbour noticed")


if __name__ == "__main__":
    main()
