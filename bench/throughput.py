"""How many requests a second: the bare server, and the same server through Hostel over HTTP and HTTPS.

One uvicorn process with a raw ASGI application, default plan and logs, wrk with 64 connections. The three are measured
in turn, several rounds in one run, and compared by their medians: figures of a shared machine mean little alone.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
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


def wrk(url: str, seconds: int, connections: int) -> tuple[float, int]:
    """Requests a second and how many of the answers were not 2xx or were lost."""
    script = (
        "done = function(s) local e = s.errors io.write(string.format('RESULT %d %d %d\\n', s.requests, s.duration, "
    )
    script += "e.connect + e.read + e.write + e.status + e.timeout)) end"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        shown = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", file.name, url],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("RESULT")]
    requests, duration_us, bad = map(int, line.split()[1:])
    return requests / duration_us * 1e6, bad


def measure(urls: dict[str, str], rounds: int, seconds: int, connections: int, note: Callable[[str], None]):
    rates: dict[str, list[float]] = {name: [] for name in urls}
    bad = dict.fromkeys(urls, 0)
    for url in urls.values():
        wrk(url, 1, connections)  # warm up
    for number in range(rounds):
        for name, url in urls.items():
            note(f"round {number + 1} of {rounds}: {name}")
            rate, failed = wrk(url, seconds, connections)
            rates[name].append(rate)
            bad[name] += failed
    return rates, bad


def count_lines(file: Path, *, until_still_s: float = 0.5) -> int:
    """Lines of the access log, once it has stopped growing."""
    size = -1
    while size != file.stat().st_size:
        size = file.stat().st_size
        time.sleep(until_still_s)
    with file.open("rb") as log:
        return sum(1 for _ in log)


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
            rates, bad = measure(urls, options.rounds, options.seconds, options.connections, status.update)
        lines = sum(count_lines(file) for file in (log, log.with_name(f"{log.name}.1")) if file.exists())
    medians = {name: statistics.median(each) for name, each in rates.items()}
    ratios = {name: medians[name] / medians["bare"] for name in AIMS}
    table = Table("", "requests/s", "of bare", "aim", "not 2xx or lost")
    for name, rate in medians.items():
        ratio, aim = (f"{ratios[name]:.2f}", f"{AIMS[name]:.2f}") if name in AIMS else ("", "")
        table.add_row(name, f"{rate:,.0f}", ratio, aim, str(bad[name]))
    console.print(table)
    console.print(f"{lines:,} lines in the access log")
    result = {
        "machine": machine,
        "options": vars(options),
        "rates": rates,
        "ratios": ratios,
        "bad": bad,
        "log_lines": lines,
    }
    console.print(f"written to {write_result('throughput', result)}")
    if any(bad.values()):
        raise SystemExit("some requests were not answered with 2xx")


if __name__ == "__main__":
    main()
