"""Commands of root's command line in tenants' sandboxes. Whoever asked runs one, and says when it is over.

Each counts as one of the tenant's consoles. The panel's own commands are run the same way, and are nobody's consoles.
"""

import time

from hostel.agent import cgroup
from hostel.agent.disk import Disk
from hostel.agent.gates import Gates
from hostel.agent.launch import Launcher
from hostel.agent.sandbox import Sandboxes
from hostel.agent.tenant import Tenant
from hostel.wire.errors import MalformedMessage
from hostel.wire.names import SYSTEM_TENANT
from hostel.wire.website import ExecPlan, ExecRequest, RunId

_STALE_S = 60.0  # a prepared command that nobody has started by then


class Commands:
    def __init__(self, launcher: Launcher, sandboxes: Sandboxes, gates: Gates, disk: Disk) -> None:
        self._launcher = launcher
        self._sandboxes = sandboxes
        self._gates = gates
        self._disk = disk
        self._known: dict[RunId, tuple[Tenant, float]] = {}  # and since when; monotonic

    @property
    def runs(self) -> set[RunId]:
        return set(self._known)

    def adopt(self, run: RunId, tenant: Tenant) -> None:
        """One that an earlier agent prepared, and that runs."""
        self._known[run] = (tenant, time.monotonic())
        tenant.open_consoles.add(run)

    async def prepare(self, tenant: Tenant, request: ExecRequest) -> ExecPlan:
        """A sandbox for one command; whoever asked runs it, then has it discarded."""
        if not request.argv:
            raise MalformedMessage("argv: expected a command")
        tenant.check_may_run()
        tenant.check_consoles()
        await tenant.ensure()
        if tenant.name != SYSTEM_TENANT:
            await self._gates.require(tenant.socket_directory)
        tenant.check_may_run()
        tenant.check_consoles()
        spec = self._launcher.command(tenant, request.argv, tenant.record.limits, terminal=request.terminal)
        self.adopt(spec.run, tenant)  # counted from here on
        try:
            argv = await self._sandboxes.prepare_foreground(spec, tenant, terminal=request.terminal)
            tenant.check_may_run()
        except BaseException:
            await self.discard(spec.run)
            raise
        # Not refused to who is over it: nowhere else can files be removed.
        notice = self._disk.describe_excess(tenant.name, tenant.record.limits.disk_bytes)
        return ExecPlan(run=spec.run, argv=argv, notice=notice)

    async def discard(self, run: RunId) -> None:
        """Remove a command's sandbox, ending what still runs in it. Idempotent."""
        found = self._known.pop(run, None)
        if found is not None:
            tenant, _ = found
            try:
                await self._sandboxes.discard(run, tenant)
            finally:
                tenant.open_consoles.discard(run)
            self._disk.measure_soon(tenant.name)

    async def discard_all(self, tenant: Tenant) -> None:
        for run in self._runs_of(tenant):
            await self.discard(run)

    async def discard_stale(self) -> None:
        """Remove the sandboxes of commands that have ended and whose command line is gone."""
        now = time.monotonic()
        for run, (tenant, since) in list(self._known.items()):
            if now - since > _STALE_S and not cgroup.processes(f"{tenant.cgroup}/{run}"):
                await self.discard(run)

    def _runs_of(self, tenant: Tenant) -> list[RunId]:
        return [run for run, (owner, _) in self._known.items() if owner is tenant]
