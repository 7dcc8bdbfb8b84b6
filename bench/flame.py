"""Where do nginx's workers spend their time, by hand and as Hostel's edge, before the same small upstream?

Both run at once and are loaded in turn. First their processor time for each request is measured, several rounds in one
run, then perf records each of them under the same load; it slows down what it records, so only shares are taken from
it. User and kernel time both. `--before` adds the edge of another checkout. The pictures go to `results/flame_*.svg`.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmark import RESULTS, Amount, Benchmark
from flame_graph import FIELDS, Frame, draw, fold, shares
from hostel.wire.route import RouteState
from hostel.wire.website import RunId
from machine import children_of, cpu_s
from rivals import EXPERT, nginx, process
from throughput import wrk

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/contract"))
from edge_fixtures import RunningEdge

NAME = "flame.localhost"
UPSTREAM = """
daemon off; pid {folder}/pid; error_log {folder}/error.log error; user www-data;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000; default_type text/plain;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    scgi_temp_path {folder}/t4; uwsgi_temp_path {folder}/t5;
    server {{ listen unix:{socket}; location / {{ return 200 "Hello, world!"; }} }}
}}
"""
# Run with the other checkout's code: its edge, before the same upstream, until stdin ends.
OTHER = f"""
import json, sys
from edge_fixtures import RunningEdge
from hostel.wire.route import RouteState
with RunningEdge() as edge:
    edge.publish("{NAME}", RouteState.RUNNING, run="run-flame", endpoint="unix:" + sys.argv[1])
    print(json.dumps([edge.http_port, edge.worker_pids()]), flush=True)
    sys.stdin.read()
"""
STACK_BYTES = 8192  # of a worker, copied with each sample: nginx keeps no frame pointers
ROOT = "ngx_process_events_and_timers"  # what lies below it is the same for every event
WARM_UP_S = 0.5


@dataclass
class Target:
    """An nginx, and what was measured of it."""

    name: str
    title: str
    url: str
    workers: list[int]
    requests_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)  # of its workers, for each request

    def measure(self, options: Namespace) -> None:
        before = cpu_s(*self.workers)
        rate, total, bad = wrk(self.url, options.seconds, options.connections)
        if bad:
            raise SystemExit(f"{self.name}: {bad} of {total} requests failed")
        self.requests_s.append(rate)
        self.cpu_us.append((cpu_s(*self.workers) - before) / total * 1e6)

    def record(self, options: Namespace) -> Frame:
        """Its workers' stacks, while it is loaded."""
        with tempfile.TemporaryDirectory(prefix="bench-flame-") as folder:
            file = f"{folder}/perf.data"
            seconds = options.seconds + 2 * WARM_UP_S
            loading = ["wrk", "-t1", f"-c{options.connections}", f"-d{seconds:g}s", self.url]
            with subprocess.Popen(loading, stdout=subprocess.DEVNULL) as load:
                time.sleep(WARM_UP_S)
                what = ["-e", "cpu-clock", "-F", str(options.hertz), "-g", "--call-graph", f"dwarf,{STACK_BYTES}"]
                whom = ["-p", ",".join(map(str, self.workers)), "-o", file, "--", "sleep", f"{options.seconds:g}"]
                subprocess.run(["perf", "record", "--quiet", *what, *whom], check=True)
                load.wait()
            script = ["perf", "script", "--no-inline", "-i", file, "-F", FIELDS]
            shown = subprocess.run(script, check=True, capture_output=True, text=True)
        return fold(shown.stdout, root=ROOT)


@contextmanager
def upstream(folder: Path) -> Iterator[Path]:
    """The socket of an nginx that answers 13 bytes."""
    folder.mkdir()
    socket, conf = folder / "app.sock", folder / "nginx.conf"
    conf.write_text(UPSTREAM.format(folder=folder, socket=socket))
    with process(["/usr/sbin/nginx", "-c", conf, "-e", folder / "error.log"]):
        yield socket


@contextmanager
def edge_of(checkout: Path, socket: Path) -> Iterator[Target]:
    """Of a git work tree of Hostel, whose requests the upstream at `socket` answers."""
    git = ["git", "-C", checkout, "log", "-1", "--format=%h"]
    commit = subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    path = os.pathsep.join(f"{checkout}/{part}" for part in ("src", "tests", "tests/contract"))
    argv = [sys.executable, "-c", OTHER, str(socket)]
    with subprocess.Popen(
        argv, cwd=checkout, env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:  # closes stdin and waits
        assert started.stdout is not None
        port, workers = json.loads(started.stdout.readline())
        yield Target("edge_before", f"Hostel's edge as of {commit}", f"http://{NAME}:{port}", workers)


@contextmanager
def targets(before: str) -> Iterator[list[Target]]:
    with RunningEdge() as edge, ExitStack() as running:
        socket = running.enter_context(upstream(edge.root / "upstream"))
        certificate = edge.paths.certificates / "sites"
        urls = nginx(running, edge.root / "by-hand", "expert", certificate=certificate, socket=socket, **EXPERT)
        master = int((edge.root / "by-hand/pid").read_text())
        found = [
            Target("by_hand", "nginx by hand: a static upstream with keepalive", urls["expert"], children_of(master))
        ]
        if before:
            found.append(running.enter_context(edge_of(Path(before).resolve(), socket)))
        edge.publish(NAME, RouteState.RUNNING, run=RunId("run-flame"), endpoint=f"unix:{socket}")
        found.append(Target("edge", "Hostel's edge", f"http://{NAME}:{edge.http_port}", edge.worker_pids()))
        yield found


def profile(found: list[Target], options: Namespace) -> dict[str, Frame]:
    """By the names of those that were `found`."""
    for _ in range(options.rounds):
        for target in found:
            target.measure(options)
    return {target.name: target.record(options) for target in found}


def picture(target: Target, tree: Frame) -> str:
    cpu_us = statistics.median(target.cpu_us)
    subtitle = (
        f"{cpu_us:.1f} µs of the workers for each request, {statistics.median(target.requests_s):,.0f} requests/s; "
        f"{tree.samples:,} samples of user and kernel time. [nginx]: functions that its binary does not name"
    )
    return draw(tree, target.title, subtitle, whole_us=cpu_us)


def figures(target: Target, tree: Frame) -> dict[str, object]:
    return {
        "what": target.title,
        "requests_s": round(statistics.median(target.requests_s)),
        "cpu_us": round(statistics.median(target.cpu_us), 1),
        "cpu_us_rounds": [round(each, 1) for each in target.cpu_us],
        "samples": tree.samples,
        "shares": {part: round(share, 3) for part, share in shares(tree).items()},
    }


def show(found: list[Target], trees: dict[str, Frame]) -> None:
    table = Table("µs of each request", *(target.name for target in found))
    whole = [statistics.median(target.cpu_us) for target in found]
    parts = [shares(trees[target.name]) for target in found]
    table.add_row("together", *(f"{cpu_us:.1f}" for cpu_us in whole))
    for part in parts[0]:
        own = (f"{cpu_us * each[part]:.1f}" for cpu_us, each in zip(whole, parts, strict=True))
        table.add_row(part, *own)
    table.add_row("requests/s", *(f"{statistics.median(target.requests_s):,.0f}" for target in found))
    Console().print(table)


def main() -> None:
    if not shutil.which("perf"):
        raise SystemExit("perf is missing: apt-get install linux-perf")
    bench = Benchmark(
        __doc__,
        quick="a second of each",
        rounds=Amount(5, quick=1),
        seconds=Amount(3.0, quick=1.0, help="of each load"),
        connections=Amount(64),
        hertz=Amount(1999, help="samples a second of each worker"),
        before=Amount("", help="a work tree of Hostel whose edge is compared too"),
    )
    with targets(bench.options.before) as found:
        trees = profile(found, bench.options)
    show(found, trees)
    for target in found:
        text = picture(target, trees[target.name])
        if not bench.is_quick:
            (RESULTS / f"flame_{target.name}.svg").write_text(text)
    asked = {name: value for name, value in vars(bench.options).items() if name != "before"}  # a path says nothing
    bench.keep("flame", options=asked, figures={each.name: figures(each, trees[each.name]) for each in found})


if __name__ == "__main__":
    main()
