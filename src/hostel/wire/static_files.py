"""Static mappings of a website: which addresses are answered with files of its owner's home. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from hostel.wire.errors import Refusal

MAPPINGS_MOST = 50
URL_BYTES_LIMIT = 512
PATH_BYTES_LIMIT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticMapping:
    """Of several that fit a request the first one counts. `path` is a file, or a directory that holds the files."""

    url: str
    path: str


class InvalidMapping(Refusal):
    """That static mapping cannot be used."""

    code = "invalid_mapping"


def check_url(url: str) -> str:
    """`url`, or InvalidMapping. Requests are compared decoded: `/my files/`, not `/my%20files/`."""
    _check_text(url, "A URL", URL_BYTES_LIMIT)
    if not url.startswith("/"):
        raise InvalidMapping("A URL begins with a slash: /static/, for example.")
    if "?" in url or "#" in url:
        raise InvalidMapping("A URL is the path only, without ? and #.")
    if not _is_plain(url):
        raise InvalidMapping("A URL holds no empty parts and none that are . or .. alone: /static/, for example.")
    return url


def check_path(path: str, *, username: str) -> str:
    """`path`, or InvalidMapping. What it leads to is found out by each request, as the edge, never by root."""
    home = f"/home/{username}"
    _check_text(path, "A path", PATH_BYTES_LIMIT)
    if path != home and not path.startswith(f"{home}/"):
        raise InvalidMapping(f"A path lies in your home: {home}/static, for example.")
    if not _is_plain(path):
        raise InvalidMapping("A path holds no empty parts and none that are . or .. alone.")
    return path


def check_mappings(mappings: Sequence[StaticMapping], *, username: str) -> None:
    """Raises InvalidMapping where one of them cannot be, or where they are too many."""
    if len(mappings) > MAPPINGS_MOST:
        raise InvalidMapping(f"A website has at most {MAPPINGS_MOST} static mappings.")
    for mapping in mappings:
        check_url(mapping.url)
        check_path(mapping.path, username=username)


def _is_plain(path: str) -> bool:
    parts = path.removeprefix("/").removesuffix("/").split("/")
    return parts == [""] or not {"", ".", ".."} & set(parts)


def _check_text(text: str, what: str, limit: int) -> None:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise InvalidMapping(f"{what} holds no control characters.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidMapping(f"{what} is text that UTF-8 can spell.") from None
    if size > limit:
        raise InvalidMapping(f"{what} has at most {limit:,} bytes.")
