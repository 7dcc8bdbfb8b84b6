"""The wizard that makes a website: framework, project folder, virtualenv, command. Each step is a page.

Where one is stands in the address, so going back and a second tab work. A virtualenv is made by the user's workshop,
and its progress is looked at there; nothing of the wizard is kept.
"""

import posixpath
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from hostel.panel import agent, homes
from hostel.panel.accounts.models import User
from hostel.panel.accounts.pages import own_page
from hostel.panel.domains.models import DomainExists
from hostel.panel.websites import build, deploy
from hostel.panel.websites.examination import Case, Examination, examine_if_possible
from hostel.panel.websites.folders import list_folders, within_home
from hostel.panel.websites.frameworks import FRAMEWORKS, Framework
from hostel.panel.websites.models import Website
from hostel.panel.websites.pages import WAIT_S
from hostel.panel.websites.wizard_forms import ExampleForm, NewWebsiteForm, VirtualenvForm
from hostel.wire.errors import DomainUnproven, HostelError
from hostel.wire.names import canonical_domain
from hostel.wire.website import Listens, State
from hostel.wire.workshop import Build, BuildState, Project, Surroundings

_LINES_SHOWN = 12
_READ = require_safe
_BOTH = require_http_methods(["GET", "HEAD", "POST"])


@_READ
@own_page
def choose_framework(request: HttpRequest, user: User) -> HttpResponse:
    return render(request, "websites/new/framework.html", {"frameworks": FRAMEWORKS.values(), "step": 1})


@_BOTH
@own_page
def choose_project(request: HttpRequest, user: User, key: str) -> HttpResponse:
    """Either a folder that is there, or an example, which is begun by a POST."""
    framework = _framework(key)
    form = ExampleForm(request.POST or None, initial={"name": "mysite"})
    if request.method == "POST" and form.is_valid():
        folder = f"{_home(user)}/{form.cleaned_data['name']}"
        virtualenv = f"{_home(user)}/.virtualenvs/{form.cleaned_data['name']}"
        try:
            build.make(
                user,
                virtualenv=virtualenv,
                packages=framework.packages,
                directory=folder,
                files=framework.example(),
            )
            return redirect(_address("new_progress", user, key, folder=folder, virtualenv=virtualenv))
        except HostelError as error:
            form.add_error("name", str(error))
    folder = within_home(request.GET.get("folder", ""), home=_home(user))
    trouble, folders = "", None
    try:
        folders = list_folders(user.username, folder)
    except HostelError as error:
        trouble = str(error)
    page = {
        "framework": framework,
        "form": form,
        "folders": folders,
        "trouble": trouble,
        "go_on": _address("new_virtualenv", user, key, folder=folder),
        "step": 2,
    }
    return render(request, "websites/new/project.html", page, status=400 if form.errors else 200)


@_BOTH
@own_page
def choose_virtualenv(request: HttpRequest, user: User, key: str) -> HttpResponse:
    framework = _framework(key)
    folder = within_home(request.GET.get("folder", ""), home=_home(user))
    surroundings, trouble = Surroundings(), ""
    try:
        surroundings = homes.look_around(user.username)
    except HostelError as error:
        trouble = str(error)
    name = posixpath.basename(folder) if folder != _home(user) else "venv"
    initial = {"name": name, "packages": " ".join(framework.packages), "python": "python3"}
    form = VirtualenvForm(request.POST or None, initial=initial, surroundings=surroundings)
    if request.method == "POST" and form.is_valid():
        virtualenv = f"{_home(user)}/.virtualenvs/{form.cleaned_data['name']}"
        try:
            build.make(
                user,
                virtualenv=virtualenv,
                packages=form.cleaned_data["packages"],
                python=form.cleaned_data["python"],
            )
            return redirect(_address("new_progress", user, key, folder=folder, virtualenv=virtualenv))
        except HostelError as error:
            form.add_error("name", str(error))
    found = [
        {
            "virtualenv": each,
            "has_it": not framework.known_by or framework.known_by in each.packages,
            "address": _address("new_command", user, key, folder=folder, virtualenv=each.path),
        }
        for each in surroundings.virtualenvs
    ]
    found.sort(key=lambda each: not each["has_it"])
    page = {"framework": framework, "form": form, "found": found, "trouble": trouble, "folder": folder, "step": 3}
    return render(request, "websites/new/virtualenv.html", page, status=400 if form.errors else 200)


@_READ
@own_page
def progress(request: HttpRequest, user: User, key: str) -> HttpResponse:
    """The whole page, or to htmx its live part; when all is made, on to the command."""
    folder, virtualenv = _places(request, user)
    following = _address("new_command", user, key, folder=folder, virtualenv=virtualenv)
    is_htmx = request.headers.get("HX-Request") == "true"
    found, trouble = Build(state=BuildState.RUNNING), ""
    try:
        found = homes.look_at_build(user.username)
    except HostelError as error:
        trouble = str(error)
    if found.state is BuildState.DONE:
        return HttpResponseClientRedirect(following) if is_htmx else redirect(following)
    page = {
        "framework": _framework(key),
        "state": found.state.value,
        "steps": _steps(found.step, found.state),
        "lines": [agent.printable(line) for line in found.lines[-_LINES_SHOWN:]],
        "trouble": trouble,
        "here": request.get_full_path(),
        "following": following,
        "back": _address("new_virtualenv", user, key, folder=folder),
        "step": 3,
    }
    return render(request, "websites/new/_progress.html" if is_htmx else "websites/new/progress.html", page)


@_BOTH
@own_page
def command(request: HttpRequest, user: User, key: str) -> HttpResponse:
    """Shows the line and what the doctor says of it; makes the website."""
    framework = _framework(key)
    examination = None
    if request.method != "POST":
        form = NewWebsiteForm(initial=_proposal(request, user, framework), context={"owner": user})
    else:
        data = request.POST.copy()
        if "use" in data:
            data["command"] = request.POST.get("use", "")
        form = NewWebsiteForm(data, context={"owner": user})
        if form.is_valid():
            examination = _examine(user, form)
            is_good = examination is None or examination.is_good or "anyway" in data
            if is_good and ("create" in data or "anyway" in data):
                website = _create(request, user, form)
                if website is not None:
                    return redirect("websites:show", user.username, website.domain_name)
    page = {
        "framework": framework,
        "form": form,
        "examination": examination,
        "is_refused": examination is not None and not examination.is_good and "create" in request.POST,
        "findings_address": reverse("websites:new_findings", args=[user.username, key]),
        "step": 4,
    }
    is_wrong = bool(form.errors) or page["is_refused"]
    return render(request, "websites/new/command.html", page, status=400 if is_wrong else 200)


@require_POST
@own_page
def findings(request: HttpRequest, user: User, key: str) -> HttpResponse:
    """The live part of the page of the command."""
    form = NewWebsiteForm(request.POST, context={"owner": user})
    form.is_valid()  # of all that is wrong only what the doctor is shown matters here
    page = {"examination": None if "command" in form.errors else _examine(user, form), "is_shown": True}
    return render(request, "websites/_findings.html", page)


def _framework(key: str) -> Framework:
    if key not in FRAMEWORKS:
        raise Http404
    return FRAMEWORKS[key]


def _home(user: User) -> str:
    return f"/home/{user.username}"


def _places(request: HttpRequest, user: User) -> tuple[str, str]:
    home = _home(user)
    folder, virtualenv = request.GET.get("folder", ""), request.GET.get("virtualenv", "")
    return within_home(folder, home=home), within_home(virtualenv, home=home)


def _address(name: str, user: User, key: str, **query: str) -> str:
    return f"{reverse(f'websites:{name}', args=[user.username, key])}?{urlencode(query)}"


def _proposal(request: HttpRequest, user: User, framework: Framework) -> dict[str, Any]:
    folder, virtualenv = _places(request, user)
    try:
        project = homes.look_at_project(user.username, folder)
    except HostelError:
        project = Project()
    application = agent.printable(framework.find_application(project))
    return {
        "domain_name": _free_domain(user, posixpath.basename(folder) if folder != _home(user) else "new"),
        "command": framework.command_of(virtualenv=virtualenv, application=application),
        "working_directory": folder if folder != _home(user) else "",
        "listens_on": framework.listens_on.value,
    }


def _free_domain(user: User, folder: str) -> str:
    """The user's own name if no website has it yet, else one with the folder's."""
    domain = f"{user.username}.{settings.HOSTEL_CONFIG.sites.domain}"
    if not user.websites.filter(canonical_name=canonical_domain(domain)).exists():
        return domain
    word = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in folder.lower()).strip("-")
    return f"{word or 'new'}-{domain}"


def _steps(step: str, state: BuildState) -> list[dict[str, str]]:
    named = (
        ("project", "Write the project"),
        ("virtualenv", "Make the virtualenv"),
        ("packages", "Install the packages"),
    )
    at = next((number for number, (name, _) in enumerate(named) if name == step), -1)
    now = "bad" if state is BuildState.FAILED else "now"
    marks = ["done" if number < at else now if number == at else "" for number in range(len(named))]
    return [{"text": text, "mark": mark} for (_, text), mark in zip(named, marks, strict=True)]


def _examine(user: User, form: NewWebsiteForm) -> Examination | None:
    sent = form.cleaned_data
    case = Case(
        username=user.username,
        line=sent.get("command", ""),
        working_directory=sent.get("working_directory", ""),
        listens_on=Listens(sent.get("listens_on") or Listens.SOCKET),
    )
    return examine_if_possible(case)


def _create(request: HttpRequest, user: User, form: NewWebsiteForm) -> Website | None:
    """None where it is refused; the form says why then."""
    try:
        website, condition = deploy.create(
            owner=user, domain_name=form.cleaned_data["domain_name"], wanted=form.wanted, wait_s=WAIT_S
        )
    except (DomainExists, DomainUnproven) as error:
        form.add_error("domain_name", str(error))
        return None
    except HostelError as error:
        form.add_error(None, str(error))
        return None
    if condition.state is State.RUNNING:
        messages.success(request, f"{website.domain_name} is live.")
    return website
