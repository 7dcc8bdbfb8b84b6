"""One class per rule."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView


class IsThatUser(BasePermission):
    """`/user/<name>/` is for <name> alone. Everybody else meets the same 403, whether <name> exists or not."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.is_authenticated and request.user.username == view.kwargs["username"]
