"""One class per rule."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from hostel.panel.accounts.models import NamedToken, Scope

if TYPE_CHECKING:  # the settings name this module, and DRF's views read the settings
    from rest_framework.views import APIView


class IsThatUser(BasePermission):
    """`/user/<name>/` is for <name> alone. Everybody else meets the same 403, whether <name> exists or not.

    The settings make it every view's rule; where no <name> stands in the address, somebody with a token will do.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return (
            request.user.is_authenticated
            and view.kwargs.get("username", request.user.username) == request.user.username
        )


class ScopeMissing(exceptions.PermissionDenied):
    default_code = "scope_missing"


def check_exposure(request: Request, wanted: Mapping[str, Any], *, is_exposed: bool = False) -> None:
    """Whoever may set a command could read the full token, if they could also put it into the command's environment."""
    if isinstance(request.auth, NamedToken) and wanted.get("expose_token") and not is_exposed:
        raise ScopeMissing("Only your account's full token may set `expose_token`: that hands out the full token.")


class HasScope(BasePermission):
    """A named token does what its scopes say. A view names them as `scopes`: one to read, one to change.

    What names none is for the account's full token alone.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        token = request.auth
        if not isinstance(token, NamedToken):
            return True
        scopes: tuple[Scope, Scope] | None = getattr(view, "scopes", None)
        has = ", ".join(f"`{scope}`" for scope in token.scopes)
        if scopes is None:
            raise ScopeMissing(f"Only your account's full token may do this; this one has {has}.")
        needed = scopes[0] if request.method in SAFE_METHODS else scopes[1]
        if not token.allows(needed):
            raise ScopeMissing(f"This token lacks the scope `{needed}`; it has {has}.")
        return True
