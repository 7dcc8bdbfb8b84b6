"""What the agent tells about itself, its tenants and what websites do."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hostel.wire.certificate import DomainCertificate
from hostel.wire.console import ConsoleReport
from hostel.wire.website import Failure, RunId, State, WebsiteReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Agent → command line, `GET /health`."""

    panel: State
    installation: str  # 8 hex digits; part of every name that the kernel sees
    foundation: str = ""  # `Config.foundation` of the configuration in force


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsage:
    """What a home held when it was last measured."""

    used_bytes: int
    files: int  # directories and links among them
    is_complete: bool = True  # False: at least so much


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantReport:
    name: str
    uid: int
    home: str
    disk: DiskUsage | None = None  # None: not measured yet


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantUsage:
    """Counters of one tenant. `cpu_s` and `requests` only grow, or begin anew: differences are what they tell."""

    name: str
    is_suspended: bool
    websites: int
    running: int  # websites that have a run
    cpu_s: float
    memory_bytes: int  # without what the kernel can drop at once
    processes: int
    requests: int
    disk: DiskUsage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantUsages:
    """Agent → command line, `GET /usage`."""

    at_s: float  # of a clock that only differences of mean something
    tenants: tuple[TenantUsage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUsage:
    """Of the run that serves."""

    memory_bytes: int  # without what the kernel can drop at once
    memory_limit_bytes: int
    processes: int
    cpu_percent: float | None  # of one core, over the last minute; None: it has just begun


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """What the edge has of one website now."""

    requests: int
    websockets: int  # and event streams
    held: int  # requests that wait for the website


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """What the edge has of one website at runs that get no new requests."""

    requests: int
    websockets: int  # and event streams


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFailure:
    at: str  # ISO 8601, UTC
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class WebsiteStatus:
    """Agent → panel and command line, `GET /websites/<domain>/status`: how one website is, and what it does."""

    report: WebsiteReport
    usage: RunUsage | None = None  # None: nothing runs
    requests_per_minute: float | None = None  # None: nothing runs, it has just begun, or the edge does not answer
    in_flight: InFlight | None = None  # None: the edge does not answer
    last_failure: PastFailure | None = None
    starting: RunId | None = None  # its command was started, and it does not accept yet
    draining: Draining | None = None  # None: no run is being drained, or the edge does not answer


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantReports:
    """Agent → panel and command line, `GET /tenants`."""

    tenants: tuple[TenantReport, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebsiteReports:
    """Agent → panel and command line, `GET /websites?tenant=`."""

    websites: tuple[WebsiteReport, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Edge → agent → panel, `GET /explained/<error id>`: what the edge answered to one request instead of a website."""

    website: str  # canonical domain
    code: str  # docs/reference/errors.md
    at_s: int  # since 1970
    method: str
    path: str  # without the query; a visitor's words


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantOverview:
    """Agent → panel, `GET /tenants/<name>/overview?domain=`: a user's websites at a glance, and what they use."""

    states: Mapping[str, int]  # by State: how many websites there are in it
    troubled: tuple[WebsiteReport, ...] = ()  # some that do not serve, or whose last change failed
    websites: tuple[WebsiteReport, ...] = ()  # those that were asked for by their domain
    memory_bytes: int  # of all sandboxes, without what the kernel can drop at once
    cpu_percent: float | None  # of one core, since it was asked the last time; None: that was too long ago
    disk: DiskUsage | None = None
    certificates: tuple[DomainCertificate, ...] = ()
    consoles: tuple[ConsoleReport, ...] = ()


class Proof(StrEnum):
    """Which record shows that a domain is its user's."""

    CNAME = "cname"
    TXT = "txt"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRequest:
    """Panel → agent, `POST /proof`: what would show it."""

    domain: str
    cname: str
    txt_name: str
    txt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofReport:
    """What the DNS says."""

    proof: Proof = Proof.NONE
    cname: tuple[str, ...] = ()  # where it leads, one after another
    txt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCheck:
    """One thing the agent looked at; `hint` says what to do when it is not `ok`."""

    name: str
    ok: bool
    message: str
    hint: str = ""
    is_grave: bool = True  # False: not ok is a warning


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChecks:
    """Agent → command line, `GET /doctor`."""

    checks: tuple[AgentCheck, ...] = ()
