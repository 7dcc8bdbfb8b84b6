"""The page of one file: its text to edit, or why it is only there to be fetched; and what reads it again."""

import contextlib
from typing import Any

import httpx
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from hostel.panel import agent, homes
from hostel.panel.accounts.models import User
from hostel.panel.files import deeds
from hostel.panel.files.code_of import websites_of
from hostel.panel.files.listing import shown
from hostel.panel.files.modes import find_mode
from hostel.panel.files.paths import address, home_of, is_below
from hostel.panel.files.text import EDIT_BYTES, Text, digest_of, read_text, write_text
from hostel.panel.websites import deploy
from hostel.wire.errors import FileChanged, HostelError, NoSuchFile


def show(request: HttpRequest, user: User, path: str, found: httpx.Response) -> HttpResponse:
    """`found`: the file, opened and unread."""
    length = int(found.headers["content-length"])
    with contextlib.closing(found):
        text = read_text(agent.read_bounded(found, most=EDIT_BYTES)) if length <= EDIT_BYTES else None
    page: dict[str, Any] = {"size": length, "is_too_large": length > EDIT_BYTES}
    reloaded = user.websites.find(request.GET.get("reloaded", ""))
    if reloaded is not None:
        page |= {"reloaded": reloaded, "condition": deploy.look_at(reloaded)}
    return _page(request, user, path, text, **page)


def save(request: HttpRequest, user: User, path: str) -> HttpResponse:
    """Writes only over what this page has shown: who would lose another's change is asked first."""
    newline, sent = request.POST.get("newline", ""), request.POST.get("text", "")
    data = write_text(sent, newline=newline)
    expect = request.POST.get("digest", "") or "absent"
    try:
        deeds.write(user, path, (data,), length=len(data), expect=expect)
    except FileChanged:
        return _conflict(request, user, path, data)
    except HostelError as error:
        return _again(request, user, path, data, digest=expect, error=str(error), status=error.status)
    website = user.websites.find(request.POST.get("website", "")) if "reload" in request.POST else None
    if website is None:
        messages.success(request, "Saved.")
        return redirect(address(user.username, path))
    try:
        deploy.reload(website)
    except HostelError as error:
        words = f"Saved, but {website.domain_name} was not reloaded: {error}"
        return _again(request, user, path, data, digest=digest_of(data), error=words, status=error.status)
    return redirect(f"{address(user.username, path)}?reloaded={website.canonical_name}")


def _conflict(request: HttpRequest, user: User, path: str, data: bytes) -> HttpResponse:
    """Keeps what was typed, and knows from here on what it would write over."""
    try:
        with contextlib.closing(homes.open_file(user.username, path)) as found:
            if int(found.headers["content-length"]) > EDIT_BYTES:
                words = f"The file has become larger than {EDIT_BYTES >> 10} KiB meanwhile, and was left as it is."
                return _again(request, user, path, data, digest="absent", error=words, status=409)
            digest = digest_of(agent.read_bounded(found, most=EDIT_BYTES))
    except NoSuchFile:
        return _again(request, user, path, data, digest="absent", is_gone=True, status=409)
    return _again(request, user, path, data, digest=digest, is_changed=True, status=409)


def _again(request: HttpRequest, user: User, path: str, data: bytes, *, digest: str, **page: Any) -> HttpResponse:
    typed = read_text(data) or Text(text="", newline="lf", is_mixed=False, digest="")
    return _page(request, user, path, typed, size=len(data), **{"digest": digest, **page})


def _page(request: HttpRequest, user: User, path: str, text: Text | None, **page: Any) -> HttpResponse:
    page = {
        "here": address(user.username, path),
        "path": path,
        "path_shown": shown(path),
        "name": shown(path.rpartition("/")[2]),
        "directory": address(user.username, path.rpartition("/")[0]),
        "directory_shown": shown(path.rpartition("/")[0]),
        "text": text,
        "digest": text.digest if text else "",
        "is_writable": is_below(path, home_of(user.username)),
        "mode": find_mode(path),
        "websites": websites_of(path, user.websites.all(), username=user.username),
        "limit_kb": EDIT_BYTES >> 10,
        **page,
    }
    return render(request, "files/file.html", page, status=page.pop("status", 200))
