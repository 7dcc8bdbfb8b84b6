"""Static mappings of a website: which addresses are answered with files of its owner's home. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from hostel.wire.errors import Refusal
from hostel.wire.homes import find_fault, find_fault_in_text

MAPPINGS_MOST = 50
URL_BYTES_LIMIT = 512


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
    if not url.startswith("/"):
        raise InvalidMapping("A URL begins with a slash: /static/, for example.")
    if "?" in url or "#" in url:
        raise InvalidMapping("A URL is the path only, without ? and #.")
    _refuse(find_fault_in_text(url, what="A URL", limit=URL_BYTES_LIMIT))
    return url


def check_path(path: str, *, username: str) -> str:
    """`path`, or InvalidMapping. What it leads to is found out by each request, as the edge, never by root."""
    _refuse(find_fault(path, username=username))
    return path


def check_mappings(mappings: Sequence[StaticMapping], *, username: str) -> None:
    """Raises InvalidMapping where one of them cannot be, or where they are too many."""
    if len(mappings) > MAPPINGS_MOST:
        raise InvalidMapping(f"A website has at most {MAPPINGS_MOST} static mappings.")
    for mapping in mappings:
        check_url(mapping.url)
        check_path(mapping.path, username=username)


def _refuse(fault: str | None) -> None:
    if fault:
        raise InvalidMapping(fault)
