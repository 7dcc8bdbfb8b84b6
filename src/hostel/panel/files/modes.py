"""Which of CodeMirror's modes colours which file: its name, and the directories of Debian's package that it needs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mode:
    name: str
    scripts: tuple[str, ...]  # in the order in which they must come


_PYTHON = Mode("python", ("python",))
_HTML = Mode("htmlmixed", ("xml", "javascript", "css", "htmlmixed"))
_SCRIPT = Mode("javascript", ("javascript",))
_BY_END = {
    ".py": _PYTHON,
    ".pyi": _PYTHON,
    ".html": _HTML,
    ".htm": _HTML,
    ".css": Mode("css", ("css",)),
    ".js": _SCRIPT,
    ".json": Mode("application/json", ("javascript",)),
    ".md": Mode("markdown", ("xml", "markdown")),
    ".sh": Mode("shell", ("shell",)),
    ".toml": Mode("toml", ("toml",)),
    ".yaml": Mode("yaml", ("yaml",)),
    ".yml": Mode("yaml", ("yaml",)),
}
SCRIPTS = tuple(sorted({script for mode in _BY_END.values() for script in mode.scripts}))


def find_mode(path: str) -> Mode | None:
    name = path.rpartition("/")[2]
    return _BY_END.get(f".{name.rpartition('.')[2]}".lower()) if "." in name else None
