"""What the agent tells root's command line about itself and its tenants."""

from dataclasses import dataclass

from hostel.wire.website import State, WebsiteReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Agent → command line, `GET /health`."""

    panel: State
    installation: str  # 8 hex digits; part of every name that the kernel sees


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantReport:
    name: str
    uid: int
    home: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantReports:
    """Agent → command line, `GET /tenants`."""

    tenants: tuple[TenantReport, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebsiteReports:
    """Agent → panel and command line, `GET /websites?tenant=`."""

    websites: tuple[WebsiteReport, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCheck:
    """One thing the agent looked at; `hint` says what to do when it is not `ok`."""

    name: str
    ok: bool
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChecks:
    """Agent → command line, `GET /doctor`."""

    checks: tuple[AgentCheck, ...] = ()
