"""A root of its own for each test, the command as a process, and a small real agent to talk to."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hostel.wire.paths import Paths
from waiting import until

DEADLINE_S = 20.0

REPORT = {
    "domain_name": "Alice.hostel.localhost",
    "tenant": "alice",
    "state": "failed",
    "deploy": {
        "version": {"epoch": 1, "revision": 7},
        "phase": "failed",
        "failure": {
            "reason": "exited",
            "detail": "The command ended with exit code 3.",
            "stderr": ["no \x1b[31mmodule"],
        },
    },
    "run": None,
    "since": "2030-01-02T03:04:05Z",
    "restarts": 2,
    "failure": None,
    "sleep_failure": None,
}


class AgentStandIn:
    """Serves the agent's verbs for root. `plan` turns the wanted argv into what the command line shall run."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.reset()
        routes = [
            Route("/health", self.answer({"panel": "running", "installation": "0a1b2c3d"})),
            Route("/tenants", self.answer({"tenants": [{"name": "alice", "uid": 7, "home": "/x/alice"}]})),
            Route("/websites", self.answer({"websites": [REPORT]})),
            Route("/websites/{domain}", self.website),
            Route("/doctor", self.answer({"checks": [{"name": "mounts", "ok": False, "message": "m", "hint": "h"}]})),
            Route("/tenants/{name}/exec", self.prepare, methods=["POST"]),
            Route("/runs/{run}", self.answer({}), methods=["DELETE"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), uds=str(socket), ws="none", lifespan="off", log_level="error", access_log=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until(lambda: self._server.started, "the agent's stand-in listens")

    def reset(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.plan: Callable[[list[str]], list[str]] = lambda argv: argv

    def answer(self, body: object) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            self.calls.append((request.method, request.url.path, dict(request.query_params)))
            return JSONResponse(body)

        return endpoint

    async def website(self, request: Request) -> Response:
        if request.path_params["domain"] == "alice.hostel.localhost":
            return JSONResponse(REPORT)
        return JSONResponse({"code": "unknown_website", "message": "No such website."}, status_code=404)

    async def prepare(self, request: Request) -> Response:
        body = await request.json()
        self.calls.append(("POST", request.url.path, body))
        if request.path_params["name"] == "nobody":
            return JSONResponse({"code": "unknown_tenant", "message": "No such user: nobody."}, status_code=404)
        return JSONResponse({"run": "r000000000001a", "argv": self.plan(body["argv"])})

    @property
    def ended_runs(self) -> list[str]:
        return [path for method, path, _ in self.calls if method == "DELETE"]

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(DEADLINE_S)


@pytest.fixture
def root() -> Iterator[Path]:
    """Short enough for unix sockets below it, and open to www-data, which pytest's own directories are not."""
    path = Path(tempfile.mkdtemp(prefix="hostel-cli-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def paths(root: Path) -> Paths:
    return Paths(root)


@pytest.fixture(scope="session")
def serving_agent() -> Iterator[AgentStandIn]:
    directory = Path(tempfile.mkdtemp(prefix="hostel-agent-"))
    stand_in = AgentStandIn(directory / "agent.sock")
    yield stand_in
    stand_in.stop()
    shutil.rmtree(directory)


@pytest.fixture
def agent(serving_agent: AgentStandIn, paths: Paths) -> AgentStandIn:
    """The one stand-in, reachable in the test's root and with nothing called yet."""
    paths.agent_for_root.mkdir(parents=True)
    (paths.agent_for_root / "agent.sock").symlink_to(serving_agent.socket)
    serving_agent.reset()
    return serving_agent


Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hostel.cli", *arguments]


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "HOSTEL_ROOT": str(root), "COLUMNS": "200", "LC_ALL": "C.UTF-8"}


@pytest.fixture
def hostel(root: Path) -> Run:
    """Runs `hostel ARGUMENTS...` for the test's root, to its end."""

    def run(*arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            command(*arguments),
            input=stdin,
            capture_output=True,
            env=environment(root),
            timeout=DEADLINE_S,
            check=False,
        )

    return run


@pytest.fixture
def start(root: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Starts `hostel ARGUMENTS...` and leaves it running; what is left at the end of the test is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command(*arguments), env=environment(root), **{**pipes, **options})
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
