"""Keeps small a log that a part can open by itself: renames it and asks the part, by a signal, to open it anew.

No line is lost: until it has heard the signal the part writes on to the renamed file.
"""

import contextlib
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from hostel.wire.process import ProcessIdentity
from hostel.wire.website import MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLog:
    path: Path
    reopened_by: signal.Signals
    limit_bytes: int = 10 * MIB


def rotate(log: OwnLog, process: ProcessIdentity) -> bool:
    """Make `log` its copy `.1`, in the place of an older one, if it has grown too large. Returns whether it did.

    Safe to repeat after a kill at any instant. Raises OSError.
    """
    if not _catches(process.pid, log.reopened_by):
        return False  # still starting: the signal would end it
    try:
        if log.path.stat(follow_symlinks=False).st_size <= log.limit_bytes:
            return False
        os.rename(log.path, f"{log.path}.1")
    except FileNotFoundError:
        pass  # renamed, but the part was not told
    process.send(log.reopened_by)
    return True


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether process `pid` has a handler for the signal, as proc(5) shows in SigCgt."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)
    return False
