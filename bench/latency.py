"""What Hostel adds to the time of a request, at 20, 50 and 80 % of what it can do at most.

One uvicorn with the raw ASGI application, bare, behind nginx made by hand, and through Hostel, at the same rates, by
h2load with HTTP/1.1. Each of its connections sends when a request is due, but not before the one ahead of it is
answered. What that would hide of a stall (coordinated omission) is put back as HdrHistogram does: an answer that took
longer than the time between two requests of its connection counts also for each request that was due meanwhile. The
connections send in step, so some waiting for each other is in all figures: it is the difference that counts.
"""

import statistics
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmark import Amount, Benchmark
from rivals import rivals
from throughput import hostel_sites, wrk

LOADS = (0.2, 0.5, 0.8)
AIMS_MS = {"p50": 0.15, "p99": 1.0}
CONNECTIONS = 16
KEPT_UP = 0.95  # of the requests that were due, at least: else the rate is no result
QUANTILES = {"p50": 0.50, "p99": 0.99}


def measure(url: str, rate: float, seconds: float) -> dict[str, float]:
    """Milliseconds that requests took at `rate` a second, and which share of those due were answered with 200."""
    with tempfile.NamedTemporaryFile("r") as log:
        argv = ["h2load", "--h1", "-t1", f"-c{CONNECTIONS}", "-m1", f"--rps={rate / CONNECTIONS:.1f}"]
        subprocess.run([*argv, f"-D{seconds:g}", f"--log-file={log.name}", url], check=True, capture_output=True)
        lines = [line.split() for line in log]
    took_us = [int(took) for _, status, took in lines if status == "200"]
    between_us = CONNECTIONS / rate * 1e6
    corrected = sorted(took - missed * between_us for took in took_us for missed in range(int(took / between_us) + 1))
    found = {name: corrected[int(len(corrected) * share)] / 1000 for name, share in QUANTILES.items()}
    return {**found, "answered": len(took_us) / (rate * seconds)}


def main() -> None:
    bench = Benchmark(__doc__, quick="a second of each", rounds=Amount(5, quick=1), seconds=Amount(5.0, quick=1.0))
    rounds, seconds = bench.options.rounds, bench.options.seconds
    with (
        hostel_sites() as (platform, ours),
        tempfile.TemporaryDirectory(prefix="bench-rivals-") as folder,
        rivals(Path(folder), platform.paths.certificates / "sites") as others,
    ):
        urls = {
            "bare": others["raw"]["bare"] + "/",
            "expert": others["raw"]["expert"] + "/",
            "Hostel": ours["raw"]["Hostel"] + "/",
        }
        most = wrk(urls["Hostel"], seconds, CONNECTIONS)[0]
        figures = {}
        for share in LOADS:
            found: dict[str, list[dict[str, float]]] = {name: [] for name in urls}
            for _ in range(rounds):
                for name, url in urls.items():
                    found[name].append(measure(url, most * share, seconds))
            figures[f"{share:.0%}"] = summed_up(found)
    show(most, figures)
    bench.keep("latency", options=vars(bench.options), most_a_second=round(most), figures=figures, aims_ms=AIMS_MS)


def summed_up(found: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Medians over the rounds, and what Hostel adds to the bare server."""
    medians = {
        name: {key: round(statistics.median(each[key] for each in rounds), 3) for key in rounds[0]}
        for name, rounds in found.items()
    }
    is_result = all(each["answered"] >= KEPT_UP for each in medians.values())
    added = {name: round(medians["Hostel"][name] - medians["bare"][name], 3) for name in QUANTILES}
    return {**medians, "added_ms": added if is_result else {}}


def show(most: float, figures: dict[str, dict[str, dict[str, float]]]) -> None:
    table = Table(
        f"of {most:,.0f} a second",
        *(f"{name}, {key}" for name in ("bare", "expert", "Hostel") for key in QUANTILES),
        "added",
    )
    for share, each in figures.items():
        cells = [f"{each[name][key]:.2f} ms" for name in ("bare", "expert", "Hostel") for key in QUANTILES]
        added = (
            ", ".join(f"{each['added_ms'][key]:.2f} ms" for key in QUANTILES)
            if each["added_ms"]
            else "not kept up with"
        )
        table.add_row(share, *cells, added)
    Console().print(table)


if __name__ == "__main__":
    main()
