"""What the panel wants of a website or a tenant, and what the agent reports back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from hostel.wire.errors import Reason
from hostel.wire.static_files import StaticMapping

RunId = NewType("RunId", str)  # one start of a command; made by the agent, never reused

MIB = 1 << 20
SLEEP_AFTER_S, SLEEP_CEILING_S = 900, 86_400
MAX_BODY_MB = 100  # of any website: client_max_body_size in nginx.conf


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Version:
    """Which wanted state this is: the panel's revision within its database's epoch, compared in this order."""

    epoch: int
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one sandbox may use (of a tenant: all its sandboxes together)."""

    memory_bytes: int = 512 * MIB
    pids: int = 256
    cpu: float = 1.0  # cores


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits(Limits):
    """What all sandboxes of one tenant may use together, and how much else the tenant may have on this machine."""

    memory_bytes: int = 2048 * MIB
    pids: int = 1024
    cpu: float = 2.0
    connections: int = 512  # open at once, outward and to the edge
    consoles: int = 10  # running commands of root's command line are consoles too
    disk_bytes: int = 5120 * MIB  # of the home


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How much of one website's traffic may be under way at once; what is beyond it is refused."""

    requests: int = 256  # that the website has and has not answered
    held: int = 100  # that wait until it can take them
    websockets: int = 2048  # and event streams


class Listens(StrEnum):
    SOCKET = "socket"  # on the unix socket $DOMAIN_SOCKET
    PORT = "port"  # on 127.0.0.1, TCP port $PORT, which each run has anew


class ReloadStrategy(StrEnum):
    OVERLAP = "overlap"  # start the new run beside the old one, switch, drain
    REPLACE = "replace"  # hold requests, stop the old run, start the new one: for bots and single writers


class Sleep(StrEnum):
    """What becomes of a website that nobody visits; in this order, each saves more than the one before."""

    OFF = "off"  # it stays awake
    HIBERNATE = "hibernate"  # frozen, its memory in the machine's swap; it wakes as it was
    STOP = "stop"  # ended; the next visitor starts it


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSpec:
    """A further name of a website: an alias, or one whose visitors are sent on to another name of it."""

    name: str  # canonical
    redirect_to: str = ""  # canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class WebsiteSpec:
    """Panel → agent, `PUT /websites/<canonical domain>`: the wanted state of one website. Idempotent by version."""

    domain_name: str  # as the user typed it; names the log files
    tenant: str
    version: Version
    enabled: bool
    command: str
    working_directory: str = ""  # "" is the home
    listens_on: Listens = Listens.SOCKET
    reload_strategy: ReloadStrategy = ReloadStrategy.OVERLAP
    environment: Mapping[str, str] = field(default_factory=dict)  # of the next run; see wire/environment.py
    static_files: tuple[StaticMapping, ...] = ()  # paths as the tenant sees them
    http_users: Mapping[str, str] = field(default_factory=dict)  # hashes; {}: no password. See wire/http_users.py
    expose_token: bool = False  # API_TOKEN in the site's environment
    start_deadline_s: float = 60.0
    drain_s: float = 30.0  # how long plain requests of the old run may still take after a switch
    websocket_drain_s: float = 30.0  # the same for WebSockets and event streams
    grace_s: float = 10.0  # between TERM and KILL
    ws_spread_s: float = 10.0  # WebSockets that a switch closed come back spread over this time
    read_timeout_s: int = 300
    websocket_timeout_s: int = 3600
    buffer_requests: bool = True  # receive all of a body before it is sent on
    buffer_responses: bool = False  # take an answer as fast as it comes, whatever the visitor's speed
    max_body_mb: int = MAX_BODY_MB
    always_on: bool = False  # started after a reboot without waiting for a visitor
    sleep: Sleep = Sleep.OFF
    sleep_after_s: int = SLEEP_AFTER_S  # without a request, a WebSocket, or use of the processor
    monitors_wake: bool = False  # else services that look whether it is up do not keep it awake, nor wake it
    domains: tuple[DomainSpec, ...] = ()  # beside `domain_name`, which they may redirect to
    force_https: bool = False
    hsts_s: int = 0  # how long browsers shall speak HTTPS only; 0 says nothing to them
    limits: Limits = Limits()
    traffic: Traffic = Traffic()


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSpec:
    """Panel → agent, `PUT /tenants/<name>`. The agent alone chooses uid, home, cgroup and network."""

    name: str
    version: Version
    limits: TenantLimits = TenantLimits()
    suspended: bool = False  # nothing of the tenant's runs, visitors are told so; all data stays
    api_token: str | None = None  # given once, when a token was made; "" forgets it; None leaves it as it is


class State(StrEnum):
    """What a visitor meets."""

    ASLEEP = "asleep"
    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    FAILED = "failed"
    DISABLED = "disabled"
    SUSPENDED = "suspended"  # with its user, by the operator


class Phase(StrEnum):
    """How far the last change has got."""

    STARTING = "starting"
    DRAINING = "draining"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a run is not serving, in a code for programs and words for its owner."""

    reason: Reason
    detail: str  # one sentence: what happened and what to do about it
    stderr: tuple[str, ...] = ()  # the last lines the command wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    version: Version
    phase: Phase
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebsiteReport:
    """Agent → panel and command line: how one website is."""

    domain_name: str
    tenant: str
    state: State
    deploy: Deploy
    run: RunId | None = None  # asleep with one: it hibernates
    since: str | None = None  # when `state` was entered; ISO 8601, UTC
    restarts: int = 0  # crashes in a row
    failure: Failure | None = None  # the last crash, while backing off or failed
    sleep_failure: Failure | None = None  # why it does not sleep although it should


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """Panel → agent: this website or tenant was deleted in `version`. Nothing is ever deleted without one."""

    name: str
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Panel → agent, in answer to the agent's pull: all wanted state newer than the version it named.

    `version` says how far this answer reaches; the agent asks from there the next time. With each pull, and before each
    run of the panel, the agent also says the newest version that it has seen: a panel whose own is older was restored
    from a copy, and begins a new epoch.
    """

    version: Version
    tenants: tuple[TenantSpec, ...] = ()
    websites: tuple[WebsiteSpec, ...] = ()
    deleted_tenants: tuple[Tombstone, ...] = ()
    deleted_websites: tuple[Tombstone, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRequest:
    """Root's command line → agent, `POST /tenants/<name>/exec`: prepare a sandbox for one command.

    `name` may be the system tenant: then the sandbox is the panel's.
    """

    argv: tuple[str, ...]
    terminal: bool = False  # put a pseudo-terminal between the command and the sandbox's stdio


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecPlan:
    """Agent → command line: run `argv` as root with pipes for stdio, then `DELETE /runs/<run>`.

    The command line starts runc itself, so exit code and signals need no relay through the agent. With a terminal,
    descriptor 3 takes the window size as `rows columns` lines.
    """

    run: RunId
    argv: tuple[str, ...]
    notice: str = ""  # for the person at the terminal
