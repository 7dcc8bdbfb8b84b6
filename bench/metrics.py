"""What do the charts of 1,000 websites cost the agent each minute, when all are awake and visited every ten seconds?

One real edge, all websites at one upstream, and a minute of visits; then what the agent does with it once a minute,
with as many cgroups as it would read, and what it writes every ten minutes. In processor time, each part for itself.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmark import Amount, Benchmark
from hostel.agent import cgroup
from hostel.agent.metrics import read_runs
from hostel.agent.series import MINUTE_S, Sample, Series, add_up
from hostel.edge.publish import Counted

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/contract"))
from edge_fixtures import DOMAIN, RunningEdge, answer, replying

AIM = 0.01  # of one core
ROUND_S = 10.0
CGROUPS = f"/hostel-bench-{os.getpid()}"


@dataclass
class Turn:
    """Milliseconds of processor time."""

    parts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.parts[name] = round((time.process_time() - began) * 1000, 1)


def visit(edge: RunningEdge, domains: list[str], *, rounds: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{edge.http_port}", trust_env=False) as client:
        for _ in range(rounds):
            ends = time.monotonic() + ROUND_S
            for domain in domains:
                client.get("/", headers={"Host": domain}).raise_for_status()
            time.sleep(max(0.0, ends - time.monotonic()))


@contextmanager
def cgroups(number: int) -> Iterator[list[str]]:
    paths = [f"{CGROUPS}/{each}" for each in range(number)]
    try:
        for path in paths:
            cgroup.ensure_tenants_root(path)
        yield paths
    finally:
        cgroup.kill_tree(CGROUPS)


def take(edge: RunningEdge, turn: Turn) -> list[Counted]:
    with turn.part("question"):
        return edge.call(lambda agent: agent.take_metrics())


def account(taken: list[Counted], known: Callable[[str], Series], turn: Turn) -> int:
    """As the agent does. Returns how many visits there were."""
    visits = 0
    with turn.part("counts"):
        by_minute: dict[int, dict[str, list[int]]] = {}
        for counted in taken:
            add_up(by_minute.setdefault(counted.at_s // MINUTE_S, {}), counted.websites)
        for minute, websites in by_minute.items():
            for domain, counts in websites.items():
                known(domain).add(minute, Sample(counts=counts))
                visits += counts[1]
    return visits


def measure(edge: RunningEdge, domains: list[str], *, rounds: int) -> dict[str, object]:
    visit(edge, domains, rounds=rounds)
    time.sleep(ROUND_S)  # the last counts are still in the workers
    turn, series = Turn(), {domain: Series() for domain in domains}
    visits = account(take(edge, turn), lambda domain: series[domain], turn)
    with cgroups(len(domains)) as paths, turn.part("kernel"):
        found = read_runs(paths)
    with turn.part("use"):
        for domain, (memory_bytes, cpu_s) in zip(domains, found, strict=True):
            series[domain].add(0, Sample(memory_bytes=memory_bytes, cpu_s=cpu_s, over_s=60.0))
    each_minute_ms = sum(turn.parts.values())
    with turn.part("files"):
        for domain in domains:
            (edge.root / domain).write_bytes(series[domain].dump())
    share = (each_minute_ms + turn.parts["files"] / 10) / 60_000
    return {
        "websites": len(domains),
        "visits": visits,
        "visits_counted": round(visits / (len(domains) * rounds), 4),
        "ms_of_a_turn": turn.parts,
        "share_of_a_core": round(share, 5),
        "aim": AIM,
        "bytes_a_website": len(Series().dump()),
    }


def main() -> None:
    bench = Benchmark(
        __doc__, quick="few of them for a moment", websites=Amount(1000, quick=50), rounds=Amount(6, quick=1)
    )
    domains = [f"site{number}.{DOMAIN}" for number in range(bench.options.websites)]
    with RunningEdge() as edge:
        upstream = edge.upstream("bench-1", replying(answer("x")))
        for domain in domains:
            edge.running(domain, upstream, access_log="")
        result = measure(edge, domains, rounds=bench.options.rounds)
    for name, value in result.items():
        print(f"{name}: {value}")
    bench.keep("metrics", **result)


if __name__ == "__main__":
    main()
