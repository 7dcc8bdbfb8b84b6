"""What happens once, at the start of an agent: what earlier ones have left on this machine goes on, or is cleaned away.

Reads the records of tenants and websites, adopts the runs that live, and gives each website its own. What a website
then does with its run it decides itself (`Website.restore`).
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from hostel.agent import cgroup, sockets
from hostel.agent.ending import STOP_GRACE_S
from hostel.agent.installation import PANEL_NUMBER, PROBE_NUMBERS
from hostel.agent.panel import PANEL_TENANT_LIMITS, PANEL_VERSION, panel_spec
from hostel.agent.reconcile import ORPHAN_DRAIN_S
from hostel.agent.records import recover_tenant, route_run
from hostel.agent.sandbox import Kind, RunRecord, Sandbox
from hostel.agent.tenant import Tenant, TenantRecord, read_record
from hostel.agent.website import Parts, Website
from hostel.agent.website_record import WebsiteRecord, read_websites
from hostel.wire import failpoint
from hostel.wire.errors import HostelError
from hostel.wire.files import remove_temporaries
from hostel.wire.names import SYSTEM_TENANT
from hostel.wire.website import Deploy, Limits, Phase, RunId

if TYPE_CHECKING:
    from hostel.agent.node import Node

log = structlog.get_logger()


class Restoration:
    """Of one node. After `run` it keeps what nobody could be given yet, and the `tasks` that end or remove the rest."""

    def __init__(self, node: "Node", parts: Parts) -> None:
        self._node = node
        self._parts = parts
        self._surges: dict[RunId, Limits] = {}  # the room of runs beside those that serve
        self._unclaimed: dict[str, Sandbox] = {}  # by domain: runs that serve, of websites whose record is torn
        self.tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Tenants and websites from disk; runs that live are adopted, others removed."""
        node = self._node
        for directory in (node.paths.tenants, node.paths.websites, node.paths.routes):
            remove_temporaries(directory)
        self._load_tenants()
        await node.load_rules()
        records = {record.run: record for record in self._parts.sandboxes.records()}
        websites = self._load_websites()
        serving = {website.record.run for website in websites}
        for record in records.values():
            if record.kind is Kind.WEBSITE and record.run not in serving and record.tenant in node.tenants:
                self._make_room(record, websites)
        await self._ensure_members(records.values())
        adopted = self._adopt(records.values())
        for run in self._surges.keys() - adopted.keys():  # it has ended: there is only one
            self._take_room_back(run, node.tenants[records[run].tenant])
        failpoint.reach("node.restore.adopted")
        known = set(adopted) | node.commands.runs | node.consoles.runs
        # Looked for before anything new is started, removed once visitors are served again.
        leftover_runs = self._parts.sandboxes.unknown(known)
        leftover_cgroups = self._unknown_cgroups(known)
        for website in websites:
            website.restore(adopted.get(website.record.run) if website.record.run else None)
            node.add_website(website)
        failpoint.reach("node.restore.published")
        for run, sandbox in adopted.items():
            if run not in serving and not self._leave_unclaimed(sandbox):
                self._end(sandbox)
        self._begin(self._clean(leftover_runs, leftover_cgroups), name="clean")
        log.info("node restored", tenants=len(node.tenants), websites=len(websites), adopted=len(adopted))

    def claim(self, website: Website) -> int:
        """A website that is new here; the run of a torn record serves until the new one does. Returns the ticket."""
        unclaimed = self._unclaimed.pop(website.domain, None)
        if unclaimed is None or unclaimed.exit.done() or unclaimed.tenant is not website.tenant:
            return website.restore(None)
        ticket = website.restore(unclaimed)
        if website.serving is unclaimed:
            self._take_room_back(unclaimed.run, unclaimed.tenant)
        else:
            self._end(unclaimed)
        return ticket

    # -- records

    def _load_tenants(self) -> None:
        node = self._node
        node.add_tenant(
            TenantRecord(name=SYSTEM_TENANT, number=PANEL_NUMBER, version=PANEL_VERSION, limits=PANEL_TENANT_LIMITS)
        )
        for file in sorted(node.paths.tenants.glob("*.json")):
            try:
                record = read_record(file)
            except (OSError, ValueError, HostelError) as error:
                recovered = recover_tenant(node.paths, node.installation, file.stem, node.config.limits.user())
                is_left_out = recovered is None
                log.error("tenant record cannot be read", file=str(file), error=str(error), is_left_out=is_left_out)
                if recovered is None:
                    continue
                record = recovered
            node.add_tenant(record)

    def _load_websites(self) -> list[Website]:
        """Websites on disk, and the panel's own from the configuration."""
        found: list[Website] = []
        spec = panel_spec(self._node.config)
        panel = WebsiteRecord(spec=spec, deploy=Deploy(version=spec.version, phase=Phase.STARTING))
        for record in read_websites(self._node.paths):
            tenant = self._node.tenants.get(record.spec.tenant)
            if record.spec.tenant == SYSTEM_TENANT:
                if record.spec == spec and record.deploy.phase is not Phase.FAILED:
                    panel = record
                elif record.spec.domain_name == spec.domain_name:  # its run serves until the new one does
                    panel = replace(panel, run=record.run, names=record.names)
                continue
            if tenant is None:
                log.error("website has no tenant on this machine; it is left out", website=record.spec.domain_name)
                continue
            found.append(Website(record, tenant, self._parts))
        if panel.run is None:  # it never sleeps
            panel = WebsiteRecord(spec=spec, deploy=Deploy(version=spec.version, phase=Phase.STARTING))
        return [Website(panel, self._node.tenants[SYSTEM_TENANT], self._parts), *found]

    # -- what runs

    async def _ensure_members(self, records: Iterable[RunRecord]) -> None:
        """Tenants of whom something runs get their network back from it; the others wait until they need one."""
        members: dict[str, list[int]] = {}
        for record in records:
            tenant = self._node.tenants.get(record.tenant)
            if tenant is not None:
                members.setdefault(tenant.name, []).extend(cgroup.processes(f"{tenant.cgroup}/{record.run}"))
        for name, pids in members.items():
            if pids:
                try:
                    await self._node.tenants[name].ensure(member_pids=pids)
                except Exception:  # one tenant's trouble must not keep the others' websites down
                    log.exception("tenant could not be taken over", tenant=name)

    def _adopt(self, records: Iterable[RunRecord]) -> dict[RunId, Sandbox]:
        """What earlier agents started and still runs; returns the runs of websites."""
        adopted: dict[RunId, Sandbox] = {}
        for record in records:
            tenant = self._node.tenants.get(record.tenant)
            if tenant is None:
                continue
            if record.kind is Kind.COMMAND and cgroup.processes(f"{tenant.cgroup}/{record.run}"):
                self._node.commands.adopt(record.run, tenant)
            elif record.kind is Kind.CONSOLE:
                with contextlib.suppress(ProcessLookupError):
                    self._node.consoles.adopt(self._parts.sandboxes.adopt(record, tenant))
            elif record.kind is Kind.WEBSITE:
                with contextlib.suppress(ProcessLookupError):
                    adopted[record.run] = self._parts.sandboxes.adopt(record, tenant)
        return adopted

    def _make_room(self, record: RunRecord, websites: Iterable[Website]) -> None:
        """A second run of a website lives: the agent died while the two overlapped. Both keep their memory."""
        limits = next((site.spec.limits for site in websites if site.domain == record.website), Limits())
        self._surges[record.run] = limits
        self._node.tenants[record.tenant].add_surge(limits)

    def _take_room_back(self, run: RunId, tenant: Tenant) -> None:
        limits = self._surges.pop(run, None)
        if limits is not None:
            tenant.end_surge(limits)

    def _leave_unclaimed(self, sandbox: Sandbox) -> bool:
        """The record of its website is there but torn: what visitors get goes on until the panel repeats the spec."""
        domain, paths = sandbox.record.website, self._node.paths
        is_torn = domain not in self._node.websites and (paths.websites / f"{domain}.json").exists()
        if not is_torn or route_run(paths, domain) != sandbox.run:
            return False
        self._unclaimed[domain] = sandbox
        return True

    # -- what is left over

    def _end(self, sandbox: Sandbox) -> None:
        """A run that visitors do not get: it was draining when the agent died, or never switched to."""
        owner = self._node.websites.get(sandbox.record.website)
        if owner is not None and owner.tenant is sandbox.tenant:
            owner.retirement.begin(sandbox)
            self._take_room_back(sandbox.run, sandbox.tenant)  # it has room of its own now
        else:
            task = self._begin(self._end_orphan(sandbox), name=f"end {sandbox.run}")
            task.add_done_callback(lambda _: self._take_room_back(sandbox.run, sandbox.tenant))

    async def _end_orphan(self, sandbox: Sandbox) -> None:
        """Its website was deleted while it still had requests to finish."""
        budgets = ORPHAN_DRAIN_S, ORPHAN_DRAIN_S
        await self._parts.publication.drained(sandbox.run, budgets=lambda: budgets, ended=sandbox.exit)
        await self._parts.sandboxes.stop(sandbox, grace_s=STOP_GRACE_S)

    def _unknown_cgroups(self, known: set[RunId]) -> list[str]:
        """Cgroups of half-made runs and of tenants that are gone."""
        of_tenants = {tenant.cgroup for tenant in self._node.tenants.values()}
        unknown = []
        probes = {str(number) for number in PROBE_NUMBERS}
        for above in self._node.installation.cgroups:
            for path in (f"{above}/{number}" for number in cgroup.children(above) if number not in probes):
                if path not in of_tenants:
                    unknown.append(path)
                else:
                    unknown += [f"{path}/{run}" for run in cgroup.children(path) if run not in known]
        return unknown

    async def _clean(self, runs: list[RunId], cgroups: list[str]) -> None:
        """Remove what an earlier agent left half made, half removed or half suspended."""
        failpoint.reach("node.clean")
        tenants = self._node.tenants
        for tenant in [tenant for tenant in tenants.values() if tenant.is_suspended]:
            await self._node.heed_suspension(tenant)
        await asyncio.to_thread(cgroup.kill_trees, cgroups)
        places = {place.name: place for place in self._node.paths.sockets.glob("*/*")}
        for run in runs:
            if run in places:
                sockets.remove_run_directory(places[run])
            await self._parts.sandboxes.remove_leftover(run)  # last: by its bundle the next agent finds what is left

    def _begin(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self.tasks.append(task)
        return task
