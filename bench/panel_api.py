"""How fast the API answers a user with a thousand websites: the list, and one of them.

Over HTTPS on a connection that is kept, through edge, panel and agent. The aims are medians on a quiet machine; that
the number of queries does not grow is held by tests/unit/panel/test_api_websites.py.
"""

import statistics
import sys
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from benchmark import Amount, Benchmark
from many_websites import LIMIT, add_sleeping_websites

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from live import running

AIMS_MS = {"list": 60.0, "one": 15.0}


def measure(api: httpx.Client, path: str, times: int) -> list[float]:
    """Milliseconds of each call, in order of size."""
    took_ms = []
    for _ in range(times + 1):
        began = time.perf_counter()
        response = api.get(path)
        took_ms.append((time.perf_counter() - began) * 1000)
        if response.status_code != 200:
            raise SystemExit(f"{path}: {response.status_code} {response.text[:500]}")
    return sorted(took_ms[1:])  # the first pays for the connection


def main() -> None:
    bench = Benchmark(
        __doc__, quick="100 websites, 20 times", websites=Amount(1000, quick=100), times=Amount(200, quick=20)
    )
    count, times = bench.options.websites, bench.options.times
    with running(LIMIT) as platform:
        user = platform.add_user("bench")
        platform.down()
        domains = add_sleeping_websites(platform, user.name, count)
        platform.up()
        with platform.api(user) as api:
            measured = {
                "list": measure(api, "websites/", times),
                "one": measure(api, f"websites/{domains[0]}/", times),
            }
    figures = {
        name: {"p50_ms": round(statistics.median(took_ms), 1), "p99_ms": round(took_ms[int(len(took_ms) * 0.99)], 1)}
        for name, took_ms in measured.items()
    }
    table = Table(f"with {count} websites", "median", "99 of 100 within", "aim")
    for name, figure in figures.items():
        table.add_row(name, f"{figure['p50_ms']:.1f} ms", f"{figure['p99_ms']:.1f} ms", f"{AIMS_MS[name]:.0f} ms")
    Console().print(table)
    bench.keep("panel_api", websites=count, times=times, figures=figures, aims_ms=AIMS_MS)


if __name__ == "__main__":
    main()
