"""`Authorization: Token <40 hex>`. Nothing else is looked at: no cookie ever authenticates an API call."""

from typing import TYPE_CHECKING

from django.utils import timezone
from rest_framework import authentication, exceptions

from hostel.panel.accounts.models import SUSPENDED, ApiToken, NamedToken, User
from hostel.panel.accounts.uses import uses
from hostel.panel.audit.models import Actor, Via
from hostel.panel.ratelimit import address_of
from hostel.wire.errors import AccountSuspended

if TYPE_CHECKING:
    from rest_framework.request import Request


class TokenAuthentication(authentication.TokenAuthentication):
    """DRF's header and words, over tokens that are stored as digests."""

    def authenticate_credentials(self, key: str) -> tuple[User, ApiToken | NamedToken]:
        token = ApiToken.objects.find(key) or NamedToken.objects.find(key)
        if token is None:
            raise exceptions.AuthenticationFailed("Invalid token.", code="invalid_token")
        if not token.user.is_active:
            raise exceptions.AuthenticationFailed(SUSPENDED, code=AccountSuspended.code)
        if isinstance(token, NamedToken):
            _use(token)
        return token.user, token


def _use(token: NamedToken) -> None:
    now = timezone.now()
    if token.is_expired(now):
        sentence = f"The token {token.name!r} expired at {token.expires_at:%Y-%m-%dT%H:%M:%SZ}; make another one."
        raise exceptions.AuthenticationFailed(sentence, code="token_expired")
    uses.note(token.pk, now)


async def is_still_good(token: ApiToken | NamedToken) -> bool:
    """For a call that goes on for long: whether the token is neither revoked nor expired, its user not suspended."""
    if isinstance(token, NamedToken) and token.is_expired(timezone.now()):
        return False
    tokens = NamedToken.objects if isinstance(token, NamedToken) else ApiToken.objects
    return await tokens.filter(pk=token.pk, digest=token.digest, user__is_active=True).aexists()


def user_of(request: "Request") -> User:
    """Who calls. Views ask after their permission classes have run, so it is somebody."""
    if not isinstance(request.user, User):
        raise exceptions.NotAuthenticated
    return request.user


def token_of(request: "Request") -> ApiToken | NamedToken:
    """With which token."""
    if not isinstance(request.auth, ApiToken | NamedToken):
        raise exceptions.NotAuthenticated
    return request.auth


def actor_of(request: "Request") -> Actor:
    """Who calls, for the audit trail."""
    token = request.auth if isinstance(request.auth, NamedToken) else None
    return Actor(
        via=Via.API,
        name=user_of(request).username,
        token_id=token.pk if token else None,
        token_name=token.name if token else "",
        address=address_of(request._request),  # noqa: SLF001 - DRF's only way
    )
