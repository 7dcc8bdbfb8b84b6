"""Where an error page of the edge leads the website's owner: what happened to that request, and how to mend it.

Who is not the owner, and who asks for an id that nobody knows, get one and the same answer.
"""

from datetime import UTC, datetime

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from hostel.panel import agent
from hostel.panel.accounts.models import User
from hostel.panel.websites import deploy
from hostel.panel.websites.advice import MET
from hostel.panel.websites.condition import Trouble
from hostel.panel.websites.models import Website
from hostel.wire.errors import HostelError
from hostel.wire.report import Explained


@require_safe
@login_required
def why(request: HttpRequest, error_id: str) -> HttpResponse:
    met = _find(error_id)
    website = _website_of(request, met)
    if met is None or website is None:
        return render(request, "websites/why.html", {"error_id": error_id}, status=404)
    condition, status = deploy.look_closely(website)
    last = status.last_failure if status else None
    page = {
        "error_id": error_id,
        "met": met,
        "at": datetime.fromtimestamp(met.at_s, UTC),
        "advice": MET.get(met.code),
        "website": website,
        "condition": condition,
        "last": last,
        "last_trouble": Trouble.of(last.failure) if last else None,
    }
    return render(request, "websites/why.html", page)


def _find(error_id: str) -> Explained | None:
    try:
        return agent.find_explained(error_id)
    except HostelError:
        return None


def _website_of(request: HttpRequest, met: Explained | None) -> Website | None:
    if met is None or not isinstance(request.user, User):
        return None
    return request.user.websites.filter(canonical_name=met.website).first()
