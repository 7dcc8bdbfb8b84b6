"""One running OCI container for one run: start it, learn how it ended, stop it, take it over after an agent's death.

Everything a run has on this machine is made and removed here. What is served by it is none of this module's concern.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import structlog

from hostel.agent import cgroup, sockets
from hostel.agent.errors import SandboxFault
from hostel.agent.image import HOSTNAME, build_skeleton
from hostel.agent.interpreters import Interpreter
from hostel.agent.oci import OOM_SCORE, OOM_SCORE_OF_A_START, Container, Mount, render_config
from hostel.agent.ports import probe_port
from hostel.agent.runc import Runc
from hostel.agent.streams import Logger, Output, make_streams, open_streams, remove_streams
from hostel.agent.tenant import Tenant, edge_gid
from hostel.wire import failpoint
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.console import ConsoleReport
from hostel.wire.errors import MalformedMessage
from hostel.wire.files import write_atomically
from hostel.wire.names import SYSTEM_TENANT
from hostel.wire.paths import Paths
from hostel.wire.process import ProcessIdentity, own_oom_score
from hostel.wire.streams import Streams
from hostel.wire.website import Limits, RunId

log = structlog.get_logger()

_LOGGER_AGAIN_S, _LOGGER_BACK_S = 0.2, 600.0
_PAUSE_S = 0.01  # between looks whether a program of the platform's own accepts
_TERM_TO_KILL_CHECK_S = 5.0  # after KILL the kernel needs a moment; longer means a process in uninterruptible sleep


class Kind(StrEnum):
    WEBSITE = "website"
    COMMAND = "command"  # a shell or a single command of root's command line
    DOOR = "door"  # the files API's hands in a tenant's home
    CONSOLE = "console"  # one that goes on while nobody looks


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What to start. Without `streams` the output is nobody's; of a command the caller's, who starts runc himself."""

    run: RunId
    kind: Kind
    tenant: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    limits: Limits
    mounts: tuple[Mount, ...]
    cwd: str
    interpreters: tuple[Interpreter, ...]
    website: str = ""  # canonical domain
    port: int = 0  # where it listens; 0: on its socket
    streams: Streams | None = None
    console: ConsoleReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """`runs/<run>/run.json`, for the next agent. `process` is None until runc has said the pid."""

    run: RunId
    kind: Kind
    tenant: str
    number: int
    website: str
    process: ProcessIdentity | None = None
    port: int = 0
    console: ConsoleReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How PID 1 of a sandbox ended. Both None: nobody of the platform was its parent by then."""

    code: int | None = None
    signal: int | None = None
    is_out_of_memory: bool = False
    is_out_of_processes: bool = False


@dataclass(slots=True, kw_only=True)
class Sandbox:
    """A run that was started or adopted. `exit` is done when its PID 1 has ended."""

    record: RunRecord
    tenant: Tenant
    pidfd: int
    output: Output | None
    noted: tuple[int, int] = (0, 0)  # processes ended for want of memory and processes refused, that the log knows of
    exit: asyncio.Future[Exit] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def run(self) -> RunId:
        return self.record.run

    @property
    def cgroup(self) -> str:
        return f"{self.tenant.cgroup}/{self.run}"

    @property
    def socket_directory(self) -> Path:
        return self.tenant.socket_directory / self.run

    @property
    def endpoint(self) -> str:
        """Where the edge reaches it."""
        if self.record.port:
            return f"{self.tenant.address}:{self.record.port}"
        return f"unix:{self.socket_directory / sockets.SOCKET_NAME}"

    async def probe(self) -> sockets.Found:
        """Whether its server accepts."""
        if self.record.port:
            return await probe_port(self.tenant.address, self.record.port, pids=self.processes())
        return await sockets.probe(self.socket_directory, uid=self.tenant.uid)

    async def accepts(self, *, within_s: float = 0.0) -> bool:
        """Wait until its server accepts. False where it has ended, or the time is over."""
        end = time.monotonic() + within_s
        while not self.exit.done():
            if await self.probe() is sockets.Found.ACCEPTS:
                return True
            if time.monotonic() >= end:
                return False
            await asyncio.sleep(_PAUSE_S)
        return False

    def processes(self) -> list[int]:
        return cgroup.processes(self.cgroup)

    def count_bites(self) -> tuple[int, int]:
        return cgroup.oom_kills(self.cgroup), cgroup.fork_refusals(self.cgroup)

    def note_limits(self) -> None:
        """Tell the owner, in the error log, what the kernel did to the run since the last look."""
        before, self.noted = self.noted, self.count_bites()
        if self.noted[0] > before[0]:
            self.say("out of memory: the kernel ended a process (limits `site_memory_mb` and `memory_mb`)")
        if self.noted[1] > before[1]:
            self.say("too many processes: the kernel refused one (limits `site_pids` and `pids`)")

    def say(self, line: str) -> None:
        """A line of the platform's own in the error log, for the owner of the website."""
        if self.output is not None:
            self.output.note(line)


class Sandboxes:
    """Starts, adopts, stops and removes the sandboxes of one installation."""

    def __init__(self, paths: Paths, logger: Logger) -> None:
        self._paths = paths
        self._logger = logger
        self._runc = Runc(paths.run / "runc")
        self._unlogged: set[asyncio.Task[None]] = set()

    async def start(self, spec: RunSpec, tenant: Tenant) -> Sandbox:
        """Start a sandbox, its output logged if it has streams. Raises SandboxFault; nothing of it is left then."""
        output = None
        stdout = stderr = asyncio.subprocess.DEVNULL
        try:
            record = await asyncio.to_thread(self._prepare, spec, tenant)
            failpoint.reach("sandbox.prepared")
            if spec.streams is not None:
                output = make_streams(self._paths.streams, spec.streams)
                stdout, stderr = output.stdout, output.stderr
                await self._logger.open(spec.run)
            failpoint.reach("sandbox.announced")
            pid = await self._runc.start(spec.run, self._bundle(spec.run), stdout=stdout, stderr=stderr)
            failpoint.reach("sandbox.started")
            record = self._remember(record, pid)
            failpoint.reach("sandbox.remembered")
            return self._watch(record, tenant, output)
        except BaseException as error:
            cgroup.signal_all(f"{tenant.cgroup}/{spec.run}", signal.SIGKILL)
            await self._remove(spec.run, tenant, output)
            if isinstance(error, OSError):
                raise SandboxFault(f"the sandbox {spec.run} could not be made: {error}") from error
            raise

    async def prepare_foreground(self, spec: RunSpec, tenant: Tenant, *, terminal: bool) -> tuple[str, ...]:
        """Prepare a sandbox that the caller runs by the command returned, and then has removed by `discard`."""
        await asyncio.to_thread(self._prepare, spec, tenant)
        return self._runc.foreground(spec.run, self._bundle(spec.run), terminal=terminal)

    def adopt(self, record: RunRecord, tenant: Tenant) -> Sandbox:
        """Take over a run of an earlier agent. Raises ProcessLookupError if it has ended."""
        if record.process is None or not record.process.is_alive():
            raise ProcessLookupError(record.run)
        output = None
        with contextlib.suppress(OSError):
            output = open_streams(self._paths.streams, record.run)
        sandbox = self._watch(record, tenant, output)
        sandbox.noted = sandbox.count_bites()
        return sandbox

    async def terminate(self, sandbox: Sandbox, *, grace_s: float) -> bool:
        """TERM to all its processes. Returns whether its PID 1 has ended, at once or within `grace_s`."""
        if not sandbox.exit.done():
            cgroup.signal_all(sandbox.cgroup, signal.SIGTERM)
            failpoint.reach("sandbox.stop.termed")
            await _within(sandbox.exit, grace_s)
        return sandbox.exit.done()

    async def stop(self, sandbox: Sandbox, *, grace_s: float) -> None:
        """TERM to all its processes, KILL to what is left after `grace_s`, then remove every trace. Idempotent.

        Does not raise: what cannot be removed is logged, and found by the next agent.
        """
        if not await self.terminate(sandbox, grace_s=grace_s):
            log.warning("sandbox ignored TERM", run=sandbox.run, website=sandbox.record.website, grace_s=grace_s)
            sandbox.say("the command did not end when it was asked to (SIGTERM): it was killed")
            cgroup.signal_all(sandbox.cgroup, signal.SIGKILL)
            if not await _within(sandbox.exit, _TERM_TO_KILL_CHECK_S):
                log.error("sandbox does not die", run=sandbox.run, cgroup=sandbox.cgroup)
        await self.clear(sandbox)

    async def clear(self, sandbox: Sandbox) -> None:
        """Remove what is left of a run whose PID 1 has ended (the kernel has killed the rest of its pid namespace)."""
        output, sandbox.output = sandbox.output, None
        await self._remove(sandbox.run, sandbox.tenant, output)

    async def discard(self, run: RunId, tenant: Tenant) -> None:
        """Remove a run that nobody watches: a foreground command, or something an earlier agent left. Idempotent."""
        cgroup.signal_all(f"{tenant.cgroup}/{run}", signal.SIGKILL)
        await self._remove(run, tenant, None)

    async def tail(self, sandbox: Sandbox) -> tuple[str, ...]:
        """The last lines that the run wrote to stderr."""
        return await self._logger.tail(sandbox.run)

    def records(self) -> list[RunRecord]:
        """What earlier agents wrote of their runs; torn records are left out (and their runs are left over)."""
        found = []
        for file in self._paths.runs.glob("*/run.json"):
            with contextlib.suppress(OSError, ValueError, MalformedMessage):
                found.append(parse(RunRecord, json.loads(file.read_bytes())))
        return found

    def unknown(self, known: set[RunId]) -> list[RunId]:
        """Runs of which something is left on this machine and that are not in `known`."""
        places = (self._paths.runs, self._paths.streams)
        names = {RunId(entry.name) for place in places if place.is_dir() for entry in place.iterdir()}
        return sorted((names | set(self._runc.known())) - known)

    async def remove_leftover(self, run: RunId) -> None:
        """Remove runc's state, bundle and FIFOs of a half-made or half-removed run. Idempotent."""
        log.warning("removed what was left of a run", run=run)
        with contextlib.suppress(SandboxFault):
            await self._runc.delete(run)
        await self._logger.close(run)
        remove_streams(self._paths.streams, run)
        await asyncio.to_thread(shutil.rmtree, self._bundle(run), ignore_errors=True)

    def forget_all(self) -> None:
        """Remove what is on disk of all runs, of which no process and no cgroup is left. To ask runc and the logger for
        each takes 20 ms, and there may be thousands; the logger reads to the end what it has open.
        """
        for place in (self._paths.runs, self._paths.streams, self._runc.root):
            for entry in place.glob("*"):
                shutil.rmtree(entry, ignore_errors=True)

    # -- private

    def _bundle(self, run: RunId) -> Path:
        return self._paths.runs / run

    def _prepare(self, spec: RunSpec, tenant: Tenant) -> RunRecord:
        """The bundle on disk. In a thread: a few dozen small files."""
        record = RunRecord(
            run=spec.run,
            kind=spec.kind,
            tenant=spec.tenant,
            number=tenant.record.number,
            website=spec.website,
            port=spec.port,
            console=spec.console,
        )
        bundle = self._bundle(spec.run)
        bundle.mkdir(mode=0o700, parents=True)
        self._write(record)
        build_skeleton(bundle / "rootfs", spec.interpreters)
        container = Container(
            hostname=HOSTNAME,
            argv=spec.argv,
            environment=spec.environment,
            cwd=spec.cwd,
            uid=tenant.uid,
            cgroup=f"{tenant.cgroup}/{spec.run}",
            network=tenant.network_path,
            limits=spec.limits,
            mounts=spec.mounts,
            oom_score=_oom_score(spec),
        )
        (bundle / "config.json").write_text(json.dumps(render_config(container)))
        failpoint.reach("sandbox.bundled")
        if spec.kind is not Kind.COMMAND:
            sockets.make_run_directory(tenant.socket_directory / spec.run, uid=tenant.uid, edge_gid=edge_gid())
        return record

    def _remember(self, record: RunRecord, pid: int) -> RunRecord:
        started = replace(record, process=ProcessIdentity.of(pid))
        self._write(started)
        return started

    def _write(self, record: RunRecord) -> None:
        file = self._bundle(record.run) / "run.json"
        write_atomically(file, json.dumps(to_jsonable(record)).encode(), mode=0o600)

    def _watch(self, record: RunRecord, tenant: Tenant, output: Output | None) -> Sandbox:
        if record.process is None:
            raise ProcessLookupError(record.run)
        sandbox = Sandbox(
            record=record,
            tenant=tenant,
            pidfd=record.process.open_pidfd(),
            output=output,
        )
        asyncio.get_running_loop().add_reader(sandbox.pidfd, _ended, sandbox)
        return sandbox

    async def _remove(self, run: RunId, tenant: Tenant, output: Output | None) -> None:
        """Every trace of a run, each step whatever became of the one before: the next agent finds what is left."""
        try:
            await self._runc.delete(run)
        except SandboxFault as error:
            log.error("runc could not remove a run", run=run, error=str(error))
        failpoint.reach("sandbox.remove.deleted")
        cgroup.remove(f"{tenant.cgroup}/{run}")
        if await self._logger.close(run):
            failpoint.reach("sandbox.remove.closed")
            self._remove_output(run, output)
        else:
            task = asyncio.create_task(self._remove_output_later(run, output), name=f"log {run}")
            self._unlogged.add(task)
            task.add_done_callback(self._unlogged.discard)
        failpoint.reach("sandbox.remove.unstreamed")
        sockets.remove_run_directory(tenant.socket_directory / run)
        await asyncio.to_thread(shutil.rmtree, self._bundle(run), ignore_errors=True)

    async def _remove_output_later(self, run: RunId, output: Output | None) -> None:
        """The logger is away. What the run wrote last exists only as long as somebody holds its pipes."""
        end = time.monotonic() + _LOGGER_BACK_S
        while time.monotonic() < end and not await self._logger.close(run):
            await asyncio.sleep(_LOGGER_AGAIN_S)
        self._remove_output(run, output)

    def _remove_output(self, run: RunId, output: Output | None) -> None:
        if output is not None:
            output.close()
        remove_streams(self._paths.streams, run)


def _oom_score(spec: RunSpec) -> int:
    if spec.tenant == SYSTEM_TENANT:
        return own_oom_score()  # the panel is a part of the platform
    return OOM_SCORE_OF_A_START if spec.kind is Kind.WEBSITE else OOM_SCORE


def _ended(sandbox: Sandbox) -> None:
    """PID 1 of a sandbox has ended: keep how, while its cgroup can still say whether memory was the reason."""
    asyncio.get_running_loop().remove_reader(sandbox.pidfd)
    code = number = None
    with contextlib.suppress(ChildProcessError):  # adopted: another agent was its parent
        status = os.waitid(os.P_PIDFD, sandbox.pidfd, os.WEXITED)
        if status is not None and status.si_code == os.CLD_EXITED:
            code = status.si_status
        elif status is not None:
            number = status.si_status
    os.close(sandbox.pidfd)
    sandbox.note_limits()
    # A worker that was killed for memory long ago did not end a server that stops in good order now.
    is_out_of_memory = code != 0 and sandbox.noted[0] > 0
    is_out_of_processes = code != 0 and sandbox.noted[1] > 0
    if not sandbox.exit.done():
        ended = Exit(
            code=code, signal=number, is_out_of_memory=is_out_of_memory, is_out_of_processes=is_out_of_processes
        )
        sandbox.exit.set_result(ended)


async def _within(future: asyncio.Future[Exit], seconds: float) -> bool:
    done, _ = await asyncio.wait([future], timeout=seconds)
    return bool(done)
