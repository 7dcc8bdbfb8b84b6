"""The deeds on a website: first the row, committed, then the agent. Each returns how the website is then.

A lost message to the agent is made good by its pull, so none of these fails because the agent is away. `wait_s` is how
long a change may take until it is answered; it goes on then.
"""

from collections.abc import Mapping
from typing import Any

import structlog

from hostel.panel import agent
from hostel.panel.accounts.models import User
from hostel.panel.domains.models import DomainExists
from hostel.panel.domains.proof import check_proof
from hostel.panel.websites.condition import Condition, condition_of, unreported
from hostel.panel.websites.models import StaticMapping, Variable, Website
from hostel.wire.errors import (
    DiskLimitReached,
    DomainTaken,
    HostelError,
    StaleSpec,
    UnknownTenant,
    UnknownWebsite,
    WebsiteDisabled,
)
from hostel.wire.names import canonical_domain
from hostel.wire.report import WebsiteStatus
from hostel.wire.website import WebsiteReport

log = structlog.get_logger(__name__)

_NAMED_MOST = 100  # websites that the agent is asked for by name; an address has an end


def create(
    *, owner: User, domain_name: str, wanted: Mapping[str, Any], wait_s: int = agent.WAIT_S
) -> tuple[Website, Condition]:
    """Raises DomainUnproven, and DomainExists also where only the agent knows of that website: after a restore."""
    check_proof(canonical_domain(domain_name), owner=owner)
    website = Website.objects.add(owner=owner, domain_name=domain_name, wanted=wanted)
    log.info("website created", website=website.canonical_name, revision=website.revision)
    try:
        return website, bring(website, wait_s=wait_s)
    except DomainTaken as error:
        website.withdraw()
        raise DomainExists from error
    except DiskLimitReached:
        website.withdraw()
        raise


def change(website: Website, wanted: Mapping[str, Any], *, wait_s: int = agent.WAIT_S) -> Condition:
    """Where nothing differs nothing is started, and the answer is how the website is.

    Raises DoesNotExist where the website was deleted before the change was done.
    """
    if not website.change(wanted):
        return look_at(website)
    log.info("website changed", website=website.canonical_name, revision=website.revision)
    return bring(website, wait_s=wait_s)


def set_variables(
    website: Website, values: Mapping[str, str], *, is_secret: bool | None = None, wait_s: int = agent.WAIT_S
) -> None:
    """With `is_secret` None each stays as secret as it was. Raises as `change_environment` does."""
    known = website.variables
    changes = {
        name: Variable(value, known[name].is_secret if is_secret is None and name in known else bool(is_secret))
        for name, value in values.items()
    }
    change_environment(website, changes, wait_s=wait_s)


def change_environment(website: Website, changes: Mapping[str, Variable | None], *, wait_s: int = agent.WAIT_S) -> None:
    """Variables for the next run: what serves goes on with those it has. Raises InvalidVariable or DoesNotExist."""
    if website.change_environment(changes):
        names = ", ".join(sorted(changes))
        log.info("environment changed", website=website.canonical_name, revision=website.revision, names=names)
        bring(website, wait_s=wait_s)


def change_http_users(website: Website, changes: Mapping[str, str | None], *, wait_s: int = agent.WAIT_S) -> None:
    """Who may visit from now on. Raises InvalidHttpUser or DoesNotExist."""
    website.change_http_users(changes)
    log.info("http users changed", website=website.canonical_name, revision=website.revision)
    bring(website, wait_s=wait_s)


def add_mapping(website: Website, *, url: str, path: str, wait_s: int = agent.WAIT_S) -> StaticMapping:
    """A static mapping, in force when this returns. Raises InvalidMapping or DoesNotExist."""
    mapping = website.add_mapping(url=url, path=path)
    log.info("static mapping added", website=website.canonical_name, revision=website.revision)
    bring(website, wait_s=wait_s)
    return mapping


def change_mapping(
    website: Website, mapping: StaticMapping, wanted: Mapping[str, str], *, wait_s: int = agent.WAIT_S
) -> None:
    """Raises DoesNotExist."""
    if website.change_mapping(mapping, wanted):
        log.info("static mapping changed", website=website.canonical_name, revision=website.revision)
        bring(website, wait_s=wait_s)


def remove_mapping(website: Website, mapping: StaticMapping, *, wait_s: int = agent.WAIT_S) -> None:
    website.remove_mapping(mapping)
    log.info("static mapping removed", website=website.canonical_name, revision=website.revision)
    bring(website, wait_s=wait_s)


def bring(website: Website, *, wait_s: int = agent.WAIT_S) -> Condition:
    """Tell the agent of a change of the website, or of what belongs to it, which is committed. Raises DoesNotExist."""
    try:
        return condition_of(website, _put(website, wait_s=wait_s))
    except (UnknownWebsite, StaleSpec) as error:  # the agent has seen its tombstone
        raise Website.DoesNotExist from error
    except (DomainTaken, DiskLimitReached):
        raise
    except HostelError as error:
        return _note(website, error)


def delete(website: Website) -> None:
    tombstone = website.remove()
    log.info("website deleted", website=tombstone.name, revision=tombstone.version.revision)
    try:
        agent.delete_website(tombstone)
    except HostelError as error:
        log.warning("agent not told of deletion", website=tombstone.name, code=error.code)


def reload(website: Website, *, wait_s: int = agent.WAIT_S) -> Condition:
    """Start the command anew. Raises the agent's error: unlike a change, a reload leaves nothing to catch up on.

    Raises DoesNotExist where the website was deleted before the new run served.
    """
    if not website.enabled:
        raise WebsiteDisabled
    website.note_reload()
    try:
        report = agent.reload_website(website.canonical_name, wait_s=wait_s)
    except (UnknownWebsite, WebsiteDisabled):
        # Deleted or disabled meanwhile; or created or enabled while the agent was away, which has not pulled it yet.
        website.refresh_from_db()
        if not website.enabled:
            raise
        report = _put(website, wait_s=wait_s)
    return condition_of(website, report)


def look_at(website: Website) -> Condition:
    try:
        return condition_of(website, agent.find_website(website.canonical_name))
    except HostelError as error:
        return _note(website, error)


def look_closely(website: Website) -> tuple[Condition, WebsiteStatus | None]:
    """Also at what it does. None: the agent does not say."""
    try:
        status = agent.find_status(website.canonical_name)
    except HostelError as error:
        return _note(website, error), None
    return condition_of(website, status.report if status else None), status


def look_at_all(owner: User, websites: list[Website]) -> list[tuple[Website, Condition]]:
    """All of them with one question to the agent."""
    if not websites:
        return []
    domains = [website.canonical_name for website in websites] if len(websites) <= _NAMED_MOST else []
    try:
        found = agent.list_websites(owner.username, domains=domains)
    except HostelError as error:
        log.warning("no reports from the agent", user=owner.username, code=error.code)
        return [(website, unreported(website, error)) for website in websites]
    reports = {canonical_domain(report.domain_name): report for report in found}
    return [(website, condition_of(website, reports.get(website.canonical_name))) for website in websites]


def _put(website: Website, *, wait_s: int) -> WebsiteReport:
    """Tell the agent; where it has never heard of the owner (it was away then), tell it that first."""
    spec = website.current_spec()
    try:
        return agent.put_website(website.canonical_name, spec, wait_s=wait_s)
    except UnknownTenant:
        agent.put_tenant(website.owner.current_spec())
        return agent.put_website(website.canonical_name, spec, wait_s=wait_s)


def _note(website: Website, error: HostelError) -> Condition:
    log.warning("no report from the agent", website=website.canonical_name, code=error.code)
    return unreported(website, error)
