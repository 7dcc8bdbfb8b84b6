"""A tenant on this machine: number, home, network, cgroup, socket directory, and what the agent must remember.

Allocates what the panel must not choose (uid, paths, addresses). Knows nothing of websites.
"""

import asyncio
import contextlib
import errno
import grp
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from hostel.agent import cgroup, network, sockets
from hostel.agent.installation import Installation
from hostel.agent.network import Namespace
from hostel.wire import failpoint
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import AccountSuspended, MalformedMessage, TooManyConsoles, UnknownTenant
from hostel.wire.files import write_atomically
from hostel.wire.names import SYSTEM_TENANT
from hostel.wire.paths import Paths
from hostel.wire.website import Limits, RunId, TenantLimits, TenantSpec, Version

log = structlog.get_logger()

_SIMULTANEOUS_STARTS = 2  # of one tenant: the machine's places are for everybody

_BASHRC = "# Yours to change: read by every bash of yours, after the machine's own settings.\n"
_PROFILE = "source ~/.bashrc\n"
_README = """\
This is your home. Files here are yours alone, and your websites and consoles see them.

A website is one command that listens on the unix socket named in $DOMAIN_SOCKET.
Its logs are in /var/log.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRecord:
    """`tenants/<name>.json`: durable, 0600 because of the token."""

    name: str
    number: int
    version: Version
    limits: TenantLimits
    suspended: bool = False
    api_token: str = ""


def edge_gid() -> int:
    """The group of nginx's workers on Debian."""
    return grp.getgrnam("www-data").gr_gid


class Tenant:
    """One tenant, ready to run sandboxes after `ensure`."""

    def __init__(self, record: TenantRecord, paths: Paths, installation: Installation, home: Path) -> None:
        self.record = record
        self.home = home
        self._paths = paths
        self._installation = installation
        self._namespace: Namespace | None = None
        self.start_slots = asyncio.Semaphore(_SIMULTANEOUS_STARTS)
        self.is_leaving = False
        self.open_consoles: set[RunId] = set()
        self._surge_bytes = 0
        self._are_limits_due = False
        self._ensuring = asyncio.Lock()
        self._is_edge_let_in = False

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def is_suspended(self) -> bool:
        return self.record.suspended

    @property
    def uid(self) -> int:
        return self._installation.uid(self.record.number)

    @property
    def address(self) -> str:
        return self._installation.address(self.record.number)

    @property
    def cgroup(self) -> str:
        return self._installation.cgroup_of(self.record.number)

    @property
    def socket_directory(self) -> Path:
        return self._paths.sockets / str(self.record.number)

    @property
    def log_directory(self) -> Path:
        return self._paths.site_logs / self.record.name

    @property
    def account_directory(self) -> Path:
        return account_directory(self._paths, self.record.number)

    def check_may_run(self) -> None:
        """Raises AccountSuspended, or UnknownTenant while it is being removed."""
        if self.is_suspended:
            raise AccountSuspended(f"The account {self.name} is suspended; `hostel user resume {self.name}` ends that.")
        if self.is_leaving:
            raise UnknownTenant(f"The user {self.name!r} is being removed.")

    def check_consoles(self) -> None:
        """Raises TooManyConsoles. The panel's own commands are nobody's consoles."""
        limit, name = self.record.limits.consoles, self.name
        if name != SYSTEM_TENANT and len(self.open_consoles) >= limit:
            raise TooManyConsoles(
                f"{name} may have {limit} consoles open (limit `consoles`). Close one, or let the operator raise it: "
                f"`hostel user limits {name} consoles=...`"
            )

    @property
    def is_ready(self) -> bool:
        """Whether anything of it can have run since the agent started."""
        return self._namespace is not None

    @property
    def network_path(self) -> str:
        if self._namespace is None:
            raise RuntimeError(f"tenant {self.name} has no network yet")
        return self._namespace.path

    async def ensure(self, *, member_pids: Sequence[int] = ()) -> None:
        """Make everything that a sandbox of this tenant needs, once a start of the agent.

        `member_pids` are processes of the tenant's that already run, in whose network the others shall be.
        """
        async with self._ensuring:
            if self._namespace is None:
                await asyncio.to_thread(self._ensure, member_pids)

    async def let_edge_in(self) -> None:
        """Before a run that listens on a port. Once a start of the agent; after `ensure`."""
        async with self._ensuring:
            if self._namespace is not None and not self._is_edge_let_in:
                await asyncio.to_thread(network.let_edge_in, self._installation, self.record.number, self._namespace)
                self._is_edge_let_in = True

    def _ensure(self, member_pids: Sequence[int]) -> None:
        self._apply_limits()
        failpoint.reach("tenant.ensure.cgroup")
        sockets.ensure_tenant_directory(self.socket_directory)
        _ensure_directory(self.log_directory, mode=0o775, owner=(0, edge_gid()))
        if self.name == SYSTEM_TENANT:
            _ensure_directory(self.home, mode=0o700, owner=(self.uid, self.uid))
        else:
            ensure_home(self.home, uid=self.uid)
        failpoint.reach("tenant.ensure.home")
        self._namespace = network.ensure_namespace(self._installation, self.record.number, member_pids=member_pids)

    def update(self, spec: TenantSpec) -> None:
        """Take over a newer wanted state, durably, and apply its limits, but for that of connections: see `network`."""
        token = self.record.api_token if spec.api_token is None else spec.api_token
        record = replace(
            self.record, version=spec.version, limits=spec.limits, suspended=spec.suspended, api_token=token
        )
        write_record(self._paths, record)
        self.record = record
        self._apply_limits()

    def add_surge(self, limits: Limits) -> None:
        """Let a run exist beside the one that visitors get without the tenant's limit ending either."""
        self._change_surge(limits.memory_bytes)

    def end_surge(self, limits: Limits) -> None:
        self._change_surge(-limits.memory_bytes)

    @contextlib.contextmanager
    def surge(self, limits: Limits) -> Iterator[None]:
        self.add_surge(limits)
        try:
            yield
        finally:
            self.end_surge(limits)

    def _change_surge(self, memory_bytes: int) -> None:
        self._surge_bytes += memory_bytes
        if self.is_ready:  # else `ensure` does it, or nothing is left of the cgroup, and it must not be made again
            self._apply_limits()

    def _apply_limits(self) -> None:
        limits = self.record.limits
        # Each run that drains brings room of its own, but whoever keeps requests open and reloads again and again gets
        # no more than twice what the plan gives.
        surge_bytes = min(self._surge_bytes, limits.memory_bytes)
        raised = replace(limits, memory_bytes=limits.memory_bytes + surge_bytes)
        if self.is_suspended:
            raised = replace(raised, pids=0)  # not a process more, whoever is just about to start one
        try:
            cgroup.ensure_tenant(self.cgroup, raised)
        except OSError as error:
            # Version 1 refuses a memory limit below what is in use (EBUSY): what is in force stays until
            # `retry_limits` succeeds. One tenant's limits must not keep the agent from starting.
            self._are_limits_due = True
            log.warning("limits of a tenant could not be set", tenant=self.name, error=str(error))
        else:
            self._are_limits_due = False

    def retry_limits(self) -> None:
        """Set limits that could not be set before."""
        if self._are_limits_due:
            self._apply_limits()

    def close(self) -> None:
        """Let go of the network namespace; it ends with its last member."""
        if self._namespace is not None:
            self._namespace.close()
            self._namespace, self._is_edge_let_in = None, False

    def release(self) -> None:
        """Give back what the kernel holds for this tenant. No sandbox of it may run any more. Idempotent."""
        self.close()
        release(self._paths, self._installation, self.record.number)


def release(paths: Paths, installation: Installation, number: int) -> None:
    """Of the tenant with this number, known or not."""
    network.remove_interface(installation, number)
    failpoint.reach("tenant.release.network")
    sockets.remove_tenant_directory(paths.sockets / str(number))
    failpoint.reach("tenant.release.sockets")
    cgroup.kill_trees([installation.cgroup_of(number)])
    shutil.rmtree(account_directory(paths, number), ignore_errors=True)


def account_directory(paths: Paths, number: int) -> Path:
    return paths.run / "accounts" / str(number)


def write_record(paths: Paths, record: TenantRecord) -> None:
    data = json.dumps(to_jsonable(record)).encode()
    write_atomically(paths.tenants / f"{record.name}.json", data, mode=0o600)


def read_record(file: Path) -> TenantRecord:
    """Raises OSError, ValueError or MalformedMessage on a torn or foreign file."""
    record = parse(TenantRecord, json.loads(file.read_bytes()))
    if record.name != file.stem:
        raise MalformedMessage(f"name: another one's, {record.name}")
    return record


def ensure_home(home: Path, *, uid: int) -> None:
    """The tenant's home, with first files in it. It is filled before the tenant can reach it, then renamed in place."""
    if home.exists():
        return
    new = home.with_name(f".{home.name}.{secrets.token_hex(4)}")
    new.mkdir(mode=0o700, parents=True)
    for name, text in ((".bashrc", _BASHRC), (".profile", _PROFILE), ("README.txt", _README)):
        (new / name).write_text(text)
        (new / name).chmod(0o644)
        os.chown(new / name, uid, uid)
    os.chown(new, uid, edge_gid())
    new.chmod(0o710)
    os.rename(new, home)


def set_aside(directory: Path, target: Path) -> Path:
    """Rename `directory` to `target`, so that nothing in it is followed or read; returns where it is then.

    Where that is another file system: into `.removed` beside it, which only root can enter and no user can be named.
    """
    try:
        os.rename(directory, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        aside = directory.with_name(".removed")
        aside.mkdir(mode=0o700, exist_ok=True)
        target = aside / target.name
        os.rename(directory, target)
    return target


def _ensure_directory(directory: Path, *, mode: int, owner: tuple[int, int]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    os.chown(directory, *owner)
    directory.chmod(mode)
