"""A directory as its page shows it. The tenant's own process has answered: nothing of it is believed but its form."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from hostel.wire.errors import FilesUnreachable

_LATEST = datetime(9999, 12, 31, tzinfo=UTC)
_KINDS = frozenset({"file", "directory", "symlink"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    name: str  # bytes that are not UTF-8 as halves of surrogate pairs
    kind: str  # file, directory, symlink or other
    size: int
    modified: datetime
    target: str = ""  # of a symlink, as it is written
    leads_to: str = ""  # the kind of what is there

    @property
    def shown(self) -> str:
        return shown(self.name)

    @property
    def target_shown(self) -> str:
        return shown(self.target)

    @property
    def code(self) -> str:
        """For forms: ASCII, whatever the name."""
        return encode_name(self.name)

    @property
    def is_utf8(self) -> bool:
        """Whether an address can name it: what is between decodes addresses as UTF-8."""
        try:
            self.name.encode()
        except UnicodeEncodeError:
            return False
        return True

    @property
    def is_directory(self) -> bool:
        return "directory" in (self.kind, self.leads_to)

    @property
    def can_be_opened(self) -> bool:
        return self.is_utf8 and (self.is_directory or "file" in (self.kind, self.leads_to))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    entries: tuple[Entry, ...]
    seen: int  # entries that were looked through
    has_more: bool


def parse_listing(answer: object) -> Listing:
    """Raises FilesUnreachable where it is none."""
    if not isinstance(answer, dict) or not isinstance(answer.get("entries"), list):
        raise FilesUnreachable
    entries = tuple(_parse_entry(found) for found in answer["entries"] if isinstance(found, dict))
    return Listing(entries=entries, seen=_number(answer.get("seen")), has_more=answer.get("has_more") is True)


def shown(name: str) -> str:
    """A name on a page: what is no visible character (a line break, a change of direction, half a character) as its
    escape, so that no two names look the same and none reaches out of its place.
    """
    return "".join(char if char.isprintable() else _escape(char) for char in name)


def encode_name(name: str) -> str:
    return quote(name, safe="", errors="surrogateescape")


def _escape(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode()


def _parse_entry(found: Mapping[str, object]) -> Entry:
    name, kind = found.get("name"), found.get("kind")
    if not isinstance(name, str) or not name or "/" in name or name in (".", "..") or not _is_name(name):
        raise FilesUnreachable
    target, leads_to = found.get("target"), found.get("leads_to")
    return Entry(
        name=name,
        kind=kind if isinstance(kind, str) and kind in _KINDS else "other",
        size=_number(found.get("size")),
        modified=_time(found.get("modified")),
        target=target if isinstance(target, str) else "",
        leads_to=leads_to if isinstance(leads_to, str) and leads_to in _KINDS else "",
    )


def _is_name(name: str) -> bool:
    try:
        return len(name.encode(errors="surrogateescape")) <= 255
    except UnicodeEncodeError:
        return False


def _number(found: object) -> int:
    return max(0, min(found, 1 << 62)) if isinstance(found, int) else 0


def _time(found: object) -> datetime:
    seconds = float(found) if isinstance(found, int | float) and math.isfinite(found) else 0.0
    return datetime.fromtimestamp(max(0.0, min(seconds, _LATEST.timestamp())), UTC)
