"""The pages of consoles: those that are open, a new one, and the terminal itself."""

import secrets
from contextlib import suppress
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hostel.panel import agent
from hostel.panel.accounts.models import User
from hostel.panel.accounts.pages import own_page
from hostel.panel.consoles.use import end_console, open_console
from hostel.wire.console import (
    SHELL,
    TEXT_BYTES_LIMIT,
    ConsoleReport,
    ConsoleReports,
    ConsoleRequest,
    UnknownConsole,
    describe,
)
from hostel.wire.errors import HostelError


class NewConsole(forms.Form):
    """Which program, the button says that is pressed."""

    path = forms.CharField(
        label="Directory", required=False, max_length=TEXT_BYTES_LIMIT, help_text="Where it begins. Empty: your home."
    )
    virtualenv = forms.CharField(
        label="Virtualenv",
        required=False,
        max_length=TEXT_BYTES_LIMIT,
        help_text="Its name, as for workon, or its directory. Empty: none.",
    )

    def wanted(self, executable: str) -> ConsoleRequest:
        return ConsoleRequest(
            executable=executable,
            working_directory=self.cleaned_data["path"],
            virtualenv=self.cleaned_data["virtualenv"],
        )


@require_http_methods(["GET", "HEAD", "POST"])
@own_page
def show_all(request: HttpRequest, user: User) -> HttpResponse:
    """`?path=` and `?virtualenv=` fill in where a new one opens. A POST of the same opens it."""
    if request.method != "POST":
        given = {name: request.GET.get(name, "") for name in ("path", "virtualenv")}
        return _list(request, user, NewConsole(initial=given))
    form = NewConsole(request.POST)
    if form.is_valid():
        try:
            console = open_console(user, form.wanted(request.POST.get("executable", SHELL)))
        except HostelError as error:
            form.add_error(None, str(error))
        else:
            return redirect("consoles:one", username=user.username, number=console.id)
    return _list(request, user, form, status=400)


@require_safe
@own_page
def show(request: HttpRequest, user: User, number: int) -> HttpResponse:
    try:
        console = agent.get_console(user.username, number)
    except UnknownConsole as error:
        page = {"number": number, "detail": str(error), "form": NewConsole()}
        return render(request, "consoles/ended.html", page, status=404)
    except HostelError as error:
        return render(request, "error.html", {"detail": str(error), "status": error.status}, status=error.status)
    nonce = secrets.token_urlsafe(16)
    response = render(request, "consoles/console.html", {**_shown(console), "nonce": nonce, "form": NewConsole()})
    response.headers["Content-Security-Policy"] = _content_rules(nonce)
    return response


@require_POST
@own_page
def end(request: HttpRequest, user: User, number: int) -> HttpResponse:
    try:
        with suppress(UnknownConsole):  # it has ended by itself
            end_console(user, number)
        messages.success(request, f"Console {number} has ended.")
    except HostelError as error:
        messages.error(request, str(error))
    return redirect("consoles:list", username=user.username)


def _list(request: HttpRequest, user: User, form: NewConsole, *, status: int = 200) -> HttpResponse:
    trouble, reports = "", ConsoleReports()
    try:
        reports = agent.list_consoles(user.username)
    except HostelError as error:
        trouble = str(error)
    page = {
        "consoles": [_shown(console) for console in reversed(reports.consoles)],
        "programs": [(name, describe(name)) for name in (SHELL, *reports.pythons)],
        "form": form,
        "trouble": trouble,
    }
    return render(request, "consoles/list.html", page, status=status)


def _shown(console: ConsoleReport) -> dict[str, Any]:
    return {"console": console, "wanted": console.wanted, "started_at": datetime.fromisoformat(console.started_at)}


def _content_rules(nonce: str) -> str:
    """As every page's, and two things more, on this page alone: its WebSocket, which not every browser takes for
    `'self'`; and style sheets that xterm.js writes for the size of its letters, marked by console.js with the nonce.
    """
    host = settings.SECURE_SSL_HOST
    static = f"https://{host}{settings.STATIC_URL}"
    return (
        f"default-src 'none'; script-src {static}; style-src {static} 'nonce-{nonce}'; img-src 'self';"
        f" connect-src 'self' wss://{host}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
