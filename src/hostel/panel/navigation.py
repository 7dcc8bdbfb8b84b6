"""The main navigation: which sections the panel has. A new one is one line here, once its first page exists."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from hostel.panel.accounts.models import User

# Of a user's own pages: what it is called, and the URL name of its first page. All pages below that belong to it.
_SECTIONS = (
    ("Dashboard", "dashboard"),
    ("Websites", "websites:list"),
    ("Files", "files:home"),
    ("Consoles", "consoles:list"),
    ("Account", "account"),
)


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    url: str
    is_current: bool


def navigation(request: HttpRequest) -> dict[str, Any]:
    """A context processor. Nothing is read before a template asks: an error page may come where nothing can be."""
    return {"sections": lambda: _sections(request)}


def _sections(request: HttpRequest) -> list[Section]:
    sections = []
    if isinstance(request.user, User):
        home = reverse("dashboard", args=[request.user.username])
        for title, name in _SECTIONS:
            url = reverse(name, args=[request.user.username])
            is_current = request.path == url if url == home else request.path.startswith(url)
            sections.append(Section(title, url, is_current))
        if request.user.is_superuser:
            users = reverse("admin:index")
            sections.append(Section("Users", users, request.path.startswith(users)))
    docs = reverse("docs")
    return [*sections, Section("API docs", docs, request.path == docs)]
