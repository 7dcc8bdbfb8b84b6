"""The page of one website: how it is, what its last change did, and the deeds on it."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hostel.panel.websites import deploy
from hostel.panel.websites.condition import Trouble
from hostel.panel.websites.examination import Case, examine_if_possible
from hostel.panel.websites.forms import CommandForm, DeletionForm
from hostel.panel.websites.models import Website
from hostel.panel.websites.pages import WAIT_S, own_website, to_page
from hostel.panel.websites.progress import is_under_way, steps
from hostel.wire.website import Phase

_MINUTE = timedelta(minutes=1)


@require_safe
@own_website
def show(request: HttpRequest, website: Website) -> HttpResponse:
    form = CommandForm(initial={"command": website.command}, context={"website": website})
    return _page(request, website, form)


@require_safe
@own_website
def progress(request: HttpRequest, website: Website) -> HttpResponse:
    """The live part of the page."""
    return render(request, "websites/_condition.html", _how_it_is(website))


@require_POST
@own_website
def reload(request: HttpRequest, website: Website) -> HttpResponse:
    if deploy.reload(website, wait_s=WAIT_S).phase is Phase.DONE:
        messages.success(request, "Reloaded: visitors get the new run.")
    return to_page("show", website)


@require_POST
@own_website
def switch(request: HttpRequest, website: Website) -> HttpResponse:
    is_on = request.POST.get("enabled") == "true"
    deploy.change(website, {"enabled": is_on}, wait_s=WAIT_S)
    messages.success(request, "Enabled." if is_on else "Disabled: visitors are told so, and nothing of it runs.")
    return to_page("show", website)


@require_POST
@own_website
def command(request: HttpRequest, website: Website) -> HttpResponse:
    """Saves the line; or only shows what the command doctor says of it, or of the line that the doctor proposed."""
    data = request.POST.copy()
    if "use" in data:
        data["command"] = request.POST.get("use", "")
    form = CommandForm(data, context={"website": website})
    if not form.is_valid():
        return _page(request, website, form, status=400)
    if "check" in data or "use" in data:
        case = Case.of(website, form.cleaned_data["command"])
        return _page(request, website, form, examination=examine_if_possible(case), is_shown=True)
    condition = deploy.change(website, form.wanted, wait_s=WAIT_S)
    if condition.phase is Phase.DONE:
        messages.success(request, "Saved: visitors get the new command." if website.enabled else "Saved.")
    return to_page("show", website)


@require_http_methods(["GET", "HEAD", "POST"])
@own_website
def delete(request: HttpRequest, website: Website) -> HttpResponse:
    form = DeletionForm(request.POST or None, website=website)
    if not form.is_valid():
        page = {"website": website, "form": form}
        return render(request, "websites/delete.html", page, status=400 if form.is_bound else 200)
    deploy.delete(website)
    messages.success(request, f"{website.domain_name} was deleted. Its files are still in your home.")
    return redirect("websites:list", website.owner.username)


def _page(
    request: HttpRequest, website: Website, form: CommandForm, *, status: int = 200, **findings: object
) -> HttpResponse:
    return render(request, "websites/site.html", {"form": form, **findings, **_how_it_is(website)}, status=status)


def _how_it_is(website: Website) -> dict[str, Any]:
    condition, told = deploy.look_closely(website)
    past = told.last_failure if told else None
    since = datetime.fromisoformat(told.report.since) if told and told.report.since else None
    return {
        "website": website,
        "condition": condition,
        "told": told,
        "since": since if since and timezone.now() - since > _MINUTE else None,
        "past": Trouble.of(past.failure) if past else None,
        "failed_at": datetime.fromisoformat(past.at) if past else None,
        "steps": steps(condition, told),
        "is_under_way": is_under_way(condition),
    }
