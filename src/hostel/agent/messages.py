"""What is checked of wanted state before any of it is believed, from the message alone.

The panel's own checks are stricter; what comes here may come from a panel that somebody has taken over.
"""

from dataclasses import fields

from hostel.wire.environment import check_environment
from hostel.wire.errors import MalformedMessage
from hostel.wire.http_users import check_http_users
from hostel.wire.names import canonical_domain, check_command, check_username, check_working_directory
from hostel.wire.static_files import check_mappings
from hostel.wire.website import MAX_BODY_MB, Limits, TenantSpec, WebsiteSpec

LIMIT_CEILING = 1 << 50
CONNECTIONS_CEILING = 60_000  # a tenant has one address
TIME_CEILING_S = 86_400


def check_tenant(spec: TenantSpec) -> None:
    check_username(spec.name)
    _check_limits(spec.limits)
    if spec.limits.connections > CONNECTIONS_CEILING:
        raise MalformedMessage(f"limits.connections: expected 1 to {CONNECTIONS_CEILING}")


def check_website(spec: WebsiteSpec, *, domain: str) -> None:
    """`domain`: to which it was sent."""
    if spec.domain_name.lower() != domain or canonical_domain(domain) != domain:
        raise MalformedMessage("domain_name: does not belong to this address")
    check_command(spec.command)
    check_environment(spec.environment)
    _check_further_domains(spec, domain)
    check_working_directory(spec.working_directory, username=spec.tenant)
    check_http_users(spec.http_users)
    check_mappings(spec.static_files, username=spec.tenant)
    _check_limits(spec.limits)
    _check_times(spec)


def _check_further_domains(spec: WebsiteSpec, domain: str) -> None:
    targets = ("", domain, *(further.name for further in spec.domains))
    for further in spec.domains:
        if canonical_domain(further.name) != further.name or further.redirect_to not in targets:
            raise MalformedMessage("domains: expected canonical names, which redirect to one of the same website")


def _check_limits(limits: Limits) -> None:
    for field in fields(limits):
        if not 0 < getattr(limits, field.name) < LIMIT_CEILING:
            raise MalformedMessage(f"limits.{field.name}: expected more than 0, and a number that a machine can have")


def _check_times(spec: WebsiteSpec) -> None:
    for field in fields(spec):
        if field.name.endswith("_s") and not 0 <= getattr(spec, field.name) <= TIME_CEILING_S:
            raise MalformedMessage(f"{field.name}: expected 0 to {TIME_CEILING_S} seconds")
    if not spec.sleep_after_s:
        raise MalformedMessage(f"sleep_after_s: expected 1 to {TIME_CEILING_S} seconds")
    if not 1 <= spec.max_body_mb <= MAX_BODY_MB:
        raise MalformedMessage(f"max_body_mb: expected 1 to {MAX_BODY_MB}")
