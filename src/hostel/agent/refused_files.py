"""Why the edge did not read a file that a static mapping leads to, in words for its owner.

Looks as root at what a tenant can change under its hands, so: from the home's own descriptor downward, a name at a
time, following nothing and opening nothing. What it says may be out of date by then, and decides nothing.
"""

import os
import shlex
import stat
from pathlib import Path

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def explain_refusal(home: Path, parts: tuple[str, ...], *, shown: str) -> str | None:
    """One line on the file at `parts` below `home`, which its owner knows as `shown`; None where nothing is wrong."""
    here = os.open(home, _STEP)
    try:
        if not os.fstat(here).st_mode & (stat.S_IXGRP | stat.S_IXOTH):
            return f"visitors get no file of yours: the mode of your home keeps the edge out; run: chmod g+x {shown}"
        for name in parts:
            try:
                below = os.open(name, _STEP, dir_fd=here)
            except OSError:
                return None  # gone, or never there
            os.close(here)
            here = below
            shown = f"{shown}/{name}"
            trouble = _find_trouble(os.fstat(here).st_mode, _quote(shown))
            if trouble:
                return trouble
    finally:
        os.close(here)
    return None


def _find_trouble(mode: int, shown: str) -> str | None:
    if stat.S_ISLNK(mode):
        return f"visitors do not get what {shown} links to: a link must be relative and lead to files of yours"
    if stat.S_ISDIR(mode) and not mode & stat.S_IXOTH:
        return f"visitors do not get what is below {shown}: its mode keeps others out; run: chmod o+x {shown}"
    if stat.S_ISREG(mode) and not mode & stat.S_IROTH:
        return f"visitors do not get {shown}: its mode does not let others read it; run: chmod o+r {shown}"
    return None


def _quote(path: str) -> str:
    """For a shell, and in one line whatever bytes its owner put into a name."""
    return shlex.quote(path if path.isprintable() else ascii(path)[1:-1])
