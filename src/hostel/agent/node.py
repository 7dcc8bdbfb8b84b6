"""All tenants and websites of one installation on this machine, and the verbs that callers have.

Derives uids, paths and addresses itself: a message that names one is refused by the reader. What a caller may not
touch (the panel's own website and account) is decided here.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Awaitable, Iterable

import structlog

from hostel.agent import cgroup, network
from hostel.agent.image import build_image
from hostel.agent.installation import PANEL_NUMBER, Installation, ensure_installation, take_number
from hostel.agent.interpreters import find_interpreters
from hostel.agent.launch import Launcher
from hostel.agent.panel import PANEL_VERSION, migrate, panel_spec
from hostel.agent.publication import Publication
from hostel.agent.sandbox import Kind, RunRecord, Sandbox, Sandboxes
from hostel.agent.streams import Logger
from hostel.agent.tenant import Tenant, TenantRecord, read_record, write_record
from hostel.agent.website import Parts, Website, WebsiteRecord, read_websites, write_website
from hostel.edge.publish import Edge
from hostel.wire.config import Config
from hostel.wire.errors import (
    DomainTaken,
    HostelError,
    MalformedMessage,
    UnknownTenant,
    UnknownWebsite,
    WebsiteDisabled,
)
from hostel.wire.files import write_atomically
from hostel.wire.names import SYSTEM_TENANT, canonical_domain, check_command, check_username
from hostel.wire.paths import Paths
from hostel.wire.report import TenantReport
from hostel.wire.website import (
    Deploy,
    ExecPlan,
    ExecRequest,
    Limits,
    Phase,
    RunId,
    TenantSpec,
    Tombstone,
    Wanted,
    WebsiteReport,
    WebsiteSpec,
)

log = structlog.get_logger()

STOP_GRACE_S = 10.0
_SIMULTANEOUS_STARTS = max(2, (os.cpu_count() or 1) * 2)
_STALE_COMMAND_S = 60.0  # a prepared command that nobody has started by then


class Node:
    """Made by `Node.start`; everything of it runs on one event loop."""

    def __init__(self, paths: Paths, config: Config, installation: Installation, parts: Parts) -> None:
        self.paths = paths
        self.config = config
        self.installation = installation
        self.tenants: dict[str, Tenant] = {}
        self.websites: dict[str, Website] = {}
        self._parts = parts
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._commands: dict[RunId, tuple[Tenant, float]] = {}

    @classmethod
    async def start(cls, paths: Paths, config: Config, edge: Edge, own_ca: bytes) -> "Node":
        """Build or find everything on this machine, adopt what runs, remove what was left over."""
        installation = ensure_installation(paths, pool=config.network.pool)
        await asyncio.to_thread(network.ensure_rules, installation, config)
        hosts = dict.fromkeys(dict.fromkeys((config.panel_host, config.sites.domain)), installation.gateway)
        image = build_image(
            paths.run / "images",
            await find_interpreters(config.python.directories),
            hosts=hosts,
            resolver=installation.gateway,
            own_ca=own_ca,
        )
        launcher = Launcher(config=config, paths=paths, image=image)
        sandboxes = Sandboxes(paths, Logger(paths.logger_socket))
        parts = Parts(
            paths=paths,
            launcher=launcher,
            sandboxes=sandboxes,
            publication=Publication(edge, config),
            start_slots=asyncio.Semaphore(_SIMULTANEOUS_STARTS),
            prepare=lambda spec, tenant: migrate(spec, tenant, launcher, sandboxes),
        )
        node = cls(paths, config, installation, parts)
        await node._restore()
        return node

    # -- tenants

    async def put_tenant(self, spec: TenantSpec) -> None:
        """Create a tenant or change its limits and token. Idempotent; a stale spec changes nothing."""
        check_username(spec.name)
        tenant = self.tenants.get(spec.name)
        if tenant is None:
            number, self.installation = take_number(self.paths, self.installation)
            record = TenantRecord(
                name=spec.name,
                number=number,
                version=spec.version,
                limits=spec.limits,
                api_token=spec.api_token or "",
            )
            write_record(self.paths, record)
            tenant = self.tenants[spec.name] = self._tenant(record)
        elif spec.version >= tenant.record.version:
            tenant.update(version=spec.version, limits=spec.limits, api_token=spec.api_token)
        await tenant.ensure()

    async def delete_tenant(self, tombstone: Tombstone) -> None:
        """End everything of a tenant, move its home to the backups, free its domains. Idempotent."""
        tenant = self.tenants.get(tombstone.name)
        if tenant is None or tombstone.name == SYSTEM_TENANT or tombstone.version < tenant.record.version:
            return
        for website in [site for site in self.websites.values() if site.spec.tenant == tombstone.name]:
            await self._delete_website(website)
            await website.retired()
        for run in [run for run, (owner, _) in self._commands.items() if owner is tenant]:
            await self.discard_command(run)
        await asyncio.to_thread(tenant.release)
        if tenant.home.exists():
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            os.rename(tenant.home, self.paths.backups / f"{tenant.name}-{tenant.record.number}-{stamp}")
        (self.paths.tenants / f"{tenant.name}.json").unlink(missing_ok=True)
        del self.tenants[tombstone.name]

    def tenant_reports(self) -> tuple[TenantReport, ...]:
        users = [tenant for name, tenant in sorted(self.tenants.items()) if name != SYSTEM_TENANT]
        return tuple(TenantReport(name=each.name, uid=each.uid, home=str(each.home)) for each in users)

    # -- websites

    async def put_website(self, domain: str, spec: WebsiteSpec, *, wait_s: float) -> WebsiteReport:
        """Bring one website to `spec`; answers when that is done or has failed, or after `wait_s`."""
        if canonical_domain(spec.domain_name) != domain:
            raise MalformedMessage("domain_name: does not belong to this address")
        check_command(spec.command)
        tenant = self.tenants.get(spec.tenant)
        if tenant is None or spec.tenant == SYSTEM_TENANT:
            raise UnknownTenant
        website = self.websites.get(domain)
        if website is None:
            record = WebsiteRecord(spec=spec, deploy=Deploy(version=spec.version, phase=Phase.STARTING))
            write_website(self.paths, record)
            website = self._live(Website(record, tenant, self._parts))
            await website.restore(None)
            ticket = 1
        elif website.spec.tenant != spec.tenant:
            raise DomainTaken
        else:
            ticket = website.want(spec)
        return await website.settle(ticket, wait_s=wait_s)

    async def delete_website(self, domain: str, tombstone: Tombstone) -> None:
        """Take a website off the machine. Returns when no visitor gets it any more; its run may still finish."""
        website = self.websites.get(domain)
        if website is not None and website.spec.tenant != SYSTEM_TENANT and website.spec.version <= tombstone.version:
            await self._delete_website(website)

    async def reload(self, domain: str, *, wait_s: float) -> WebsiteReport:
        """A new run of the same command. Raises WebsiteDisabled for one that is switched off."""
        website = self._website(domain)
        if not website.spec.enabled:
            raise WebsiteDisabled
        return await website.settle(website.reload(), wait_s=wait_s)

    def wake(self, domain: str) -> None:
        """A visitor waits at the edge. Unknown names are nothing: the edge will find out itself."""
        website = self.websites.get(domain)
        if website is not None:
            website.wake()

    def report(self, domain: str) -> WebsiteReport:
        return self._website(domain).report()

    def reports(self, tenant: str | None) -> tuple[WebsiteReport, ...]:
        """Of one tenant's websites, or of all but the panel's."""
        wanted = [site for _, site in sorted(self.websites.items()) if site.spec.tenant != SYSTEM_TENANT]
        return tuple(site.report() for site in wanted if tenant in (None, site.spec.tenant))

    @property
    def panel(self) -> Website:
        return self.websites[self.config.panel_host]

    # -- commands of root's command line

    async def prepare_command(self, name: str, request: ExecRequest) -> ExecPlan:
        """A sandbox for one command of a tenant's; whoever asked runs it, then calls `discard_command`."""
        tenant = self.tenants.get(name)
        if tenant is None:
            raise UnknownTenant(f"There is no user {name!r}; `hostel user list` shows who there is.")
        if not request.argv:
            raise MalformedMessage("argv: expected a command")
        await tenant.ensure()
        spec = self._parts.launcher.command(tenant, request.argv, tenant.record.limits, terminal=request.terminal)
        argv = await self._parts.sandboxes.prepare_foreground(spec, tenant, terminal=request.terminal)
        self._commands[spec.run] = (tenant, time.monotonic())
        return ExecPlan(run=spec.run, argv=argv)

    async def discard_command(self, run: RunId) -> None:
        """Remove a command's sandbox, ending what still runs in it. Idempotent."""
        found = self._commands.pop(run, None)
        if found is not None:
            await self._parts.sandboxes.discard(run, found[0])

    async def discard_stale_commands(self) -> None:
        """Remove the sandboxes of commands that have ended and whose command line is gone."""
        now = time.monotonic()
        for run, (tenant, since) in list(self._commands.items()):
            if now - since > _STALE_COMMAND_S and not cgroup.processes(f"{tenant.cgroup}/{run}"):
                await self.discard_command(run)

    # -- wanted state, pulled

    async def apply(self, wanted: Wanted) -> None:
        """Bring everything in `wanted` about; one website's trouble does not keep the others from it."""
        # Deletions first: a user who was removed and added again while the agent was away is another user.
        for tombstone in wanted.deleted_websites:
            await _tolerate(self.delete_website(tombstone.name, tombstone), website=tombstone.name)
        for tombstone in wanted.deleted_tenants:
            await _tolerate(self.delete_tenant(tombstone), tenant=tombstone.name)
        for tenant in wanted.tenants:
            await _tolerate(self.put_tenant(tenant), tenant=tenant.name)
        for website in wanted.websites:
            with contextlib.suppress(HostelError):
                domain = canonical_domain(website.domain_name)
                await _tolerate(self.put_website(domain, website, wait_s=0), website=domain)

    # -- the end

    async def halt(self) -> None:
        """End every sandbox: TERM to all, KILL after a grace. Records stay: the next agent has the websites asleep."""
        tasks = [self._cleaning, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._terminate_all)
        for run in self._parts.sandboxes.unknown(set()):
            await self._parts.sandboxes.remove_leftover(run)
        for tenant in self.tenants.values():
            await asyncio.to_thread(tenant.release)
        await asyncio.to_thread(cgroup.kill_tree, self.installation.cgroup)
        await asyncio.to_thread(network.remove_rules, self.installation)

    def _terminate_all(self) -> None:
        runs = [f"{tenant.cgroup}/{run}" for tenant in self.tenants.values() for run in cgroup.children(tenant.cgroup)]
        cgroup.terminate(runs, grace_s=STOP_GRACE_S)

    # -- private

    def _tenant(self, record: TenantRecord) -> Tenant:
        home = self.paths.panel if record.name == SYSTEM_TENANT else self.paths.homes / record.name
        return Tenant(record, self.paths, self.installation, home)

    def _website(self, domain: str) -> Website:
        try:
            return self.websites[domain]
        except KeyError:
            raise UnknownWebsite from None

    def _live(self, website: Website) -> Website:
        """Take a website in and start its task."""
        self.websites[website.domain] = website
        self._tasks[website.domain] = asyncio.create_task(website.serve(), name=f"website {website.domain}")
        return website

    async def _delete_website(self, website: Website) -> None:
        domain = website.domain
        await website.settle(website.delete(), wait_s=STOP_GRACE_S)
        if self.websites.get(domain) is website:
            del self.websites[domain]
            self._tasks.pop(domain)

    async def _restore(self) -> None:
        """Tenants and websites from disk; runs that live are adopted, others removed."""
        self._load_tenants()
        by_run = {record.run: record for record in self._parts.sandboxes.records()}
        await self._ensure_members(by_run.values())
        websites = self._load_websites()
        serving = {website.record.run: website for website in websites if website.record.run}
        adopted: dict[RunId, Sandbox] = {}
        for record in by_run.values():
            with contextlib.suppress(ProcessLookupError, KeyError):
                tenant = self.tenants[record.tenant]
                if record.kind is Kind.COMMAND and cgroup.processes(f"{tenant.cgroup}/{record.run}"):
                    self._commands[record.run] = (tenant, time.monotonic())
                elif record.kind is Kind.WEBSITE:
                    adopted[record.run] = self._parts.sandboxes.adopt(record, tenant)
        known = set(adopted) | set(self._commands)
        # Looked for before anything new is started, removed once visitors are served again.
        leftover_runs = self._parts.sandboxes.unknown(known)
        leftover_cgroups = self._unknown_cgroups(known)
        for website in websites:
            await website.restore(adopted.get(website.record.run) if website.record.run else None)
        for website in websites:
            self._live(website)
        for run, sandbox in adopted.items():
            owner = self.websites.get(sandbox.record.website)
            if run not in serving and owner is not None:
                owner.retire(sandbox)  # draining when the agent died, or started and never switched to
        self._cleaning = asyncio.create_task(self._clean(leftover_runs, leftover_cgroups), name="clean")
        log.info("node restored", tenants=len(self.tenants), websites=len(websites), adopted=len(adopted))

    async def _clean(self, runs: list[RunId], cgroups: list[str]) -> None:
        """Remove what an earlier agent left half made or half removed."""
        await asyncio.gather(*(asyncio.to_thread(cgroup.kill_tree, path) for path in cgroups))
        for run in runs:
            await self._parts.sandboxes.remove_leftover(run)

    async def _ensure_members(self, records: Iterable[RunRecord]) -> None:
        """Tenants of whom something runs get their network back from it; the others wait until they need one."""
        for record in records:
            tenant = self.tenants.get(record.tenant)
            if tenant is None:
                continue
            alive = cgroup.processes(f"{tenant.cgroup}/{record.run}")
            if alive:
                await tenant.ensure(member_pid=alive[0])

    def _load_tenants(self) -> None:
        own = TenantRecord(name=SYSTEM_TENANT, number=PANEL_NUMBER, version=PANEL_VERSION, limits=Limits())
        self.tenants[SYSTEM_TENANT] = self._tenant(own)
        for file in sorted(self.paths.tenants.glob("*.json")):
            try:
                record = read_record(file)
            except (OSError, ValueError, HostelError) as error:
                log.error("tenant record cannot be read; the tenant is left out", file=str(file), error=str(error))
                continue
            self.tenants[record.name] = self._tenant(record)

    def _load_websites(self) -> list[Website]:
        """Websites on disk, and the panel's own from the configuration."""
        found: list[Website] = []
        spec = panel_spec(self.config)
        panel = WebsiteRecord(spec=spec, deploy=Deploy(version=spec.version, phase=Phase.STARTING))
        for record in read_websites(self.paths):
            tenant = self.tenants.get(record.spec.tenant)
            if record.spec.tenant == SYSTEM_TENANT:
                if record.spec == spec:
                    panel = record
                continue
            if tenant is None:
                log.error("website has no tenant on this machine; it is left out", website=record.spec.domain_name)
                continue
            found.append(Website(record, tenant, self._parts))
        if panel.run is None:  # it never sleeps
            panel = WebsiteRecord(spec=spec, deploy=Deploy(version=spec.version, phase=Phase.STARTING))
        return [Website(panel, self.tenants[SYSTEM_TENANT], self._parts), *found]

    def _unknown_cgroups(self, known: set[RunId]) -> list[str]:
        """Cgroups of half-made runs and of tenants that are gone."""
        by_number = {str(tenant.record.number): tenant for tenant in self.tenants.values()}
        unknown = []
        for number in cgroup.children(self.installation.cgroup):
            tenant = by_number.get(number)
            if tenant is None:
                unknown.append(f"{self.installation.cgroup}/{number}")
            else:
                unknown += [f"{tenant.cgroup}/{run}" for run in cgroup.children(tenant.cgroup) if run not in known]
        return unknown


async def _tolerate(deed: Awaitable[object], **about: str) -> None:
    try:
        await deed
    except HostelError as error:
        log.warning("wanted state could not be applied", error=str(error), code=error.code, **about)


def ensure_directories(paths: Paths, *, edge_gid: int) -> None:
    """The installation's directories with the modes that keep strangers out. Idempotent."""
    for directory, mode, gid in (
        (paths.state, 0o711, 0),
        (paths.run, 0o711, 0),
        (paths.log, 0o711, 0),
        (paths.tenants, 0o700, 0),
        (paths.websites, 0o700, 0),
        (paths.routes, 0o750, edge_gid),
        (paths.certificates, 0o711, 0),
        (paths.homes, 0o711, 0),
        (paths.backups, 0o700, 0),
        (paths.sockets, 0o711, 0),
        (paths.runs, 0o700, 0),
        (paths.streams, 0o700, 0),
        (paths.site_logs, 0o711, 0),
        (paths.agent_for_root, 0o700, 0),
        (paths.agent_for_edge, 0o750, edge_gid),
        (paths.agent_for_panel, 0o755, 0),
    ):
        directory.mkdir(parents=True, exist_ok=True)
        os.chown(directory, 0, gid)
        directory.chmod(mode)


def write_agent_secret(paths: Paths, installation: Installation) -> str:
    """A new secret that the panel can read: whoever shows it to the panel is the agent."""
    secret = secrets.token_hex(32)
    uid = installation.uid(PANEL_NUMBER)
    write_atomically(paths.agent_secret, secret.encode(), mode=0o400, owner=(uid, uid))
    return secret
