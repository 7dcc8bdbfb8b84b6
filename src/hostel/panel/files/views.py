"""The Files pages: look around, bring and fetch, rename, delete, make. Server-rendered; works without JavaScript."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from hostel.panel import agent, homes
from hostel.panel.accounts.models import User
from hostel.panel.accounts.pages import own_page
from hostel.panel.files import deeds, editor
from hostel.panel.files.answers import attachment
from hostel.panel.files.listing import encode_name, parse_listing, shown
from hostel.panel.files.paths import absolute, address, check_name, crumbs, decode_name, home_of, is_below, resolve
from hostel.wire.errors import FileExists, FileRefused, HostelError, NoSuchFile
from hostel.wire.website import MIB

_PIECE = 1 << 18
_WORD_MOST = 100


@require_http_methods(["GET", "HEAD"])
@own_page
def home(request: HttpRequest, user: User) -> HttpResponse:
    return redirect(address(user.username, home_of(user.username)))


@require_http_methods(["GET", "HEAD", "POST"])
@own_page
def place(request: HttpRequest, user: User, path: str) -> HttpResponseBase:
    """A directory or a file, as its address has it."""
    path = absolute(path)
    try:
        if request.method == "POST":
            deed = _DEEDS.get(request.POST.get("deed", ""), _unknown)
            return deed(request, user, path)
        return _show(request, user, path)
    except HostelError as error:
        return _trouble(request, user, path, error)


# -- looking


def _show(request: HttpRequest, user: User, path: str) -> HttpResponseBase:
    for question in ("rename", "delete"):
        if question in request.GET:
            return _ask(request, user, path, question)
    found = homes.open_with_details(user.username, path, contains=_contains(request))
    if found.headers.get("content-type") != "application/json":
        if "download" in request.GET:
            return attachment(found, path.rpartition("/")[2])
        return editor.show(request, user, path, found)
    with contextlib.closing(found):
        return _directory_page(request, user, path, found)


def _directory(request: HttpRequest, user: User, path: str, **page: Any) -> HttpResponse:
    with contextlib.closing(homes.open_with_details(user.username, path, contains=_contains(request))) as found:
        return _directory_page(request, user, path, found, **page)


def _directory_page(request: HttpRequest, user: User, path: str, found: Any, **page: Any) -> HttpResponse:
    """`page`: what was refused, by the name of the form, as "errors"; and what was typed there."""
    used = found.headers.get("hostel-disk-used", "")
    home_path = home_of(user.username)
    page = {
        "listing": parse_listing(agent.read_json(found)),
        "contains": _contains(request),
        "is_writable": is_below(path, home_path),
        "disk_used_mb": int(used) // MIB if used.isdecimal() else None,
        "disk_limit_mb": user.plan.user_disk_mb,
        "parent": None if path in (home_path, "/var/log") else address(user.username, path.rpartition("/")[0]),
        **_place(user, path),
        **page,
    }
    return render(request, "files/directory.html", page, status=400 if page.get("errors") else 200)


def _ask(request: HttpRequest, user: User, path: str, question: str, **page: Any) -> HttpResponse:
    """Whether one really wants to delete that, or what it should be called."""
    name = decode_name(request.GET.get(question, "") or request.POST.get("name", ""))
    page = {"name": shown(name), "code": encode_name(name), "question": question, **_place(user, path), **page}
    page.setdefault("typed", name if name.isprintable() else "")
    return render(request, "files/ask.html", page, status=400 if page.get("error") else 200)


def _place(user: User, path: str) -> dict[str, Any]:
    return {
        "here": address(user.username, path),
        "path_quoted": encode_name(path),
        "path_shown": shown(path),
        "crumbs": [(crumb.name, address(user.username, crumb.path)) for crumb in crumbs(path)],
        "home_address": address(user.username, home_of(user.username)),
        "logs_address": address(user.username, "/var/log"),
        "is_in_logs": is_below(path, "/var/log"),
    }


def _contains(request: HttpRequest) -> str:
    return request.GET.get("q", "").strip()[:_WORD_MOST]


def _trouble(request: HttpRequest, user: User, path: str, error: HostelError) -> HttpResponse:
    if _wants_json(request):
        return JsonResponse({"errors": [str(error)]}, status=error.status)
    page = {"error": str(error), "is_missing": isinstance(error, NoSuchFile), **_place(user, path)}
    return render(request, "files/trouble.html", page, status=error.status)


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("accept") == "application/json"


# -- doing


def _upload(request: HttpRequest, user: User, path: str) -> HttpResponse:
    """Every file that can be written is; of the others the page says why."""
    expect = "" if request.POST.get("replace") else "absent"
    files = [file for file in request.FILES.getlist("content") if isinstance(file, UploadedFile)]
    errors = [] if files else ["Choose at least one file."]
    for file in files:
        try:
            target = f"{path}/{check_name(file.name or '')}"
            deeds.write(user, target, _chunks(file), length=file.size or 0, expect=expect)
        except FileExists:
            errors.append(f"{shown(file.name or '')} exists already: tick “Replace” to write over it.")
        except HostelError as error:
            errors.append(f"{shown(file.name or '')}: {error}")
    if _wants_json(request):
        return JsonResponse({"errors": errors}, status=400 if errors else 200)
    if errors:
        return _directory(request, user, path, errors={"upload": errors})
    messages.success(request, f"Uploaded {len(files)} file{'' if len(files) == 1 else 's'}.")
    return redirect(address(user.username, path))


def _new_file(request: HttpRequest, user: User, path: str) -> HttpResponse:
    typed = request.POST.get("name", "").strip()
    try:
        target = resolve(path, typed, home=home_of(user.username))
        deeds.write(user, target, (), length=0, expect="absent")
    except HostelError as error:
        return _directory(request, user, path, errors={"new_file": [_words(error, typed)]}, typed=typed)
    return redirect(address(user.username, target))


def _new_directory(request: HttpRequest, user: User, path: str) -> HttpResponse:
    typed = request.POST.get("name", "").strip()
    try:
        target = resolve(path, typed, home=home_of(user.username))
        deeds.make_directory(user, target)
    except HostelError as error:
        return _directory(request, user, path, errors={"new_directory": [_words(error, typed)]}, typed=typed)
    return redirect(address(user.username, target))


def _rename(request: HttpRequest, user: User, path: str) -> HttpResponse:
    name, typed = decode_name(request.POST.get("name", "")), request.POST.get("to", "").strip()
    try:
        deeds.move(user, f"{path}/{name}", resolve(path, typed, home=home_of(user.username)))
    except HostelError as error:
        return _ask(request, user, path, "rename", error=_words(error, typed), typed=typed)
    messages.success(request, f"Renamed {shown(name)} to {shown(typed)}.")
    return redirect(address(user.username, path))


def _delete(request: HttpRequest, user: User, path: str) -> HttpResponse:
    name = decode_name(request.POST.get("name", ""))
    with contextlib.suppress(NoSuchFile):  # somebody was faster
        deeds.delete(user, f"{path}/{name}")
    messages.success(request, f"Deleted {shown(name)}.")
    return redirect(address(user.username, path))


def _unknown(request: HttpRequest, user: User, path: str) -> HttpResponse:
    raise FileRefused("There is no such deed.")


def _words(error: HostelError, typed: str) -> str:
    return f"{shown(typed)} exists already." if isinstance(error, FileExists) else str(error)


def _chunks(content: "UploadedFile[Any]") -> Iterator[bytes]:
    yield from content.chunks(_PIECE)


_DEEDS: dict[str, Callable[[HttpRequest, User, str], HttpResponse]] = {
    "upload": _upload,
    "new_file": _new_file,
    "new_directory": _new_directory,
    "rename": _rename,
    "delete": _delete,
    "save": editor.save,
}
