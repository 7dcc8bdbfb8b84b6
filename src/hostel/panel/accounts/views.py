"""Logging in and out, and the Account page with its tabs. Server-rendered; works without JavaScript."""

from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import RedirectURLMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from hostel.panel.accounts.forms import LoginForm, NamedTokenForm
from hostel.panel.accounts.guessing import count_attempt, remember_device
from hostel.panel.accounts.logins import begin
from hostel.panel.accounts.models import User
from hostel.panel.accounts.pages import own_page
from hostel.panel.accounts.tokens import NewToken, create_token
from hostel.panel.accounts.tokens import revoke_token as revoke
from hostel.panel.accounts.uses import uses
from hostel.panel.ratelimit import address_key, retry_after

log = structlog.get_logger(__name__)


class _Next(RedirectURLMixin):
    """Django's rule for `?next=`: only to this host, else the first page."""

    next_page = settings.LOGIN_REDIRECT_URL

    def __init__(self, request: HttpRequest) -> None:
        self.request = request


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def log_in(request: HttpRequest) -> HttpResponse:
    """Wrong password and unknown user get the same words and take the same time; both count as attempts."""
    following = _Next(request)
    if request.user.is_authenticated:
        return redirect(following.get_success_url())
    page: dict[str, Any] = {"next": following.get_redirect_url()}
    if request.method != "POST":
        page["has_nobody"] = not User.objects.exists()
        return render(request, "accounts/login.html", {**page, "form": LoginForm(request)})
    wait_s = count_attempt(request, request.POST.get("username", ""))
    if wait_s:
        throttled = {**page, "form": LoginForm(request), "wait_s": retry_after(wait_s)}
        response = render(request, "accounts/login.html", throttled, status=429)
        response.headers["Retry-After"] = str(throttled["wait_s"])
        return response
    form = LoginForm(request, data=request.POST)
    if not form.is_valid():
        log.info("login refused", address=address_key(request))
        return render(request, "accounts/login.html", {**page, "form": form})
    begin(request, form.user)
    response = redirect(following.get_success_url())
    remember_device(response, form.user.username)
    return response


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("login")


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@own_page
def account(request: HttpRequest, user: User) -> HttpResponse:
    """The "Account" tab: change the password."""
    if request.method != "POST":
        page = {"form": PasswordChangeForm(user), "is_changed": "changed" in request.GET}
        return render(request, "accounts/account.html", page)
    form = PasswordChangeForm(user, request.POST)
    if not form.is_valid():
        return render(request, "accounts/account.html", {"form": form}, status=400)
    user.change_password(form.cleaned_data["new_password1"])
    update_session_auth_hash(request, user)  # other sessions end, this one goes on
    log.info("password changed", user=user.username)
    return redirect(request.path + "?changed")


@require_http_methods(["GET", "HEAD"])
@own_page
def api_token(request: HttpRequest, user: User) -> HttpResponse:
    return _api_token_page(request, user)


@require_http_methods(["GET", "HEAD", "POST"])
@own_page
def new_token(request: HttpRequest, user: User) -> HttpResponse:
    """Shows the token in the answer itself: to show it after a redirect, its text would have to be stored."""
    if request.method != "POST":
        return redirect("api_token", username=user.username)
    new = create_token(user)
    return _api_token_page(request, User.objects.get(pk=user.pk), new)


@require_POST
@own_page
def revoke_token(request: HttpRequest, user: User) -> HttpResponse:
    revoke(user)
    return redirect("api_token", username=user.username)


def _api_token_page(request: HttpRequest, user: User, new: NewToken | None = None) -> HttpResponse:
    return render(request, "accounts/api_token.html", token_page(user, new=new))


def token_page(user: User, **page: Any) -> dict[str, Any]:
    """What the "API token" tab shows; `page` what was just done there."""
    config, now = settings.HOSTEL_CONFIG, timezone.now()
    return {
        "token": user.token,
        "named_tokens": [
            {
                "token": token,
                "may": [dict(NamedTokenForm.SCOPES)[scope] for scope in token.scopes],
                "last_used_at": uses.last(token.pk, token.last_used_at),
                "is_expired": token.is_expired(now),
            }
            for token in user.named_tokens.order_by("pk")
        ],
        "form": NamedTokenForm(),
        "api_url": f"https://{config.authority(config.panel_host)}/api/v1/user/{user.username}/websites/",
        "domain_name": f"{user.username}.{config.sites.domain}",
        **page,
    }
