"""`Authorization: Token <40 hex>`. Nothing else is looked at: no cookie ever authenticates an API call."""

from typing import TYPE_CHECKING

from rest_framework import authentication, exceptions

from hostel.panel.accounts.models import SUSPENDED, ApiToken, User
from hostel.wire.errors import AccountSuspended

if TYPE_CHECKING:
    from rest_framework.request import Request


class TokenAuthentication(authentication.TokenAuthentication):
    """DRF's header and words, over tokens that are stored as digests."""

    def authenticate_credentials(self, key: str) -> tuple[User, ApiToken]:
        token = ApiToken.objects.find(key)
        if token is None:
            raise exceptions.AuthenticationFailed("Invalid token.", code="invalid_token")
        if not token.user.is_active:
            raise exceptions.AuthenticationFailed(SUSPENDED, code=AccountSuspended.code)
        return token.user, token


def user_of(request: "Request") -> User:
    """Who calls. Views ask after their permission classes have run, so it is somebody."""
    if not isinstance(request.user, User):
        raise exceptions.NotAuthenticated
    return request.user
