"""The three logs of a website as pages: their last lines, filtered, and what comes; older copies to fetch."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django_htmx.http import HttpResponseClientRefresh

from hostel.panel import homes
from hostel.panel.files.listing import shown
from hostel.panel.files.paths import address
from hostel.panel.websites.models import Website
from hostel.panel.websites.pages import own_website
from hostel.wire.errors import HostelError

SHOWN_MOST = 500  # lines at once
GROWN_MOST = 5_000  # lines that a page collects before it loads itself anew
LOOKS_MOST = 900  # half an hour, every two seconds
_SEARCHED = 5_000  # of the last lines, where only some are wanted
_WORD_MOST = 200
_ABOUT = {
    "access": "Each request: who asked for what, and how it was answered.",
    "error": "What the command writes to stderr: warnings, tracebacks, and what Hostel has to say about its runs.",
    "server": "What the command writes to stdout: what it prints.",
}


@require_safe
@own_website
def show(request: HttpRequest, website: Website, kind: str) -> HttpResponse:
    user, path = website.owner, _path(website, kind)
    wanted = _wanted(request)
    page: dict[str, Any] = {"website": website, "kind": kind, "about": _ABOUT[kind], "wanted": wanted, "path": path}
    page["kinds"] = [
        (each, reverse("websites:log", args=[user.username, website.domain_name, each])) for each in _ABOUT
    ]
    page["file"] = address(user.username, path)
    page["is_live"] = request.GET.get("live") != "0"
    try:
        found = homes.read_log(user.username, path, lines=_SEARCHED if wanted else SHOWN_MOST)
    except HostelError as error:
        return render(request, "websites/log.html", {**page, "error": str(error)}, status=error.status)
    lines = _only(found.lines, wanted)[-SHOWN_MOST:]
    page["lines"] = lines
    page["copies"] = [
        (shown(name), address(user.username, f"/var/log/{name}")) for name in sorted(found.copies) if "/" not in name
    ]
    page["more"] = _more(request, website, kind, after=found.position, grown=len(lines), looks=0)
    return render(request, "websites/log.html", page)


@require_safe
@own_website
def more(request: HttpRequest, website: Website, kind: str) -> HttpResponse:
    """The live part: what has come, and where the next one is. Nothing where the agent does not say, so that htmx asks
    again."""
    user, path = website.owner, _path(website, kind)
    after, looks, grown = request.GET.get("after", ""), _count(request, "looks"), _count(request, "grown")
    if not homes.POSITION.fullmatch(after) or grown > GROWN_MOST:
        return HttpResponseClientRefresh()
    try:
        found = homes.read_on(user.username, path, after=after)
    except HostelError as error:
        return HttpResponse(status=error.status)
    lines = _only(found.lines, _wanted(request))
    page = {
        "lines": lines[-SHOWN_MOST:],
        "left_out": max(0, len(lines) - SHOWN_MOST),
        "has_ended": looks >= LOOKS_MOST,
        "here": _here(website, kind),
        "more": _more(request, website, kind, after=found.position, grown=grown + len(lines), looks=looks + 1),
    }
    return render(request, "websites/_log_lines.html", page)


def _path(website: Website, kind: str) -> str:
    if kind not in website.logfiles:
        raise Http404
    return website.logfiles[kind]


def _here(website: Website, kind: str) -> str:
    return reverse("websites:log", args=[website.owner.username, website.domain_name, kind])


def _more(request: HttpRequest, website: Website, kind: str, **position: Any) -> str:
    where = reverse("websites:log_more", args=[website.owner.username, website.domain_name, kind])
    return f"{where}?{urlencode({**position, 'q': _wanted(request)})}"


def _wanted(request: HttpRequest) -> str:
    return request.GET.get("q", "").strip()[:_WORD_MOST]


def _only(lines: Iterable[str], wanted: str) -> Sequence[str]:
    word = wanted.casefold()
    return [_visible(line) for line in lines if word in line.casefold()]


def _visible(line: str) -> str:
    """Tabs as they are, other control characters as escapes: a terminal's colours are not a page's."""
    return "\t".join(shown(part) for part in line.split("\t"))


def _count(request: HttpRequest, name: str) -> int:
    given = request.GET.get(name, "")
    return int(given) if given.isdecimal() and len(given) < 9 else 0
