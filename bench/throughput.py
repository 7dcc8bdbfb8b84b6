"""How many requests a second: through Hostel, to the bare server, and through what people put before it by hand.

One uvicorn process with a raw ASGI application, then with Django; a small answer and one of 100 kB; one connection and
64. `rivals.py` says what Hostel is compared with. All are measured in turn, several rounds in one run, and compared by
their medians: figures of a shared machine mean little alone. HTTP/2 is measured with h2load, all else with wrk.
"""

import argparse
import gzip
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmark import Amount, Benchmark
from rivals import APPLICATIONS, PACKAGES, rivals

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from live import Platform, User, running  # the tests' platform: a whole one, below a throw-away root

PYTHON = f"python3.{sys.version_info.minor}"
BODIES = {"small": "/", "100 kB": "/large"}
CONNECTIONS = (1, 64)
# What Hostel's ways are compared with, and the least that is wanted of them.
AIMS = {
    "Hostel": {"expert": 1.0, "piku": 2.0, "caddy": 2.0, "bare": 0.85},
    "Hostel, HTTPS": {"expert, HTTPS": 1.0, "bare": 0.75},
    "Hostel, HTTP/2": {"expert, HTTP/2": 1.0},
}
SUCCEEDED = re.compile(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored")
FINISHED = re.compile(r"finished in ([\d.]+)(ms|s)")


def hostel_venv(platform: Platform) -> User:
    """A user whose home holds the applications, and what they need in `venv`."""
    user = platform.add_user("bench")
    packages = " ".join(f"'{package}'" for package in PACKAGES)
    platform.shell("bench", f"{PYTHON} -m venv venv && venv/bin/pip install --quiet {packages}")
    for file, text, _ in APPLICATIONS.values():
        platform.hostel("shell", "bench", "--", "bash", "-c", f"cat > {file}", stdin=text)
    return user


@contextmanager
def hostel_sites() -> Iterator[tuple[Platform, dict[str, dict[str, str]]]]:
    """A platform with a website for each application, and their addresses."""
    with running() as platform:
        user = hostel_venv(platform)
        found = {}
        for name, (_, _, application) in APPLICATIONS.items():
            command = f"venv/bin/uvicorn --uds $DOMAIN_SOCKET --no-access-log {application}"
            created = platform.create(user, f"{name}-bench", command)
            if created.json()["webapp"]["state"] != "running":
                raise SystemExit(f"the site did not start: {created.text}")
            https = platform.url(f"{name}-bench", "")
            http = platform.url(f"{name}-bench", "", https=False)
            found[name] = {"Hostel": http, "Hostel, HTTPS": https, "Hostel, HTTP/2": https}
        yield platform, found


def wrk(url: str, seconds: float, connections: int) -> tuple[float, int, int]:
    """Requests a second, requests in all, and how many of them were not answered with 2xx or were lost."""
    script = """
done = function(summary)
    local e = summary.errors
    local bad = e.connect + e.read + e.write + e.status + e.timeout
    io.write(string.format("RESULT %d %d %d\\n", summary.requests, summary.duration, bad))
end
"""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", file.name, url]
        shown = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("RESULT")]
    requests, duration_us, bad = map(int, line.split()[1:])
    return requests / duration_us * 1e6, requests, bad


def h2load(url: str, seconds: float, connections: int) -> tuple[float, int, int]:
    """The same over HTTP/2, one request at a time on each connection."""
    argv = ["h2load", "-t1", f"-c{connections}", "-m1", f"-D{seconds:g}", url]
    shown = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    succeeded, finished = SUCCEEDED.search(shown), FINISHED.search(shown)
    if succeeded is None or finished is None:
        raise SystemExit(f"h2load said something else: {shown}")
    good, failed, errored = map(int, succeeded.groups())
    took_s = float(finished[1]) / (1000 if finished[2] == "ms" else 1)
    return good / took_s, good, failed + errored


@dataclass
class Measured:
    """What became of the requests to one address."""

    rates: list[float] = field(default_factory=list)  # requests a second, one for each round
    requests: int = 0  # with those of the warm-up
    runs: int = 0
    bad: int = 0

    def add(self, rate: float, requests: int, bad: int, *, is_warm_up: bool = False) -> None:
        self.rates += [] if is_warm_up else [rate]
        self.requests += requests
        self.bad += bad
        self.runs += 1


def load(name: str, url: str, seconds: float, connections: int) -> tuple[float, int, int]:
    return (h2load if name.endswith("HTTP/2") else wrk)(url, seconds, connections)


def measure(
    urls: dict[str, str], connections: int, options: argparse.Namespace, note: Callable[[str], None]
) -> dict[str, Measured]:
    measured = {name: Measured() for name in urls}
    for name, url in urls.items():
        measured[name].add(*load(name, url, min(1, options.seconds), connections), is_warm_up=True)
    for number in range(options.rounds):
        for name, url in urls.items():
            note(f"round {number + 1} of {options.rounds}: {name}")
            measured[name].add(*load(name, url, options.seconds, connections))
    return measured


def count_lines(log: Path, *, still_s: float = 2.0) -> int:
    """Lines of an access log and its rotated copies, once they have stopped growing."""
    before, now = -1, 0
    while before != now:
        before = now
        time.sleep(still_s)
        now = sum(_lines(file) for file in log.parent.glob(f"{log.name}*"))
    return now


def _lines(file: Path) -> int:
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: opened.read(1 << 20), b""))


def main() -> None:
    bench = Benchmark(
        __doc__, quick="a second of each, 64 connections", rounds=Amount(5, quick=1), seconds=Amount(3.0, quick=1.0)
    )
    options, console = bench.options, Console()
    cases: dict[str, dict[str, Measured]] = {}
    with (
        hostel_sites() as (platform, ours),
        tempfile.TemporaryDirectory(prefix="bench-rivals-") as folder,
        rivals(Path(folder), platform.paths.certificates / "sites") as others,
        console.status("measuring") as status,
    ):
        for application in APPLICATIONS:
            for body, path in BODIES.items():
                for connections in CONNECTIONS[1:] if options.quick else CONNECTIONS:
                    addresses = others[application] | ours[application]
                    urls = {name: address + path for name, address in addresses.items()}
                    case = f"{application}, {body}, {connections} connection{'s' if connections > 1 else ''}"
                    cases[case] = measure(
                        urls, connections, options, lambda text, case=case: status.update(f"{case}, {text}")
                    )
        logs = platform.paths.site_logs / "bench"
        logged = sum(count_lines(logs / f"{name}-bench.{platform.domain}.access.log") for name in APPLICATIONS)
    report(console, bench, cases, logged)


def ratios(measured: dict[str, Measured]) -> dict[str, dict[str, float]]:
    """Of each of Hostel's ways: how much of each of the others' rates it has."""
    medians = {name: statistics.median(each.rates) for name, each in measured.items()}
    return {way: {other: round(medians[way] / medians[other], 3) for other in aims} for way, aims in AIMS.items()}


def report(console: Console, bench: Benchmark, cases: dict[str, dict[str, Measured]], logged: int) -> None:
    for case, measured in cases.items():
        table = Table(case, "requests/s", "Hostel has", "aim", "not 2xx or lost")
        for name, each in measured.items():
            compared = [(way, found[name]) for way, found in ratios(measured).items() if name in found]
            shown = ", ".join(f"{ratio:.2f}{way.removeprefix('Hostel')}" for way, ratio in compared)
            wanted = ", ".join(f"{AIMS[way][name]:.2f}" for way, _ in compared)
            table.add_row(name, f"{statistics.median(each.rates):,.0f}", shown, wanted, str(each.bad))
        console.print(table)
    through = [each for measured in cases.values() for name, each in measured.items() if name in AIMS]
    answered = sum(each.requests for each in through)
    # A load that hangs up at the end of its run leaves what it had sent: logged, and not counted by it.
    unfinished = sum(each.runs for each in through) * max(CONNECTIONS)
    console.print(f"{answered:,} requests through Hostel, {logged:,} lines in the access logs")
    bench.keep(
        "throughput",
        options=vars(bench.options),
        rates={
            case: {name: [round(rate) for rate in each.rates] for name, each in measured.items()}
            for case, measured in cases.items()
        },
        ratios={case: ratios(measured) for case, measured in cases.items()},
        aims=AIMS,
        bad=sum(each.bad for measured in cases.values() for each in measured.values()),
        requests=answered,
        log_lines=logged,
    )
    if any(each.bad for each in through) or not answered <= logged <= answered + unfinished:
        raise SystemExit("some requests were not answered with 2xx, or the access log does not account for them")


if __name__ == "__main__":
    main()
