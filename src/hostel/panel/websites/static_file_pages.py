"""Static mappings of a website: which addresses are answered with files of the owner's home."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST

from hostel.panel.websites import deploy
from hostel.panel.websites.forms import MappingForm
from hostel.panel.websites.models import StaticMapping, Website
from hostel.panel.websites.pages import WAIT_S, own_website, to_page
from hostel.wire.static_files import InvalidMapping


@require_http_methods(["GET", "HEAD", "POST"])
@own_website
def static_files(request: HttpRequest, website: Website) -> HttpResponse:
    """A new mapping, or with `?id=` a changed one."""
    mapping = _find(website, request.GET["id"]) if "id" in request.GET else None
    initial = {"url": mapping.url, "path": mapping.path} if mapping else {"path": f"/home/{website.owner.username}/"}
    form = MappingForm(request.POST or None, context={"owner": website.owner}, initial=initial)
    if form.is_valid():
        try:
            if mapping:
                deploy.change_mapping(website, mapping, form.wanted, wait_s=WAIT_S)
            else:
                deploy.add_mapping(website, url=form.wanted["url"], path=form.wanted["path"], wait_s=WAIT_S)
        except InvalidMapping as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Saved: {form.wanted['url']} is answered with files.")
            return to_page("static_files", website)
    page = {"website": website, "mappings": website.static_files.all(), "form": form, "mapping": mapping}
    return render(request, "websites/static_files.html", page, status=400 if form.is_bound else 200)


@require_POST
@own_website
def remove_mapping(request: HttpRequest, website: Website) -> HttpResponse:
    mapping = _find(website, request.POST.get("id", ""))
    deploy.remove_mapping(website, mapping, wait_s=WAIT_S)
    messages.success(request, f"Removed: the website itself answers {mapping.url} now.")
    return to_page("static_files", website)


def _find(website: Website, number: str) -> StaticMapping:
    is_number = number.isascii() and number.isdigit() and len(number) < 19
    mapping = website.static_files.filter(pk=int(number)).first() if is_number else None
    if mapping is None:
        raise Http404
    return mapping
