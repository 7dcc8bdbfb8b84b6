"""What the same reloads cost under the same load: through Hostel, and through the two usual hand-made set-ups.

Hand-made 1: nginx passes to uvicorn on one unix socket, and a reload restarts uvicorn (TERM, wait for its end, start).
Hand-made 2: nginx passes to gunicorn with a uvicorn worker, and a reload sends HUP to gunicorn.
Both with Debian's nginx and the proxy settings that the documentation of uvicorn and gunicorn gives. The clients are
those of the tests (tests/load.py): they never retry, and a connection without a full and right answer is a failure.
They keep to one rate, so that a set-up that refuses quickly is not asked more often.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from benchmark import Amount, Benchmark

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from live import SITES, free_port, running
from load import Account, Load, under
from servers import SERVERS, install

PACKAGES = ("uvicorn[standard]", "gunicorn", "uvicorn-worker")
NAME = "bench"
INTERVAL_S = 0.5  # between the end of one reload and the next at most this; on average half of it
DEADLINE_S = 60.0
NGINX_CONF = """
daemon off;
user www-data;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    client_max_body_size 100m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/unused;
    scgi_temp_path {folder}/unused;
    uwsgi_temp_path {folder}/unused;
    upstream website {{ server unix:{folder}/app.sock fail_timeout=0; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_redirect off;
            proxy_buffering off;
            proxy_pass http://website;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class SetUp:
    """Something that serves the recording application at `host` and `port`, and can reload it."""

    name: str
    host: str
    port: int
    reload: Callable[[], Awaitable[None]]  # returns when the new code serves
    record: Path


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    reloads: int
    requests: int
    failed: int
    failed_per_reload: float
    longest_wait_s: float
    reload_median_s: float
    unexplained: int  # ids in the application's record that differ from the clients' list of answered ones
    failures: dict[str, int]


async def measure(set_up: SetUp, *, reloads: int, rate_per_s: float) -> Result:
    set_up.record.write_text("")
    chance, took_s = random.Random(1), []
    load = Load(host=set_up.host, port=set_up.port, seed=1, rate_per_s=rate_per_s)
    async with under(load) as account:
        await asyncio.sleep(INTERVAL_S)
        for _ in range(reloads):
            began = time.monotonic()
            await set_up.reload()
            took_s.append(time.monotonic() - began)
            await asyncio.sleep(chance.random() * INTERVAL_S)
    return Result(
        name=set_up.name,
        reloads=reloads,
        requests=account.total,
        failed=len(account.failed),
        failed_per_reload=round(len(account.failed) / reloads, 2),
        longest_wait_s=round(account.longest_wait_s, 3),
        reload_median_s=round(sorted(took_s)[reloads // 2], 3),
        unexplained=count_unexplained(account, set_up.record),
        failures=dict(Counter(failure.split(": ", 1)[1] for failure in account.failed)),
    )


def count_unexplained(account: Account, record: Path) -> int:
    """Answered requests that the application has not seen exactly once; failed ones it may have seen, but only once."""
    recorded = Counter(record.read_text().split())
    answered = sum(1 for request_id in account.answered if recorded[request_id] != 1)
    return answered + sum(1 for request_id, times in recorded.items() if times > 1 and not account.answered[request_id])


# -- through Hostel


@contextmanager
def through_hostel() -> Iterator[SetUp]:
    with running() as platform:
        user = platform.add_user(NAME)
        install(platform, user)
        created = platform.create(user, NAME, SERVERS["uvicorn"].command)
        if created.json()["webapp"]["state"] != "running":
            raise SystemExit(f"the site did not start: {created.text}")
        url = f"{platform.panel_url}api/v1/user/{NAME}/websites/{NAME}.{platform.domain}/reload/"
        headers = {"Authorization": f"Token {user.token}"}
        tls = platform.tls()

        async def reload() -> None:
            async with httpx.AsyncClient(verify=tls, headers=headers, timeout=90, trust_env=False) as api:
                answer = await api.post(url)
            if answer.json() != {"status": "OK"}:
                raise SystemExit(f"a reload failed: {answer.text}")

        record = platform.paths.homes / NAME / "record.txt"
        yield SetUp("Hostel (uvicorn)", f"{NAME}.{platform.domain}", platform.http_port, reload, record)


# -- by hand


class HandMade:
    """nginx and a server below one folder, started without Hostel."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.socket = folder / "app.sock"
        self.server: subprocess.Popen[bytes] | None = None

    @contextmanager
    def nginx(self) -> Iterator[None]:
        conf = self.folder / "nginx.conf"
        conf.write_text(NGINX_CONF.format(folder=self.folder, port=self.port, workers=os.cpu_count()))
        process = subprocess.Popen(["nginx", "-p", self.folder, "-c", conf], stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    def start(self, *argv: str) -> None:
        """Start the server; returns when its socket accepts."""
        self.server = subprocess.Popen(
            [self.folder / "venv/bin" / argv[0], *argv[1:]],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + DEADLINE_S
        while not is_accepting(self.socket):
            if time.monotonic() > deadline or self.server.poll() is not None:
                raise SystemExit(f"{argv[0]} did not start")
            time.sleep(0.01)

    def stop(self) -> None:
        """TERM, and wait as long as it takes, as `systemctl restart` does."""
        assert self.server is not None
        self.server.terminate()
        self.server.wait(DEADLINE_S)


@contextmanager
def nginx_and_restart(folder: Path) -> Iterator[SetUp]:
    made = HandMade(folder)
    command = ("uvicorn", "--uds", str(made.socket), "--no-access-log", "--proxy-headers", "recording:asgi")

    def restart() -> None:
        made.stop()
        made.start(*command)

    with made.nginx():
        made.start(*command)
        try:
            yield SetUp(
                "nginx, restart of uvicorn",
                "localhost",
                made.port,
                lambda: asyncio.to_thread(restart),
                folder / "record.txt",
            )
        finally:
            made.stop()


@contextmanager
def nginx_and_hup(folder: Path) -> Iterator[SetUp]:
    made = HandMade(folder)

    def hup() -> None:
        """Returns when the workers of before have ended and another one runs."""
        assert made.server is not None
        before = children(made.server.pid)
        made.server.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + DEADLINE_S
        while not (now := children(made.server.pid)) or now & before:
            if time.monotonic() > deadline:
                raise SystemExit("gunicorn did not replace its workers")
            time.sleep(0.01)

    with made.nginx():
        made.start("gunicorn", "--bind", f"unix:{made.socket}", "-k", "uvicorn_worker.UvicornWorker", "recording:asgi")
        try:
            name, record = "nginx, HUP to gunicorn", folder / "record.txt"
            yield SetUp(name, "localhost", made.port, lambda: asyncio.to_thread(hup), record)
        finally:
            made.stop()


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def is_accepting(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def make_folder(folder: Path) -> None:
    """The application and its virtualenv, on the host; nginx's workers must get through."""
    folder.chmod(0o711)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    subprocess.run([folder / "venv/bin/pip", "install", "-qq", *PACKAGES], check=True)
    (folder / "recording.py").write_text((SITES / "recording.py").read_text())


# -- the whole


def show(console: Console, results: list[Result]) -> None:
    table = Table("", "reloads", "requests", "failed", "per reload", "longest wait", "reload")
    for result in results:
        table.add_row(
            result.name,
            str(result.reloads),
            f"{result.requests:,}",
            str(result.failed),
            f"{result.failed_per_reload:g}",
            f"{result.longest_wait_s:.2f} s",
            f"{result.reload_median_s:.2f} s",
        )
    console.print(table)
    for result in results:
        for failure, times in sorted(result.failures.items(), key=lambda each: -each[1])[:5]:
            console.print(f"{result.name}: {times} x {failure}", highlight=False, markup=False)


def main() -> None:
    rate = Amount(200.0, help="requests a second, of all clients together")
    bench = Benchmark(__doc__, quick="3 reloads", reloads=Amount(20, quick=3), rate=rate)
    asked = {"reloads": bench.options.reloads, "rate_per_s": bench.options.rate}
    console, results = Console(), []
    with tempfile.TemporaryDirectory(prefix="hostel-bench-") as name, console.status("installing") as status:
        folder = Path(name)
        make_folder(folder)
        for made in (nginx_and_restart(folder), nginx_and_hup(folder), through_hostel()):
            with made as set_up:
                status.update(set_up.name)
                results.append(asyncio.run(measure(set_up, **asked)))
    show(console, results)
    bench.keep("reload", options=asked, results=list(map(asdict, results)))
    hostel = results[-1]
    if hostel.failed or hostel.unexplained:
        raise SystemExit(f"through Hostel {hostel.failed} requests failed, {hostel.unexplained} were lost or doubled")


if __name__ == "__main__":
    main()
