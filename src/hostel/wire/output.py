"""The log that a part's standard streams go to, opened by the supervisor first and by the part itself when it grew."""

import os
import signal
from pathlib import Path

REOPEN = signal.SIGUSR1  # to a part, and as nginx has it: its log was renamed, open it anew

APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
MODE = 0o640


def reopen_output(path: Path) -> None:
    """Let standard output and error go to `path` from now on, made anew where it was renamed. Raises OSError."""
    descriptor = os.open(path, APPEND | os.O_CLOEXEC, MODE)
    try:
        for stream in (1, 2):
            os.dup2(descriptor, stream)
    finally:
        os.close(descriptor)
