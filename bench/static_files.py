"""How fast static files are: a mapping of a user's directory in Hostel, and plain nginx with `root`.

Both serve the same files with as many workers, an access log and sendfile, to wrk with 64 connections. They are
measured in turn, several rounds in one run, and compared by their medians.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmark import Amount, Benchmark
from machine import children_of, cpu_s
from throughput import wrk

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from live import free_port, running  # the tests' platform: a whole one, below a throw-away root

SIZES = {"small.css": 4 * 1024, "large.bin": 512 * 1024}
AIM = 0.95
CONF = """
daemon off; worker_processes {workers}; pid {folder}/pid; error_log {folder}/error.log error; user www-data;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
    types {{ text/css css; }}
    log_format combined_time '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
                             '"$http_referer" "$http_user_agent" "$remote_addr" response-time=$request_time';
    access_log {folder}/access.log combined_time;
    sendfile on; tcp_nopush on; keepalive_requests 10000; server_tokens off;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    scgi_temp_path {folder}/t4; uwsgi_temp_path {folder}/t5;
    server {{ listen 127.0.0.1:{port} reuseport; location /static/ {{ root {folder}/files; }} }}
}}
"""


@dataclass
class Measured:
    """Of one server and file, round by round."""

    requests_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)  # of nginx, for each request

    def medians(self) -> dict[str, float]:
        return {
            "requests_s": round(statistics.median(self.requests_s)),
            "nginx_cpu_us": round(statistics.median(self.cpu_us), 1),
        }


@contextmanager
def plain_nginx() -> Iterator[tuple[str, int]]:
    """Its address, and the pid of its master."""
    with tempfile.TemporaryDirectory(prefix="bench-static-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        (folder / "files/static").mkdir(parents=True)
        for file, size in SIZES.items():
            (folder / "files/static" / file).write_bytes(b"x" * size)
        conf = folder / "nginx.conf"
        conf.write_text(CONF.format(folder=folder, port=port, workers=len(os.sched_getaffinity(0))))
        process = subprocess.Popen(["/usr/sbin/nginx", "-c", str(conf), "-e", str(folder / "error.log")])
        try:
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            process.wait()


@contextmanager
def hostel_site() -> Iterator[tuple[str, int]]:
    with running() as platform:
        user = platform.add_user_with_server("bench")
        for file, size in SIZES.items():
            platform.shell("bench", f"mkdir -p site/static; head -c {size} /dev/zero | tr '\\0' x > site/static/{file}")
        if platform.create(user, "bench", "python3 answer.py").json()["webapp"]["state"] != "running":
            raise SystemExit("the site did not start")
        with platform.api(user) as api:
            mapping = {"url": "/static/", "path": "/home/bench/site/static"}
            made = api.post(f"websites/bench.{platform.domain}/static_files/", json=mapping)
            if made.status_code != 201:
                raise SystemExit(made.text)
        yield platform.url("bench", "", https=False), platform.part_pid("edge")


def measure(address: str, master: int, file: str, into: Measured, *, seconds: int, connections: int) -> None:
    workers = children_of(master)
    before = cpu_s(*workers)
    rate, total, bad = wrk(f"{address}/static/{file}", seconds, connections)
    if bad:
        raise SystemExit(f"{address}: {bad} of {total} requests failed")
    into.requests_s.append(rate)
    into.cpu_us.append((cpu_s(*workers) - before) / total * 1e6)


def main() -> None:
    bench = Benchmark(
        __doc__, quick="a second of each", seconds=Amount(8, quick=1), rounds=Amount(5, quick=1), connections=Amount(64)
    )
    options = bench.options
    found = {(server, file): Measured() for server in ("plain nginx", "Hostel") for file in SIZES}
    with plain_nginx() as plain, hostel_site() as hostel:
        time.sleep(1)
        for _ in range(options.rounds):
            for file in SIZES:
                for server, (address, master) in (("plain nginx", plain), ("Hostel", hostel)):
                    into = found[server, file]
                    measure(address, master, file, into, seconds=options.seconds, connections=options.connections)
    show(found)
    ratios = {file: round(ratio(found, file), 3) for file in SIZES}
    figures = {f"{server}, {file}": measured.medians() for (server, file), measured in found.items()}
    bench.keep("static_files", figures=figures, ratios=ratios, aim=AIM)


def ratio(found: dict[tuple[str, str], Measured], file: str) -> float:
    return found["Hostel", file].medians()["requests_s"] / found["plain nginx", file].medians()["requests_s"]


def show(found: dict[tuple[str, str], Measured]) -> None:
    table = Table("file", "plain nginx", "Hostel", "of plain", "CPU of plain", "CPU of Hostel")
    for file in SIZES:
        plain, hostel = (found[server, file].medians() for server in ("plain nginx", "Hostel"))
        cells = [f"{plain['requests_s']:,.0f}/s", f"{hostel['requests_s']:,.0f}/s", f"{ratio(found, file):.2f}"]
        table.add_row(file, *cells, *(f"{each['nginx_cpu_us']:.0f} µs" for each in (plain, hostel)))
    Console().print(table)


if __name__ == "__main__":
    main()
