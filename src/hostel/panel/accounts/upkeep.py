"""Telling the agent what an operator has changed of an account; by the command line and by the operators' pages.

None of these fails because the agent is away: its pull makes good what was lost. They return the error to be told then.
Never inside a transaction.
"""

from collections.abc import Sequence

import structlog

from hostel.panel import agent
from hostel.panel.accounts.models import User
from hostel.wire.errors import HostelError
from hostel.wire.website import Tombstone

log = structlog.get_logger(__name__)


def tell_of_user(user: User) -> HostelError | None:
    """A new user, a suspension or its end."""
    try:
        agent.put_tenant(user.current_spec())
    except HostelError as error:
        return _note("user", user.username, error)
    return None


def tell_of_limits(user: User) -> HostelError | None:
    """The websites have limits of their own from the same plan."""
    try:
        agent.put_tenant(user.current_spec())
        for website in user.websites.all():
            agent.put_website(website.canonical_name, website.current_spec(), wait_s=0)
    except HostelError as error:
        return _note("limits", user.username, error)
    return None


def tell_of_removal(websites: Sequence[Tombstone], tenant: Tombstone) -> HostelError | None:
    try:
        for website in websites:
            agent.delete_website(website)
        agent.delete_tenant(tenant)
    except HostelError as error:
        return _note("removal", tenant.name, error)
    return None


def _note(what: str, name: str, error: HostelError) -> HostelError:
    log.warning("agent not told of a change", what=what, user=name, code=error.code)
    return error
