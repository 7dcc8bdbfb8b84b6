"""The "History" tab: the audit trail of one's own account, newest first."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from hostel.panel.accounts.models import User
from hostel.panel.accounts.pages import own_page

_ON_A_PAGE = 50


@require_safe
@own_page
def show(request: HttpRequest, user: User) -> HttpResponse:
    given = request.GET.get("before", "")
    before = int(given) if given.isdecimal() and len(given) < 19 else None
    found = list(user.audit_entries.all().before(before)[: _ON_A_PAGE + 1])
    entries, has_more = found[:_ON_A_PAGE], len(found) > _ON_A_PAGE
    page = {"entries": entries, "older": entries[-1].pk if has_more else None, "is_newest": before is None}
    return render(request, "accounts/history.html", page)
