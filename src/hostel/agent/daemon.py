"""The agent's process: `serve` → `startup` → `main_loop` → `shutdown`.

Every side task has a name. Housekeeping that fails is logged and goes on; if a server dies, the agent exits and the
supervisor starts another, which adopts what runs.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from starlette.applications import Starlette

from hostel.agent import api, kernel
from hostel.agent.certificate_desk import find_authority
from hostel.agent.certificates import CA, ensure_certificates
from hostel.agent.dns_challenges import answer_by_dns
from hostel.agent.ending import end_everything
from hostel.agent.fairness import Fairness
from hostel.agent.installation import PANEL_NUMBER, Installation, ensure_installation
from hostel.agent.layout import ensure_directories, write_agent_secret
from hostel.agent.leftovers import remove_leftovers
from hostel.agent.node import Node
from hostel.agent.panel import pull_wanted
from hostel.agent.sites_certificate import SitesCertificate
from hostel.agent.tenant import edge_gid
from hostel.edge.publish import Edge
from hostel.wire.config import SITES_ACME, read_config
from hostel.wire.errors import HostelError
from hostel.wire.output import REOPEN, reopen_output
from hostel.wire.paths import Paths
from hostel.wire.website import State, Version

log = structlog.get_logger()

PULL_EVERY_S = 30.0
_SOCKET = "agent.sock"
_FAULT_PAUSE_S = 5.0  # after a fault of the housekeeping: do not spin on it
_LOCK_TRIES, _LOCK_PAUSE_S = 40, 0.05


class Daemon:
    """One agent for one root."""

    def __init__(self, root: Path) -> None:
        self._paths = Paths(root)
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []

    async def serve(self) -> None:
        """Until SIGTERM or SIGINT: then every sandbox is ended. SIGKILL leaves them all running."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(REOPEN, reopen_output, self._paths.log / "agent.log")
        await self.startup()
        await self.main_loop()
        await self.shutdown()

    async def end(self) -> None:
        """Instead of `serve`: end every sandbox that an agent which was killed has left. Idempotent."""
        await end_everything(self._paths, await self._take_over())

    async def startup(self) -> None:
        kernel.become_subreaper()
        installation = await self._take_over()
        ensure_certificates(self._paths.certificates, self._config, installation=installation.id)
        self._secret = write_agent_secret(self._paths, installation)
        self._edge = Edge(self._paths)
        own_ca = (self._paths.certificates / f"{CA}.pem").read_bytes()
        self._node = await Node.start(self._paths, self._config, installation, self._edge, own_ca)
        panel_uid = installation.uid(PANEL_NUMBER)
        self._listen("panel", self._paths.agent_for_panel, api.panel_app(self._node), owner=(panel_uid, panel_uid))
        self._listen("edge", self._paths.agent_for_edge, api.edge_app(self._node), owner=(0, edge_gid()))
        self._listen("root", self._paths.agent_for_root, api.root_app(self._node), owner=(0, 0))
        self._keep("pull wanted state", self._pull)
        self._keep("watch the gates", self._node.gates.watch)
        self._keep("be fair", lambda: Fairness(installation.cgroups[0]).serve(self._node.users))
        self._keep("tend runs", self._node.tend_runs)
        self._keep("measure homes", lambda: self._node.disk.serve(self._node.user_names))
        self._keep("look at what runs", self._node.meter.serve)
        self._keep("keep metrics", self._node.metrics.serve)
        self._keep("watch who is idle", self._node.watch.serve)
        self._keep("renew certificates", lambda: self._renew(installation.id))
        self._keep("renew certificates of users", self._node.renewal.serve)
        log.info("agent ready", root=str(self._paths.root), installation=installation.id)

    async def _take_over(self) -> Installation:
        """Be the one agent of this root."""
        self._config = read_config(self._paths.config_file)
        ensure_directories(self._paths, edge_gid=edge_gid())
        self._lock = await _lock(self._paths.agent_for_root / "lock")
        pool = self._config.network.pool
        # In a thread: what gone installations have left is removed by netlink, which wants a loop of its own.
        return await asyncio.to_thread(ensure_installation, self._paths, pool=pool, remove_leftovers=remove_leftovers)

    async def main_loop(self) -> None:
        """Wait for the end; a task that ends before is a fault."""
        stopping = asyncio.create_task(self._stopping.wait(), name="stopping")
        done, _ = await asyncio.wait({stopping, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            log.error("a task of the agent has ended", task=task.get_name(), error=repr(task.exception()))
        if stopping not in done:
            # Sites go on; the supervisor starts another agent, which adopts them.
            raise SystemExit(1)

    async def shutdown(self) -> None:
        log.info("agent stops: ending all sandboxes")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._node.halt()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    def _keep(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Housekeeping: `work` never returns by itself, and begins anew after a fault."""
        self._start(name, _persist(name, work))

    def _listen(self, caller: str, directory: Path, app: Starlette, *, owner: tuple[int, int]) -> None:
        path = directory / _SOCKET
        listening = _bind(path, owner=owner)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=60)
        self._start(f"api for {caller}", _Server(config).serve(sockets=[listening]))

    async def _pull(self) -> None:
        """Wanted state from the panel: at its first start, then every half minute. Correctness rests on this alone."""
        since = Version(epoch=0, revision=0)
        while True:
            await self._panel_is_up()
            since = await self._pull_once(since)
            await self._node.commands.discard_stale()
            self._node.retry_limits()
            await self._node.ensure_rules()
            await asyncio.sleep(PULL_EVERY_S)

    async def _pull_once(self, since: Version) -> Version:
        """Bring about what is newer than `since`. Returns from where to pull the next time."""
        panel = self._node.panel.serving
        if panel is None:
            return since
        try:
            wanted = await pull_wanted(
                panel.socket_directory,
                host=self._config.panel_host,
                secret=self._secret,
                since=since,
                newest=self._node.newest_version(),
            )
            return wanted.version if await self._node.apply(wanted) else since
        except HostelError as error:
            log.warning("could not pull wanted state", error=str(error))
            return since

    async def _panel_is_up(self) -> None:
        while self._node.panel.report().state is not State.RUNNING:
            await asyncio.sleep(0.2)

    async def _renew(self, installation: str) -> None:
        sites = SitesCertificate(self._paths.certificates, self._config, self._edge, installation=installation)
        authority = find_authority(self._config, self._paths)
        wanted = self._config.certificates
        answer = answer_by_dns(wanted, sites_domain=self._config.sites.domain) if wanted.sites == SITES_ACME else None
        while True:
            now = datetime.now(UTC)
            again_at = await sites.refresh(authority, answer, now=now)
            await asyncio.sleep((again_at - now).total_seconds())


async def _persist(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            await work()
        except Exception:
            log.exception("fault in a task of the agent; it goes on", task=name)
        await asyncio.sleep(_FAULT_PAUSE_S)


class _Server(uvicorn.Server):
    """The daemon handles signals, for all its servers at once."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _lock(path: Path) -> int:
    """Never two agents of one root: they would end each other's runs. The descriptor holds as long as the process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_LOCK_TRIES):  # one that was killed may need a moment to be gone
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(_LOCK_PAUSE_S)
        else:
            return descriptor
    raise SystemExit(f"another agent runs already: it holds {path}")


def _bind(path: Path, *, owner: tuple[int, int]) -> socket.socket:
    """Listen at `path`, in the place of an earlier agent's socket; only `owner` may connect."""
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        listening.bind(str(path))
    finally:
        os.umask(old)
    os.chown(path, *owner)
    path.chmod(0o660)
    listening.listen(256)
    return listening
