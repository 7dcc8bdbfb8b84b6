"""Compresses rotated copies, one at a time, in a child process.

A child, not a thread: ten megabytes take a third of a second of CPU, the child takes it at the lowest priority and
shares neither interpreter nor fate with the logger. There is no queue of work to lose: the copies that are still
plain are the queue, and a sweep finds them again.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from hostel.logger import rotation


class Compressor:
    """At most one compression at a time. The caller watches `pidfd` and calls `finish` when it is readable.

    Rotation goes on meanwhile and renames the copies. So the copy is known by an open descriptor, which also keeps
    its inode number from being given to another file, and never by its name.
    """

    def __init__(self) -> None:
        self._waiting: dict[Path, None] = {}  # logs with plain copies, in order of arrival
        self._child: subprocess.Popen[bytes] | None = None
        self._log = Path()
        self._copy = -1
        self.pidfd = -1

    def add(self, log: Path) -> None:
        """Compress the copies of `log` that are due, after what was asked for before."""
        self._waiting[log] = None

    def start_next(self) -> bool:
        """Start on the next copy. False if one is under way or none is due."""
        while self._child is None and self._waiting:
            log = next(iter(self._waiting))
            copy = rotation.find_compressible(log) if log.parent.is_dir() else None
            if copy is not None:
                self._start(log, copy)
                return True
            del self._waiting[log]
        return False

    def _start(self, log: Path, copy: Path) -> None:
        self._log = log
        self._partial.unlink(missing_ok=True)  # a killed logger's child may still write to the file of that name
        self._copy = os.open(copy, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        argv = [sys.executable, "-m", "hostel.logger.compress", str(self._partial)]
        self._child = subprocess.Popen(argv, stdin=self._copy)
        self.pidfd = os.pidfd_open(self._child.pid)

    def finish(self) -> None:
        """Put the compressed copy in the place of the plain one."""
        if self._child is None:
            return
        os.close(self.pidfd)
        is_done = self._child.wait() == 0
        self._child = None
        try:
            plain = self._find_plain()
            if is_done and plain is not None:
                os.rename(self._partial, plain.with_name(plain.name + ".gz"))
                plain.unlink()
            else:
                self._partial.unlink(missing_ok=True)
                self._waiting.pop(self._log, None)  # the next sweep tries again
        finally:
            os.close(self._copy)

    @property
    def _partial(self) -> Path:
        return self._log.with_name(f".{self._log.name}.partial")

    def _find_plain(self) -> Path | None:
        inode = os.fstat(self._copy).st_ino
        for number in range(2, rotation.COPIES + 1):
            path = self._log.with_name(f"{self._log.name}.{number}")
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_ino == inode:
                    return path
        return None
