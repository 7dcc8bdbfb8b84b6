"""The dashboard: what needs attention, what is used of the limits, and how the websites are."""

from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from hostel.panel import agent
from hostel.panel.accounts.models import User
from hostel.panel.accounts.pages import own_page
from hostel.panel.domains.models import Domain
from hostel.panel.websites.attention import Matter, matters, unproven
from hostel.panel.websites.condition import condition_of, unreported
from hostel.wire.errors import HostelError
from hostel.wire.names import canonical_domain
from hostel.wire.report import TenantOverview
from hostel.wire.website import State

log = structlog.get_logger(__name__)

_SHOWN_MOST = 12  # websites, the newest; the others are on their own page
_CONSOLES_MOST = 5  # the last that were opened
_MATTERS_MOST = 10  # domains without a proof


@require_safe
@own_page
def show(request: HttpRequest, user: User) -> HttpResponse:
    return render(request, "websites/dashboard.html", _at_a_glance(user))


@require_safe
@own_page
def at_a_glance(request: HttpRequest, user: User) -> HttpResponse:
    """The live part of the page."""
    return render(request, "websites/_at_a_glance.html", _at_a_glance(user))


def _at_a_glance(user: User) -> dict[str, Any]:
    newest = list(user.websites.order_by("-id")[:_SHOWN_MOST])
    limits = user.plan.user()
    waiting = _unproven(user)
    page: dict[str, Any] = {
        "number": user.websites.count() if len(newest) == _SHOWN_MOST else len(newest),
        "limits": limits,
        "domain_name": f"{user.username}.{settings.HOSTEL_CONFIG.sites.domain}",
    }
    try:
        overview = agent.find_overview(user.username, domains=[website.canonical_name for website in newest])
    except HostelError as error:
        log.warning("no overview from the agent", user=user.username, code=error.code)
        looked_at = [(website, unreported(website, error)) for website in newest]
        return {**page, "matters": waiting, "looked_at": looked_at, "trouble": str(error)}
    reports = {canonical_domain(report.domain_name): report for report in overview.websites}
    return {
        **page,
        "overview": overview,
        "states": _states(overview),
        "consoles": sorted(overview.consoles, key=lambda console: console.started_at, reverse=True)[:_CONSOLES_MOST],
        "matters": [*matters(overview, limits, now=timezone.now()), *waiting],
        "looked_at": [(website, condition_of(website, reports.get(website.canonical_name))) for website in newest],
    }


def _states(overview: TenantOverview) -> list[tuple[str, int]]:
    """In the order of State."""
    return [(state.value, overview.states[state.value]) for state in State if overview.states.get(state.value)]


def _unproven(user: User) -> list[Matter]:
    waiting = Domain.objects.filter(website__owner=user, proven_at__isnull=True)
    return unproven(waiting.values_list("domain_name", "website__domain_name")[:_MATTERS_MOST])
