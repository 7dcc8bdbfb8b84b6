"""The operators' pages: Django's admin, for users and their plans. For everybody else there is no such page.

Who is an operator, root says (`hostel user operator`); the pages themselves make nobody one.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from hostel.panel.audit.models import Actor, Via, act_as
from hostel.panel.middleware import STRICT_CONTENT
from hostel.panel.ratelimit import address_of

View = TypeVar("View", bound=Callable[..., Any])


class OperatorSite(AdminSite):
    site_header = site_title = "Hostel, for operators"
    index_title = "Users and their plans"
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        return request.user.is_active and request.user.is_superuser

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        """Each page of the site passes here. Django's own way would send strangers to a login, and so tell of it."""
        allowed = super().admin_view(view, cacheable)

        def for_operators(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not self.has_permission(request):
                raise Http404
            act_as(Actor(via=Via.PAGE, name=request.user.get_username(), address=address_of(request)))
            response: HttpResponse = allowed(request, *args, **kwargs)
            origin = f"https://{settings.SECURE_SSL_HOST}"
            scripts = f"{origin}{settings.STATIC_URL} {origin}{reverse('admin:jsi18n')}"
            response.headers.setdefault(
                "Content-Security-Policy", STRICT_CONTENT.format(script=scripts, style=f"{origin}{settings.STATIC_URL}")
            )
            return response

        return cast("View", for_operators)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        raise Http404  # everybody logs in at one place, where guesses are counted

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return redirect("account", username=request.user.get_username())
