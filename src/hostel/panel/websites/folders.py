"""Folders of a home to choose one from. What the user's own process answers is bounded and shown as text."""

import contextlib
import posixpath
from dataclasses import dataclass

from hostel.panel import agent, homes
from hostel.wire.errors import NotADirectory

_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    path: str
    above: str  # "" at the home
    names: tuple[str, ...]
    files: tuple[str, ...]  # a few, so that one knows the place
    is_cut: bool

    def shown(self) -> list[dict[str, str]]:
        return [{"name": name, "path": posixpath.join(self.path, name)} for name in self.names]


def within_home(path: str, *, home: str) -> str:
    """`path` without detours, if it lies in the home; else the home."""
    normal = posixpath.normpath(posixpath.join(home, path)) if "\0" not in path else home
    return normal if normal.startswith(f"{home}/") else home


def list_folders(username: str, path: str) -> Folders:
    """Raises NoSuchFile, NotADirectory, FileForbidden or FilesUnreachable."""
    with contextlib.closing(homes.open_file(username, path)) as answer:
        if answer.headers.get("content-type") != "application/json":
            raise NotADirectory
        found = agent.read_json(answer)
    entries = found if isinstance(found, dict) else {}
    shown = {agent.printable(name): kind for name, kind in entries.items() if not str(name).startswith(".")}
    names = [name for name, kind in shown.items() if kind in ("directory", "symlink") and name.isprintable()]
    home = f"/home/{username}"
    return Folders(
        path=path,
        above=posixpath.dirname(path) if path != home else "",
        names=tuple(names[:_MOST]),
        files=tuple(name for name, kind in shown.items() if kind == "file")[:8],
        is_cut=len(names) > _MOST,
    )
