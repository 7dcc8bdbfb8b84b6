"""Which websites a file is the code of. Pure."""

import posixpath
import re
from collections.abc import Iterable

from hostel.panel.files.paths import home_of, is_below
from hostel.panel.websites.models import Website

_WORD = re.compile(r"""[^\s"'=;&|()]+""")
_PROGRAMS = frozenset({"bin", "sbin", "lib"})  # of a virtualenv: no code of the website's own


def websites_of(path: str, websites: Iterable[Website], *, username: str) -> list[Website]:
    """Those that run in a directory above the file, the innermost first."""
    found = [(directory, website) for website in websites if (directory := _above(path, website, username))]
    return [website for _, website in sorted(found, key=lambda pair: -len(pair[0]))]


def _above(path: str, website: Website, username: str) -> str:
    """The innermost directory of the website that the file is in, or "" """
    return max((place for place in _directories(website, username) if is_below(path, place)), key=len, default="")


def _directories(website: Website, username: str) -> set[str]:
    """What its command names, and where it is started; the home only where nothing else is known."""
    home = home_of(username)
    start = posixpath.join(home, website.working_directory)
    named = {
        posixpath.normpath(posixpath.join(start, re.sub(r"^(~|\$HOME|\$\{HOME\})(?=/|$)", home, word)))
        for word in _WORD.findall(website.command)
        if "/" in word or word == "~"
    }
    places = {place for place in named if is_below(place, home) and not _PROGRAMS & set(place.split("/"))}
    return {place for place in (*places, posixpath.normpath(start)) if place != home} or {home}
