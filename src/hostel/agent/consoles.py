"""Consoles that go on while nobody looks: each a sandbox in which `console.py` keeps a command on a pseudo-terminal.

They outlive the agent, whose successor finds them by their runs. What they show and take, see `console_line.py`.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import structlog

from hostel.agent.console_line import end_of
from hostel.agent.disk import Disk
from hostel.agent.errors import SandboxFault
from hostel.agent.gates import Gates
from hostel.agent.launch import Launcher, new_run
from hostel.agent.sandbox import Sandbox, Sandboxes
from hostel.agent.tenant import Tenant
from hostel.wire.console import (
    ConsoleReport,
    ConsoleReports,
    ConsoleRequest,
    ConsoleUnreachable,
    UnknownConsole,
    check_console,
)
from hostel.wire.files import write_atomically
from hostel.wire.website import RunId

log = structlog.get_logger()

_OPEN_S = 15.0
_GRACE_S = 2.0  # between hanging up and the end
_ENDS_MOST = 1000  # that are remembered, until this agent ends


class Consoles:
    """The open consoles of one installation."""

    def __init__(
        self, launcher: Launcher, sandboxes: Sandboxes, gates: Gates, disk: Disk, last_number_file: Path
    ) -> None:
        self._launcher = launcher
        self._sandboxes = sandboxes
        self._gates = gates
        self._disk = disk
        self._last_number_file = last_number_file
        self._open: dict[int, Sandbox] = {}
        self._ends: dict[int, tuple[str, str]] = {}  # of those that have ended: whose it was, and how it ended
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def runs(self) -> set[RunId]:
        return {sandbox.run for sandbox in self._open.values()}

    def report_all(self, tenant: Tenant) -> ConsoleReports:
        own = [each for _, each in sorted(self._open.items()) if each.tenant is tenant]
        found = [_report(sandbox) for sandbox in own if not sandbox.exit.done()]
        return ConsoleReports(consoles=tuple(found), pythons=self._pythons())

    def report(self, tenant: Tenant, number: int) -> ConsoleReport:
        """Raises UnknownConsole, also of another tenant's."""
        return _report(self.get(tenant, number))

    def get(self, tenant: Tenant, number: int) -> Sandbox:
        """Raises UnknownConsole, also of another tenant's; of one's own that has ended it says how."""
        sandbox = self._open.get(number)
        if sandbox is not None and sandbox.tenant is tenant:
            if sandbox.exit.done():
                raise end_of(sandbox)
            return sandbox
        owner, said = self._ends.get(number, ("", ""))
        raise UnknownConsole(said if owner == tenant.name else None)

    async def open(self, tenant: Tenant, wanted: ConsoleRequest) -> ConsoleReport:
        """Returns when it answers. Raises ConsoleRefused, TooManyConsoles or ConsoleUnreachable."""
        check_console(wanted, pythons=self._pythons())
        tenant.check_may_run()
        with self._place(tenant):
            await tenant.ensure()
            await self._gates.require(tenant.socket_directory)
            tenant.check_may_run()
            sandbox = await self._start(tenant, wanted)
        try:
            await _until_it_answers(sandbox)
            tenant.check_may_run()
        except BaseException:
            await self._stop(sandbox)
            raise
        report = _report(sandbox)
        log.info("console opened", tenant=tenant.name, run=sandbox.run, number=report.id)
        return report

    def adopt(self, sandbox: Sandbox) -> None:
        """One that runs already."""
        self._open[_report(sandbox).id] = sandbox
        sandbox.tenant.open_consoles.add(sandbox.run)
        task = asyncio.create_task(self._clear_after(sandbox), name=f"console {sandbox.run}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self, tenant: Tenant, number: int) -> None:
        """Hang up, and end what does not heed it. Raises UnknownConsole."""
        await self._stop(self.get(tenant, number))

    async def end_all(self, tenant: Tenant) -> None:
        await asyncio.gather(*(self._stop(each) for each in list(self._open.values()) if each.tenant is tenant))

    # -- private

    def _pythons(self) -> tuple[str, ...]:
        return tuple(f"python{each.name}" for each in reversed(self._launcher.image.interpreters))

    @contextlib.contextmanager
    def _place(self, tenant: Tenant) -> Iterator[None]:
        """Count one that is just being opened."""
        tenant.check_consoles()
        run = new_run()
        tenant.open_consoles.add(run)
        try:
            yield
        finally:
            tenant.open_consoles.discard(run)

    async def _start(self, tenant: Tenant, wanted: ConsoleRequest) -> Sandbox:
        report = ConsoleReport(
            id=self._next_number(), wanted=wanted, started_at=datetime.now(UTC).isoformat(timespec="seconds")
        )
        # Not refused to who has too much in the home: nowhere else can files be removed.
        notice = self._disk.describe_excess(tenant.name, tenant.record.limits.disk_bytes)
        try:
            sandbox = await self._sandboxes.start(self._launcher.console(tenant, report, notice=notice), tenant)
        except SandboxFault as error:
            log.warning("console could not be started", tenant=tenant.name, error=str(error))
            raise ConsoleUnreachable from error
        self.adopt(sandbox)
        return sandbox

    def _next_number(self) -> int:
        """Never used before: whoever comes back to a console that has ended must not meet another one."""
        last = 0
        with contextlib.suppress(FileNotFoundError, ValueError):
            last = int(self._last_number_file.read_text())
        number = max(last, *self._open, 0) + 1
        write_atomically(self._last_number_file, str(number).encode(), mode=0o600)
        return number

    async def _stop(self, sandbox: Sandbox) -> None:
        await self._sandboxes.stop(sandbox, grace_s=_GRACE_S)
        self._forget(sandbox)

    async def _clear_after(self, sandbox: Sandbox) -> None:
        await asyncio.wait([sandbox.exit])
        sandbox.tenant.open_consoles.discard(sandbox.run)
        await self._sandboxes.clear(sandbox)
        self._forget(sandbox)

    def _forget(self, sandbox: Sandbox) -> None:
        number = _report(sandbox).id
        if self._open.pop(number, None) is not None and sandbox.exit.done():
            self._ends[number] = sandbox.tenant.name, str(end_of(sandbox))
            if len(self._ends) > _ENDS_MOST:
                del self._ends[next(iter(self._ends))]
        sandbox.tenant.open_consoles.discard(sandbox.run)
        self._disk.measure_soon(sandbox.tenant.name)


async def _until_it_answers(sandbox: Sandbox) -> None:
    if not await sandbox.accepts(within_s=_OPEN_S) and not sandbox.exit.done():  # done: its command was a short one
        raise ConsoleUnreachable


def _report(sandbox: Sandbox) -> ConsoleReport:
    report = sandbox.record.console
    if report is None:
        raise UnknownConsole
    return report
