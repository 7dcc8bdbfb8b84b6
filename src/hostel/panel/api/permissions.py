"""One class per rule."""

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

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
