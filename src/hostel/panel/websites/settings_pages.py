"""What may be set of a website, all at once; what a website may be asked for by whom: its password."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from hostel.panel.websites import deploy
from hostel.panel.websites.forms import HttpUserForm
from hostel.panel.websites.models import Website
from hostel.panel.websites.pages import WAIT_S, own_website, to_page
from hostel.panel.websites.password_hash import hash_password
from hostel.panel.websites.progress import is_under_way
from hostel.panel.websites.settings_form import SettingsForm
from hostel.wire.http_users import InvalidHttpUser


@require_http_methods(["GET", "HEAD", "POST"])
@own_website
def settings(request: HttpRequest, website: Website) -> HttpResponse:
    form = SettingsForm(request.POST or None, website=website)
    if not form.is_valid():
        page = {"website": website, "form": form}
        return render(request, "websites/settings.html", page, status=400 if form.is_bound else 200)
    condition = deploy.change(website, form.wanted, wait_s=WAIT_S)
    if is_under_way(condition) or condition.trouble.detail or condition.deploy_trouble.detail:
        return to_page("show", website)  # it is followed, or explained, there
    messages.success(request, "Saved.")
    return to_page("settings", website)


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
@own_website
def password(request: HttpRequest, website: Website) -> HttpResponse:
    form = HttpUserForm(request.POST or None, context={})
    if form.is_valid():
        name = form.wanted["username"]
        try:
            deploy.change_http_users(website, {name: hash_password(form.wanted["password"])}, wait_s=WAIT_S)
        except InvalidHttpUser as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Saved. {name} gets in with that password.")
            return to_page("password", website)
    page = {"website": website, "form": form}
    return render(request, "websites/password.html", page, status=400 if form.is_bound else 200)


@require_POST
@own_website
def remove_http_user(request: HttpRequest, website: Website) -> HttpResponse:
    name = request.POST.get("username", "")
    if name in website.http_users:
        deploy.change_http_users(website, {name: None}, wait_s=WAIT_S)
    is_last = not website.http_users
    messages.success(request, "Removed: everybody gets in now." if is_last else f"Removed: {name} gets in no more.")
    return to_page("password", website)
