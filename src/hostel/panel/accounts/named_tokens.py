"""Tokens of limited power on the "API token" tab: made, shown this once, revoked."""

from typing import Any

import structlog
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from hostel.panel.accounts.forms import NamedTokenForm
from hostel.panel.accounts.models import TokenExists, TooManyTokens, User
from hostel.panel.accounts.pages import own_page
from hostel.panel.accounts.views import token_page

log = structlog.get_logger(__name__)


@sensitive_variables("text")
@require_http_methods(["GET", "HEAD", "POST"])
@own_page
def create(request: HttpRequest, user: User) -> HttpResponse:
    """Shows the token in the answer itself, as `views.new_token` does."""
    if request.method != "POST":
        return redirect("api_token", username=user.username)
    form = NamedTokenForm(request.POST)
    if not form.is_valid():
        return _page(request, user, status=400, form=form)
    try:
        token, text = user.add_token(form.cleaned_data["name"], scopes=form.scopes_chosen, expires_at=form.expires_at)
    except (TokenExists, TooManyTokens) as error:
        form.add_error("name", str(error))
        return _page(request, user, status=400, form=form)
    log.info("named token created", user=user.username, token=token.pk)
    return _page(request, user, named=token, text=text)


@require_POST
@own_page
def revoke(request: HttpRequest, user: User, token_id: int) -> HttpResponse:
    token = user.named_tokens.filter(pk=token_id).first()
    if token is None or not token.revoke():
        raise Http404
    messages.success(request, f"Revoked {token.name}: it works no more.")
    return redirect("api_token", username=user.username)


def _page(request: HttpRequest, user: User, *, status: int = 200, **page: Any) -> HttpResponse:
    return render(request, "accounts/api_token.html", token_page(user, **page), status=status)
