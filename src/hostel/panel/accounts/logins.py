"""A user's sessions: where they came from, when they were used, and their end."""

import hashlib
from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from hostel.panel.accounts.browsers import describe_browser
from hostel.panel.accounts.models import Login, User
from hostel.panel.accounts.pages import own_page
from hostel.panel.accounts.sessions import FROM_KEY
from hostel.panel.accounts.uses import login_uses
from hostel.panel.ratelimit import address_of


def begin(request: HttpRequest, user: User) -> None:
    """Log in: a new session, that knows where it came from."""
    request.session.clear_expired()  # nobody else does
    login(request, user)
    request.session[FROM_KEY] = {
        "address": address_of(request),
        "browser": describe_browser(request.headers.get("user-agent", "")),
        "started_at": timezone.now().isoformat(),
    }


@require_safe
@own_page
def show(request: HttpRequest, user: User) -> HttpResponse:
    """The "Logins" tab."""
    found = user.logins.filter(expire_date__gt=timezone.now()).order_by("-last_used_at")
    own = request.session.session_key
    logins: list[dict[str, Any]] = [
        {
            "login": each,
            "id": _id_of(each),
            "is_this": each.session_key == own,
            "last_used_at": login_uses.last(each.session_key, each.last_used_at),
        }
        for each in found
    ]
    return render(request, "accounts/logins.html", {"logins": logins, "has_others": len(logins) > 1})


@require_POST
@own_page
def end(request: HttpRequest, user: User) -> HttpResponse:
    """One of them, by the id that the page has; or all but this one."""
    wanted = request.POST.get("id", "")
    others = user.logins.exclude(session_key=request.session.session_key)
    keys = [each.session_key for each in others if wanted in ("others", _id_of(each))]
    count = user.end_logins(keys)
    if count:
        messages.success(request, "Ended: whoever used it has to log in again." if count == 1 else f"Ended {count}.")
    return redirect("logins", username=user.username)


def _id_of(login: Login) -> str:
    """The key itself is as good as the password."""
    return hashlib.sha256(login.session_key.encode()).hexdigest()[:16]
