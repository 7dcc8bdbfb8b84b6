"""The dashboard and the list of websites: all of them at a glance."""

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from hostel.panel.accounts.models import User
from hostel.panel.accounts.pages import own_page
from hostel.panel.websites import deploy

_ON_A_PAGE = 100


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    if isinstance(request.user, User):
        return redirect("dashboard", username=request.user.username)
    return redirect("login")


@require_http_methods(["GET", "HEAD"])
@own_page
def dashboard(request: HttpRequest, user: User) -> HttpResponse:
    config = settings.HOSTEL_CONFIG
    page = {
        "looked_at": deploy.look_at_all(user, list(user.websites.all())),
        "panel_authority": config.authority(config.panel_host),
        "sites_domain": config.sites.domain,
        "domain_name": f"{user.username}.{config.sites.domain}",
    }
    return render(request, "websites/dashboard.html", page)


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
