"""What the number of routes costs: publishing, switching and deleting one, and nginx's memory, at 10, 1,000 and 10,000.

The edge alone, as the agent uses it: records are written and pushed by `Edge`. Then every route is visited once, for
what a worker keeps of it, and a flood of unknown names comes in, which must take no memory of its own and push no route
out.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmark import Benchmark
from hostel.edge.publish import Edge
from hostel.wire.route import RouteRecord, RouteState
from hostel.wire.website import RunId
from machine import pss_bytes

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/contract"))
from edge_fixtures import DOMAIN, RunningEdge, answer, replying

STEPS = (10, 1000, 10_000)
AIM_BYTES = 2000  # of nginx, for each route
TRIES = 50
FLOOD = 20_000


def memory_bytes(edge: RunningEdge) -> int:
    """Of nginx's master and workers together, shared dicts among it."""
    assert edge.process is not None
    return pss_bytes(edge.process.pid, *edge.worker_pids())


class Routes:
    """`running` routes to one upstream, made and changed as the agent does."""

    def __init__(self, edge: RunningEdge, agent: Edge) -> None:
        self._edge, self._agent = edge, agent
        self._upstream = edge.upstream("run-scale", replying(answer("hello")))
        self.count = 0

    def record(self, number: int, run: str = "run-scale") -> RouteRecord:
        endpoint = f"unix:{self._upstream.path}"
        return self._edge.record(f"s{number}.{DOMAIN}", RouteState.RUNNING, run=RunId(run), endpoint=endpoint)

    async def grow(self, count: int) -> None:
        while self.count < count:
            await self._agent.publish(self.record(self.count))
            self.count += 1

    async def measure(self) -> dict[str, float]:
        """Milliseconds of one, as medians."""
        new = range(self.count, self.count + TRIES)
        switched = [number * self.count // TRIES for number in range(TRIES)]
        return {
            "create_ms": await self._time(new, self.record),
            "switch_ms": await self._time(switched, lambda number: self.record(number, f"run-{time.monotonic_ns()}")),
            "delete_ms": await self._time(
                new, lambda number: replace(self.record(number), state=RouteState.DELETED, run=None, endpoint=None)
            ),
        }

    async def _time(self, numbers: range | list[int], record_of: Callable[[int], RouteRecord]) -> float:
        took_ms = []
        for number in numbers:
            record = record_of(number)
            began = time.perf_counter()
            await self._agent.publish(record)
            took_ms.append((time.perf_counter() - began) * 1000)
        return round(statistics.median(took_ms), 2)


def visit(edge: RunningEdge, hosts: list[str], status: int) -> None:
    """One request to each, on kept connections: one for each worker, most likely."""
    connections = [edge.connect() for _ in range(8)]
    for number, host in enumerate(hosts):
        connection = connections[number % len(connections)]
        connection.sendall(f"HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = connection.recv(65_536)
        if not head.startswith(f"HTTP/1.1 {status} ".encode()):
            raise SystemExit(f"{host}: {head[:100]!r}")
    for connection in connections:
        connection.close()


def main() -> None:
    bench = Benchmark(__doc__, quick="up to 300 routes")
    steps, flood = ((10, 300), 1000) if bench.is_quick else (STEPS, FLOOD)
    with RunningEdge() as edge:
        figures = asyncio.run(climb(edge, steps))
        before, known = memory_bytes(edge), edge.status().routes_known
        began = time.perf_counter()
        visit(edge, [f"unknown{number}.{DOMAIN}" for number in range(flood)], 404)
        flooded = {
            "names": flood,
            "took_s": round(time.perf_counter() - began, 1),
            "grown_kb": round((memory_bytes(edge) - before) / 1000),
            "routes_lost": known - edge.status().routes_known,
        }
        visit(edge, [f"s0.{DOMAIN}"], 200)
    show(figures, flooded)
    bench.keep("scale", routes=figures, aim_bytes=AIM_BYTES, flood=flooded)


async def climb(edge: RunningEdge, steps: tuple[int, ...]) -> dict[str, dict[str, float]]:
    figures = {}
    async with Edge(edge.paths) as agent:
        routes = Routes(edge, agent)
        await routes.grow(1)
        visit(edge, [f"s0.{DOMAIN}"] * 16, 200)
        empty = memory_bytes(edge)
        for count in steps:
            await routes.grow(count)
            published = memory_bytes(edge)
            await asyncio.to_thread(visit, edge, [f"s{number}.{DOMAIN}" for number in range(count)], 200)
            visited = memory_bytes(edge)
            figures[str(count)] = await routes.measure() | {
                "bytes_a_route": round((published - empty) / count),
                "bytes_a_visited_route": round((visited - empty) / count),
            }
    return figures


def show(figures: dict[str, dict[str, float]], flooded: dict[str, float]) -> None:
    table = Table("routes", "create", "switch", "delete", "memory of one", "once visited")
    for count, each in figures.items():
        times = (f"{each[name]:.1f} ms" for name in ("create_ms", "switch_ms", "delete_ms"))
        sizes = (f"{each[name]:,.0f} B" for name in ("bytes_a_route", "bytes_a_visited_route"))
        table.add_row(f"{int(count):,}", *times, *sizes)
    console = Console()
    console.print(table)
    console.print(
        f"{flooded['names']:,} unknown names in {flooded['took_s']} s: nginx grew by {flooded['grown_kb']:,} kB, "
        f"{flooded['routes_lost']} routes lost"
    )


if __name__ == "__main__":
    main()
