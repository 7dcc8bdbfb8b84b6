"""All tenants and websites of one installation on this machine, and the verbs that callers have.

Derives uids, paths and addresses itself: a message that names one is refused by the reader. What a caller may not
touch (the panel's own website and account) is decided here.
"""

import asyncio
import contextlib
import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Awaitable, Collection
from pathlib import Path

import structlog

from hostel.agent import cgroup, network
from hostel.agent.certificate_desk import find_authority
from hostel.agent.challenges import Challenges
from hostel.agent.commands import Commands
from hostel.agent.consoles import Consoles
from hostel.agent.disk import Disk
from hostel.agent.dns import Dns
from hostel.agent.doors import Doors
from hostel.agent.ending import end_everything
from hostel.agent.errors import SandboxFault
from hostel.agent.gates import Gates
from hostel.agent.hibernation import Hibernation
from hostel.agent.idleness import Watch
from hostel.agent.image import build_image
from hostel.agent.installation import Installation, take_number
from hostel.agent.interpreters import find_interpreters
from hostel.agent.keyring import Keyring
from hostel.agent.launch import Launcher
from hostel.agent.messages import check_tenant, check_website
from hostel.agent.metrics import Metrics
from hostel.agent.overview import Overviews
from hostel.agent.panel import complete
from hostel.agent.ports import Ports
from hostel.agent.publication import Publication
from hostel.agent.refused_files import explain_refusal
from hostel.agent.renewal import Renewal
from hostel.agent.restoration import Restoration
from hostel.agent.sandbox import Sandbox, Sandboxes
from hostel.agent.streams import Logger
from hostel.agent.tenant import Tenant, TenantRecord, set_aside, write_record
from hostel.agent.turns import Turns
from hostel.agent.usage import Meter
from hostel.agent.website import Parts, Website
from hostel.agent.website_record import WebsiteRecord, write_website
from hostel.edge.publish import Edge
from hostel.wire import failpoint
from hostel.wire.config import Config
from hostel.wire.errors import (
    AccountSuspended,
    DomainTaken,
    HostelError,
    StaleSpec,
    StillEnding,
    UnknownTenant,
    UnknownWebsite,
    WebsiteDisabled,
)
from hostel.wire.names import SYSTEM_TENANT, canonical_domain
from hostel.wire.paths import Paths
from hostel.wire.report import TenantReport
from hostel.wire.website import (
    Deploy,
    ExecPlan,
    ExecRequest,
    Phase,
    TenantSpec,
    Tombstone,
    Version,
    Wanted,
    WebsiteReport,
    WebsiteSpec,
)

log = structlog.get_logger()

DELETE_DEADLINE_S = 40.0
_SIMULTANEOUS_STARTS = max(2, (os.cpu_count() or 1) * 2)
_SUSPENSION_PUBLISH_S, _SUSPENSION_GRACE_S = 0.5, 0.5  # all that was promised is two seconds
TEND_EVERY_S, TENDED_MOST = 5.0, 100


class Node:
    """Made by `Node.start`; everything of it runs on one event loop."""

    def __init__(self, paths: Paths, config: Config, installation: Installation, parts: Parts) -> None:
        self.paths = paths
        self.config = config
        self.installation = installation
        self.tenants: dict[str, Tenant] = {}
        self.websites: dict[str, Website] = {}
        self._parts = parts
        parts.gates.mend, parts.gates.on_open = self._mend_rules, self.retry_refused
        self.edge = parts.publication.edge
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.dns = Dns(config.domains.resolvers)
        self.keyring = parts.keyring
        self.renewal = Renewal(
            parts.keyring,
            find_authority(config, paths),
            Challenges(paths.challenges, self.dns, http_port=config.listen.http_port),
            ledger_file=paths.certificates / "orders.json",
            still_belongs=self.has_domain,
        )
        self.disk = Disk(paths.homes)
        self.commands = Commands(parts.launcher, parts.sandboxes, parts.gates, self.disk)
        self.doors = Doors(parts.launcher.door, parts.sandboxes, parts.gates)
        self.workshops = Doors(parts.launcher.workshop, parts.sandboxes, parts.gates)
        self.consoles = Consoles(parts.launcher, parts.sandboxes, parts.gates, self.disk, paths.last_console)
        self._tenant_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tombstones: dict[str, Version] = {}  # by name of tenant or domain; names of the two cannot be the same
        self._restoration = Restoration(self, parts)
        self.meter = Meter(self)
        self.metrics = Metrics(self, paths.metrics)
        self.overviews = Overviews(self)
        self.watch = Watch(self, parts.hibernation)
        self.pulled = Version(epoch=0, revision=0)  # how far the panel's last answer reached

    @classmethod
    async def start(cls, paths: Paths, config: Config, installation: Installation, edge: Edge, own_ca: bytes) -> "Node":
        """Build or find everything on this machine, adopt what runs, remove what was left over."""
        cgroup.ensure_tenants_root(installation.cgroups[0])
        if not await asyncio.to_thread(cgroup.hasten_entries):
            log.info("this kernel lets processes enter cgroups slowly; each start takes some milliseconds longer")
        hosts = dict.fromkeys(dict.fromkeys((config.panel_host, config.sites.domain)), installation.gateway)
        image = build_image(
            paths.run / "images",
            await find_interpreters(config.python.directories),
            hosts=hosts,
            resolver=installation.gateway,
            own_ca=own_ca,
        )
        ports = Ports(paths.runs, paths.run / "last_port")
        launcher = Launcher(config=config, paths=paths, image=image, ports=ports)
        sandboxes = Sandboxes(paths, Logger(paths.logger_socket))
        parts = Parts(
            paths=paths,
            gates=Gates(paths, installation),
            launcher=launcher,
            sandboxes=sandboxes,
            publication=await Publication.start(edge, config),
            keyring=Keyring(paths.certificates, edge),
            names={},
            hibernation=Hibernation(),
            start_slots=asyncio.Semaphore(_SIMULTANEOUS_STARTS),
            complete=lambda spec: complete(spec, newest=node.newest_version),
        )
        node = cls(paths, config, installation, parts)
        await node._restoration.run()
        return node

    # -- tenants

    async def put_tenant(self, spec: TenantSpec) -> None:
        """Create a tenant or change its limits and token. Idempotent; a stale spec changes nothing."""
        check_tenant(spec)
        async with self._tenant_locks[spec.name]:
            tenant = self.tenants.get(spec.name)
            if tenant is not None:
                if spec.version >= tenant.record.version:
                    before = tenant.record
                    tenant.update(spec)
                    if spec.limits.connections != before.limits.connections:
                        await self.load_rules()
                    if spec.suspended or before.suspended:
                        await self.heed_suspension(tenant)
                return
            self._refuse_if_deleted(spec.name, spec.version)
            number, self.installation = take_number(self.paths, self.installation)
            record = TenantRecord(
                name=spec.name,
                number=number,
                version=spec.version,
                limits=spec.limits,
                suspended=spec.suspended,
                api_token=spec.api_token or "",
            )
            write_record(self.paths, record)
            failpoint.reach("node.put_tenant.written")
            self.add_tenant(record)
            if spec.limits.connections != self.config.limits.user_connections:
                await self.load_rules()

    def add_tenant(self, record: TenantRecord) -> None:
        """From here on it is known; everything else of it is made when it needs it."""
        home = self.paths.panel if record.name == SYSTEM_TENANT else self.paths.homes / record.name
        self.tenants[record.name] = Tenant(record, self.paths, self.installation, home)

    async def heed_suspension(self, tenant: Tenant) -> None:
        """Suspended: end all that runs, visitors being told first. Resumed: websites come back. Idempotent."""
        websites = [site for site in self.websites.values() if site.tenant is tenant]
        told = [site.settle(site.heed_suspension(), wait_s=_SUSPENSION_PUBLISH_S) for site in websites]
        await asyncio.gather(*told)
        if not tenant.is_suspended:
            return
        runs = [f"{tenant.cgroup}/{run}" for run in cgroup.children(tenant.cgroup)]
        await asyncio.to_thread(cgroup.terminate, runs, grace_s=_SUSPENSION_GRACE_S)
        await self._end_beside_websites(tenant)
        log.info("tenant suspended", tenant=tenant.name, websites=len(websites), runs=len(runs))

    async def _end_beside_websites(self, tenant: Tenant) -> None:
        """All that runs of a tenant without being a website. Idempotent."""
        await self.commands.discard_all(tenant)
        await self.consoles.end_all(tenant)
        await self.doors.close(tenant)
        await self.workshops.close(tenant)

    async def delete_tenant(self, tombstone: Tombstone) -> None:
        """End everything of a tenant, move home and logs to the backups, free its domains. Idempotent."""
        if tombstone.name == SYSTEM_TENANT:
            return
        async with self._tenant_locks[tombstone.name]:
            tenant = self.tenants.get(tombstone.name)
            if tenant is None or tombstone.version < tenant.record.version:
                return
            self._tombstones[tombstone.name] = tombstone.version
            tenant.is_leaving = True  # no website, no command from here on
            websites = [site for site in self.websites.values() if site.tenant is tenant]
            await asyncio.gather(*(self._delete_website(website) for website in websites))
            await asyncio.gather(*(website.retirement.done() for website in websites))
            await self._end_beside_websites(tenant)
            await asyncio.to_thread(tenant.release)
            failpoint.reach("node.delete_tenant.released")
            self._back_up(tenant)
            failpoint.reach("node.delete_tenant.moved")
            (self.paths.tenants / f"{tenant.name}.json").unlink(missing_ok=True)
            del self.tenants[tombstone.name]
            self.disk.forget(tombstone.name)

    def _back_up(self, tenant: Tenant) -> None:
        """Out of reach of whoever gets the name next."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = f"{tenant.name}-{tenant.record.number}-{stamp}"
        for directory, target in ((tenant.home, name), (tenant.log_directory, f"{name}-logs")):
            if directory.exists():
                set_aside(directory, self.paths.backups / target)

    def user(self, name: str) -> Tenant:
        """Raises UnknownTenant, also for the platform's own."""
        tenant = self.tenants.get(name)
        if tenant is None or tenant.is_leaving or name == SYSTEM_TENANT:
            raise UnknownTenant
        return tenant

    def tenant_reports(self) -> tuple[TenantReport, ...]:
        return tuple(
            TenantReport(name=each.name, uid=each.uid, home=str(each.home), disk=self.disk.find(each.name))
            for each in self.users()
        )

    def users(self) -> list[Tenant]:
        """All tenants but the panel's, by name."""
        return [tenant for name, tenant in sorted(self.tenants.items()) if name != SYSTEM_TENANT]

    def user_names(self) -> list[str]:
        return [tenant.name for tenant in self.users()]

    # -- websites

    async def put_website(
        self, domain: str, spec: WebsiteSpec, *, wait_s: float, is_asked_for: bool = True
    ) -> WebsiteReport:
        """Bring one website to `spec`; answers when that is done or has failed, or after `wait_s`.

        Raises StillEnding when a website of that domain was deleted and is not gone yet, and DiskLimitReached for a new
        website that a user asks for whose home is too full.
        """
        check_website(spec, domain=domain)
        self._check_names(domain, spec)
        tenant = self.tenants.get(spec.tenant)
        if tenant is None or tenant.is_leaving or spec.tenant == SYSTEM_TENANT:
            raise UnknownTenant
        website = self.websites.get(domain)
        if website is not None and website.is_deleted:
            await self._delete_website(website)
            website = self.websites.get(domain)
        if website is None:
            self._refuse_if_deleted(domain, spec.version)
            if is_asked_for:
                self.disk.check(tenant.name, tenant.record.limits.disk_bytes)
            phase = Phase.STARTING if spec.enabled else Phase.DONE
            record = WebsiteRecord(spec=spec, deploy=Deploy(version=spec.version, phase=phase))
            write_website(self.paths, record)
            failpoint.reach("node.put_website.written")
            website = Website(record, tenant, self._parts)
            ticket = self._restoration.claim(website)
            self.add_website(website)
        elif website.spec.tenant != spec.tenant:
            raise DomainTaken
        else:
            ticket = website.want(spec)
        self.disk.measure_soon(tenant.name)
        return await self._settled(website, ticket, wait_s=wait_s)

    def add_website(self, website: Website) -> None:
        """Take a website in and start its task."""
        self.websites[website.domain] = website
        self._tasks[website.domain] = asyncio.create_task(website.serve(), name=f"website {website.domain}")

    async def delete_website(self, domain: str, tombstone: Tombstone) -> None:
        """Take a website off the machine. Returns when no visitor gets it any more; its run may still finish."""
        website = self.websites.get(domain)
        if website is None:
            self._tombstones[domain] = max(tombstone.version, self._tombstones.get(domain, tombstone.version))
        elif website.spec.tenant != SYSTEM_TENANT and website.spec.version <= tombstone.version:
            self._tombstones[domain] = tombstone.version
            await self._delete_website(website)

    async def reload(self, domain: str, *, wait_s: float) -> WebsiteReport:
        """A new run of the same command. Raises WebsiteDisabled for one that is switched off."""
        website = self._website(domain)
        if website.is_deleted or website.spec.tenant == SYSTEM_TENANT:
            raise UnknownWebsite
        if website.tenant.is_suspended:
            raise AccountSuspended
        if not website.spec.enabled:
            raise WebsiteDisabled
        return await self._settled(website, website.reload(), wait_s=wait_s)

    # -- certificates of users' own domains

    def has_domain(self, domain: str, tenant: str) -> bool:
        """Whether a website of `tenant` has `domain`."""
        website = self.websites.get(self._parts.names.get(domain, domain))
        return (
            website is not None
            and website.spec.tenant == tenant != SYSTEM_TENANT
            and not website.is_deleted
            and domain in website.names
        )

    def _check_names(self, domain: str, spec: WebsiteSpec) -> None:
        """Raises DomainTaken, or StillEnding where the website that had a name leaves it just now."""
        for name in (domain, *(further.name for further in spec.domains)):
            owner = self.websites.get(self._parts.names.get(name, domain))
            if name == self.config.panel_host:
                raise DomainTaken
            if owner is not None and owner.domain != domain:
                raise DomainTaken if name in owner.names and not owner.is_deleted else StillEnding

    @staticmethod
    async def _settled(website: Website, ticket: int, *, wait_s: float) -> WebsiteReport:
        """Raises UnknownWebsite where somebody deleted it meanwhile: nobody shall take it for done."""
        report = await website.settle(ticket, wait_s=wait_s)
        if website.is_deleted:
            raise UnknownWebsite("The website was deleted meanwhile.")
        return report

    def wake(self, domain: str) -> None:
        """A visitor waits at the edge. Unknown names are nothing: the edge will find out itself."""
        website = self.websites.get(domain)
        if website is not None:
            website.wake()

    async def note_refused_file(self, domain: str, file: str) -> None:
        """The edge could not read `file`, which a static mapping leads to: tell its owner why, in the error log.

        Whatever else the edge names is nothing.
        """
        website = self.websites.get(domain)
        parts = Path(file).parts
        if website is None or "\0" in file or ".." in parts or website.spec.tenant == SYSTEM_TENANT:
            return
        home = website.tenant.home
        if parts[: len(home.parts)] == home.parts:
            below, shown = parts[len(home.parts) :], f"/home/{website.tenant.name}"
            line = await asyncio.to_thread(explain_refusal, home, below, shown=shown)
            if line is not None:
                website.say(line)

    def report(self, domain: str) -> WebsiteReport:
        return self._website(domain).report()

    def reports(self, tenant: str | None, *, only: Collection[str] = ()) -> tuple[WebsiteReport, ...]:
        """Of one tenant's websites, or of all but the panel's; of those in `only` alone, if it names any."""
        named = [domain for domain in only if domain in self.websites] if only else sorted(self.websites)
        wanted = [self.websites[domain] for domain in named if self.websites[domain].spec.tenant != SYSTEM_TENANT]
        return tuple(site.report() for site in wanted if tenant in (None, site.spec.tenant))

    @property
    def panel(self) -> Website:
        return self.websites[self.config.panel_host]

    # -- commands of root's command line

    async def prepare_command(self, name: str, request: ExecRequest) -> ExecPlan:
        """See `Commands.prepare`. Raises UnknownTenant."""
        tenant = self.tenants.get(name)
        if tenant is None or tenant.is_leaving:
            raise UnknownTenant(f"There is no user {name!r}; `hostel user list` shows who there is.")
        return await self.commands.prepare(tenant, request)

    @property
    def awake(self) -> dict[str, Sandbox]:
        """The runs that serve and are not frozen, by domain."""
        sites = self.websites.items()
        return {domain: site.serving for domain, site in sites if site.serving is not None and not site.is_frozen}

    async def tend_runs(self) -> None:
        """Renew websites that choke on their own ended processes, and let their error logs say what the kernel did to
        them at a limit, for ever.
        """
        turns = Turns(TENDED_MOST)
        while True:
            awake = self.awake
            for domain in turns.take(awake):
                if domain in self.websites:
                    self.websites[domain].renew_if_clogged()
                awake[domain].note_limits()
                await asyncio.sleep(0)
            await asyncio.sleep(TEND_EVERY_S)

    # -- gates

    @property
    def hibernation(self) -> Hibernation:
        return self._parts.hibernation

    @property
    def gates(self) -> Gates:
        return self._parts.gates

    def retry_refused(self) -> None:
        """All gates are open again: what was refused because one was closed is started now."""
        for website in self.websites.values():
            website.retry_refused()

    # -- wanted state, pulled

    def newest_version(self) -> Version:
        """The newest version seen of anything: a panel that knows only older ones was restored from a copy."""
        tenants = (tenant.record.version for tenant in self.tenants.values())
        websites = (website.spec.version for website in self.websites.values())
        return max(self.pulled, *self._tombstones.values(), *tenants, *websites)

    def unknown_to_panel(self) -> tuple[list[Tenant], list[Website]]:
        """What runs here and is not in the panel's database: a restored one begins an epoch, and repeats all it knows.

        Websites of unknown tenants are not named apart.
        """
        epoch = self.pulled.epoch
        tenants = [tenant for tenant in self.users() if tenant.record.version.epoch < epoch]
        sites = [site for _, site in sorted(self.websites.items()) if site.spec.tenant != SYSTEM_TENANT]
        known = [site for site in sites if site.tenant not in tenants]
        return tenants, [site for site in known if site.spec.version.epoch < epoch]

    async def apply(self, wanted: Wanted) -> bool:
        """Bring everything in `wanted` about; one website's trouble does not keep the others from it.

        Returns whether all of it was taken over; if not, the same is to be pulled again.
        """
        # Deletions first: a user who was removed and added again while the agent was away is another user.
        done = [await _tolerate(self.delete_website(each.name, each), website=each.name)
                for each in wanted.deleted_websites]  # fmt: skip
        done += [await _tolerate(self.delete_tenant(each), tenant=each.name) for each in wanted.deleted_tenants]
        failpoint.reach("node.apply.deleted")
        done += [await _tolerate(self.put_tenant(each), tenant=each.name) for each in wanted.tenants]
        done += [await _tolerate(self._apply_website(each), website=each.domain_name) for each in wanted.websites]
        self.pulled = max(self.pulled, wanted.version)
        return all(done)

    async def _apply_website(self, spec: WebsiteSpec) -> None:
        with contextlib.suppress(StaleSpec):
            await self.put_website(canonical_domain(spec.domain_name), spec, wait_s=0, is_asked_for=False)

    def retry_limits(self) -> None:
        for tenant in self.tenants.values():
            tenant.retry_limits()

    async def ensure_rules(self) -> None:
        """The network rules, loaded again if something flushed them."""
        if not await asyncio.to_thread(network.has_rules, self.installation):
            await self.gates.try_all()

    async def _mend_rules(self) -> None:
        if not await asyncio.to_thread(network.has_rules, self.installation):
            log.error("the network rules were gone; they are loaded again")
            await self.load_rules()

    async def load_rules(self) -> None:
        numbers = {tenant.record.number: tenant.record.limits.connections for tenant in self.tenants.values()}
        try:
            await asyncio.to_thread(network.ensure_rules, self.installation, self.config, connections=numbers)
        except (OSError, subprocess.SubprocessError, SandboxFault) as error:  # its gate closes, and tries it again
            log.error("the network rules could not be loaded", error=str(error))

    # -- the end

    async def halt(self) -> None:
        """End every sandbox: TERM to all, KILL after a grace. Records stay: the next agent has the websites asleep."""
        tasks = [*self._restoration.tasks, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.metrics.close()
        for tenant in self.tenants.values():
            tenant.close()
        await end_everything(self.paths, self.installation)

    # -- private

    def _website(self, domain: str) -> Website:
        try:
            return self.websites[domain]
        except KeyError:
            raise UnknownWebsite from None

    async def _delete_website(self, website: Website) -> None:
        """Raises StillEnding when a deed under way (a hung nginx, say) does not let go; it is gone later then."""
        domain, task = website.domain, self._tasks.get(website.domain)
        website.delete()
        if task is not None:
            await asyncio.wait({task}, timeout=DELETE_DEADLINE_S)
            if not task.done():
                raise StillEnding
        if self.websites.get(domain) is website:
            del self.websites[domain]
            self._tasks.pop(domain, None)
            self.metrics.forget(domain)

    def _refuse_if_deleted(self, name: str, version: Version) -> None:
        """What was deleted is not made again by a message that was sent before the deletion."""
        deleted = self._tombstones.get(name)
        if deleted is not None and version <= deleted:
            raise StaleSpec


async def _tolerate(deed: Awaitable[object], **about: str) -> bool:
    """Do `deed`; whatever goes wrong is logged. Returns whether nothing did."""
    try:
        await deed
    except HostelError as error:
        log.warning("wanted state could not be applied", error=str(error), code=error.code, **about)
        return not error.is_retryable and error.status < 500
    except Exception:
        log.exception("fault while wanted state was applied", **about)
        return False
    return True
