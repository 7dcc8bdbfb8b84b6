"""The list of websites, and where somebody gets who asks for nothing."""

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from hostel.panel.accounts.models import User
from hostel.panel.accounts.pages import own_page
from hostel.panel.websites import deploy

_ON_A_PAGE = 100


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    if isinstance(request.user, User):
        return redirect("dashboard", username=request.user.username)
    return redirect("login")


@require_safe
@own_page
def show_all(request: HttpRequest, user: User) -> HttpResponse:
    page = Paginator(user.websites.order_by("domain_name"), _ON_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "looked_at": deploy.look_at_all(user, list(page)),
        "domain_name": f"{user.username}.{settings.HOSTEL_CONFIG.sites.domain}",
    }
    return render(request, "websites/list.html", context)
