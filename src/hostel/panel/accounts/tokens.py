"""Making and revoking API tokens: the row, then the agent, which sets API_TOKEN in the user's consoles."""

from dataclasses import dataclass

import structlog

from hostel.panel import agent
from hostel.panel.accounts.models import User
from hostel.wire.errors import HostelError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    text: str
    is_in_consoles: bool  # False: the agent did not answer, so consoles go without


def create_token(user: User) -> NewToken:
    """A new token in place of any old one, which is invalid from here on."""
    text = user.replace_token()
    try:
        agent.put_tenant(user.current_spec(api_token=text))
    except HostelError as error:
        log.warning("new token did not reach the agent", user=user.username, code=error.code)
        user.keep_token_from_consoles()
        return NewToken(text=text, is_in_consoles=False)
    log.info("token created", user=user.username)
    return NewToken(text=text, is_in_consoles=True)


def revoke_token(user: User) -> bool:
    """Make the token invalid at once. Returns False if there was none; the agent hears of it now or with its pull."""
    if not user.drop_token():
        return False
    try:
        agent.put_tenant(user.current_spec(api_token=""))
    except HostelError as error:
        log.warning("agent not told of revoked token", user=user.username, code=error.code)
    log.info("token revoked", user=user.username)
    return True
