"""How many requests a second: the bare server, and the same server through Hostel over HTTP and HTTPS.

One uvicorn process with a raw ASGI application, default plan and logs, wrk with 64 connections. The three are
measured in turn, several rounds in one run, and compared by their medians: figures of a shared machine mean little
alone.
"""

import argparse
import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from machine import describe, write_result

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from live import Platform, free_port  # the tests' platform: a whole one, below a throw-away root

PACKAGES = "uvicorn[standard]"
APP = """
BODY = b"Hello, world!"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"13")]


async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})
"""
PYTHON = f"python3.{sys.version_info.minor}"
AIMS = {"http": 0.85, "https": 0.75}


@contextmanager
def bare_server(folder: Path):
    """The server without Hostel: on the host, listening on TCP, because wrk cannot speak to a unix socket."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    subprocess.run([folder / "venv/bin/pip", "install", "--quiet", PACKAGES], check=True)
    (folder / "app.py").write_text(APP)
    port = free_port()
    process = subprocess.Popen(
        [folder / "venv/bin/uvicorn", "--app-dir", folder, "--port", str(port), "--no-access-log", "app:app"],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def hostel_site():
    platform = Platform()
    try:
        platform.up()
        user = platform.add_user("bench")
        platform.shell("bench", f"{PYTHON} -m venv venv && venv/bin/pip install --quiet '{PACKAGES}'")
        platform.hostel("shell", "bench", "--", "bash", "-c", "cat > app.py", stdin=APP)
        command = "venv/bin/uvicorn --uds $DOMAIN_SOCKET --no-access-log app:app"
        created = platform.create(user, "bench", command)
        if created.json()["webapp"]["state"] != "running":
            raise SystemExit(f"the site did not start: {created.text}")
        yield platform
    finally:
        platform.remove()


def wrk(url: str, seconds: int, connections: int) -> tuple[float, int, int]:
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
        argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", file.name, url]
        shown = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("RESULT")]
    requests, duration_us, bad = map(int, line.split()[1:])
    return requests / duration_us * 1e6, requests, bad


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


def measure(urls: dict[str, str], options: argparse.Namespace, note: Callable[[str], None]) -> dict[str, Measured]:
    measured = {name: Measured() for name in urls}
    for name, url in urls.items():
        measured[name].add(*wrk(url, 1, options.connections), is_warm_up=True)
    for number in range(options.rounds):
        for name, url in urls.items():
            note(f"round {number + 1} of {options.rounds}: {name}")
            measured[name].add(*wrk(url, options.seconds, options.connections))
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
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--connections", type=int, default=64)
    options = arguments.parse_args()
    machine = describe()
    console = Console()
    with tempfile.TemporaryDirectory() as folder, bare_server(Path(folder)) as bare, hostel_site() as platform:
        os.environ["SSL_CERT_FILE"] = str(platform.ca_file)
        urls = {
            "bare": bare,
            "http": platform.url("bench", https=False),
            "https": platform.url("bench"),
        }
        log = platform.paths.site_logs / f"bench/bench.{platform.domain}.access.log"
        with console.status("measuring") as status:
            measured = measure(urls, options, status.update)
        logged = count_lines(log)
    report(console, machine, options, measured, logged)


def report(
    console: Console,
    machine: dict[str, object],
    options: argparse.Namespace,
    measured: dict[str, Measured],
    logged: int,
) -> None:
    medians = {name: statistics.median(each.rates) for name, each in measured.items()}
    ratios = {name: round(medians[name] / medians["bare"], 3) for name in AIMS}
    table = Table("", "requests/s", "of bare", "aim", "not 2xx or lost")
    for name, rate in medians.items():
        ratio, aim = (f"{ratios[name]:.2f}", f"{AIMS[name]:.2f}") if name in AIMS else ("", "")
        table.add_row(name, f"{rate:,.0f}", ratio, aim, str(measured[name].bad))
    console.print(table)
    through = [measured[name] for name in AIMS]
    answered = sum(each.requests for each in through)
    # wrk hangs up at the end of each run: what it had sent by then is logged and not counted by it.
    unfinished = sum(each.runs for each in through) * options.connections
    console.print(f"{answered:,} requests through Hostel, {logged:,} lines in the access log")
    result = {
        "machine": machine,
        "options": vars(options),
        "rates": {name: [round(rate) for rate in each.rates] for name, each in measured.items()},
        "ratios": ratios,
        "aims": AIMS,
        "bad": {name: each.bad for name, each in measured.items()},
        "requests": answered,
        "log_lines": logged,
    }
    console.print(f"written to {write_result('throughput', result)}")
    if any(each.bad for each in measured.values()) or not answered <= logged <= answered + unfinished:
        raise SystemExit("some requests were not answered with 2xx, or the access log does not account for them")


if __name__ == "__main__":
    main()
