"""Paths of a home in addresses and forms. Pure."""

import posixpath
from dataclasses import dataclass
from urllib.parse import quote, unquote

from django.urls import reverse

from hostel.panel.files.listing import shown
from hostel.wire.errors import FileRefused

_NAME_BYTES = 255


class AnyPath:
    """Of an address: Django's own `path` stops at a line break."""

    regex = "(?s:.+)"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class BadName(FileRefused):
    """That cannot be a name of a file."""

    code = "bad_name"


@dataclass(frozen=True, slots=True)
class Crumb:
    name: str
    path: str


def home_of(username: str) -> str:
    return f"/home/{username}"


def absolute(path: str) -> str:
    return posixpath.normpath("/" + path.strip("/"))


def is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}/")


def address(username: str, path: str) -> str:
    """Of the page of a file or directory."""
    return f"{reverse('files:home', args=[username])}{quote(path.lstrip('/'), errors='surrogateescape')}/"


def crumbs(path: str) -> list[Crumb]:
    """Each directory above, the outermost first, and the place itself; /home is not the user's to look at."""
    parts = path.strip("/").split("/")
    ends = range(2, len(parts) + 1)
    return [
        Crumb(shown(parts[end - 1] if end > 2 else "/".join(parts[:2])), "/" + "/".join(parts[:end])) for end in ends
    ]


def decode_name(code: str) -> str:
    """What `listing.encode_name` made. Raises BadName."""
    return check_name(unquote(code, errors="surrogateescape"))


def check_name(name: str) -> str:
    """Raises BadName where no file could be called so."""
    if not name:
        raise BadName("Give a name.")
    if name in (".", "..") or "/" in name or "\0" in name:
        raise BadName("Give a name without a slash, other than . and ..")
    if len(name.encode(errors="surrogatepass")) > _NAME_BYTES:
        raise BadName(f"Give a name of at most {_NAME_BYTES} bytes.")
    return name


def resolve(directory: str, typed: str, *, home: str) -> str:
    """Where a name or path leads that somebody typed while looking at `directory`. Raises BadName."""
    if typed.startswith("~/"):
        typed = home + typed[1:]
    for part in typed.strip("/").split("/"):
        if part not in (".", ".."):
            check_name(part)
    found = posixpath.normpath(posixpath.join(directory, typed))
    if not is_below(found, home) or found == home:
        raise BadName(f"Give a name, or a path below {home}.")
    return found
