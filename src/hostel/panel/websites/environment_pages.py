"""Environment variables of a website: what a next run gets. Hidden values go in and never come out again."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from hostel.panel.websites import deploy
from hostel.panel.websites.environment import UnreadableFile, read_file
from hostel.panel.websites.forms import ImportForm, VariableForm
from hostel.panel.websites.models import Website
from hostel.panel.websites.pages import WAIT_S, own_website, to_page
from hostel.wire.environment import InvalidVariable


@sensitive_post_parameters("value")
@require_http_methods(["GET", "HEAD", "POST"])
@own_website
def environment(request: HttpRequest, website: Website) -> HttpResponse:
    """With `?name=` the form is filled with that variable."""
    if request.method != "POST":
        return _page(request, website, form=_filled(website, request.GET.get("name", "")))
    form = VariableForm(request.POST, context={})
    if form.is_valid():
        name, wanted = form.wanted["name"], form.wanted
        try:
            deploy.set_variables(website, {name: wanted["value"]}, is_secret=wanted["is_secret"], wait_s=WAIT_S)
        except InvalidVariable as error:
            form.add_error(None, str(error))
        else:
            return _saved(request, website, f"{name} is set.")
    return _page(request, website, form=form, status=400)


@sensitive_post_parameters("content")
@require_POST
@own_website
def import_environment(request: HttpRequest, website: Website) -> HttpResponse:
    form = ImportForm(request.POST, context={}, auto_id="import_%s")
    if form.is_valid():
        try:
            values = read_file(form.wanted["content"])
            deploy.set_variables(website, values, is_secret=form.wanted.get("is_secret"), wait_s=WAIT_S)
        except (UnreadableFile, InvalidVariable) as error:
            form.add_error("content", str(error))
        else:
            number = len(values)
            return _saved(request, website, f"{number} variable{'' if number == 1 else 's'} set.")
    return _page(request, website, import_form=form, status=400)


@require_POST
@own_website
def remove_variable(request: HttpRequest, website: Website) -> HttpResponse:
    name = request.POST.get("name", "")
    deploy.change_environment(website, {name: None}, wait_s=WAIT_S)
    return _saved(request, website, f"{name} is removed.")


def _saved(request: HttpRequest, website: Website, words: str) -> HttpResponse:
    if request.POST.get("then") == "reload" and website.enabled:
        messages.success(request, f"{words} Reloading, so that the command gets it.")
        deploy.reload(website, wait_s=WAIT_S)
        return to_page("show", website)
    messages.success(request, f"{words} The command gets it when the website is reloaded.")
    return to_page("environment", website)


def _filled(website: Website, name: str) -> VariableForm:
    variable = website.variables.get(name)
    if variable is None:
        return VariableForm(context={})
    value = "" if variable.is_secret else variable.value
    return VariableForm(context={}, initial={"name": name, "value": value, "is_secret": variable.is_secret})


def _page(
    request: HttpRequest,
    website: Website,
    *,
    form: VariableForm | None = None,
    import_form: ImportForm | None = None,
    status: int = 200,
) -> HttpResponse:
    page = {
        "website": website,
        "variables": sorted(website.variables.items()),
        "form": form or VariableForm(context={}),
        "import_form": import_form or ImportForm(context={}, auto_id="import_%s"),
    }
    return render(request, "websites/environment.html", page, status=status)
