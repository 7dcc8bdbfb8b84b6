"""Reading websites' log files, as root, without trusting what lies at their paths.

The files are the logger's and nginx's; tenants see them read-only. Even so each is opened component by component
without following links, and control characters never reach a terminal.
"""

import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from hostel.cli.errors import CommandFailed

POLL_S = 0.25
BLOCK_BYTES = 1 << 16


class Kind(StrEnum):
    ERROR = "error"
    SERVER = "server"
    ACCESS = "access"


@dataclass(frozen=True, slots=True)
class Log:
    """One log of one website, by its canonical domain."""

    domain: str
    kind: Kind


@dataclass(slots=True)
class OpenLog:
    """A log file being read, through its rotations."""

    directory: Path
    name: str  # of the file; the domain in it as its owner typed it
    prefix: bytes
    file: BinaryIO
    unfinished: bytes = field(default=b"")  # the start of a line whose end was not written yet

    def new_lines(self) -> Iterator[bytes]:
        """All whole lines written since the last call, also those just before a rotation."""
        yield from self._read()
        if (successor := self._successor()) is not None:
            yield from self._read()  # written between the read above and the rotation
            self.file.close()
            self.file = successor
            yield from self._read()

    def _read(self) -> Iterator[bytes]:
        if os.fstat(self.file.fileno()).st_size < self.file.tell():
            self.file.seek(0)  # truncated in place
        while data := self.file.read(BLOCK_BYTES):
            *lines, self.unfinished = (self.unfinished + data).split(b"\n")
            yield from lines

    def _successor(self) -> BinaryIO | None:
        """The file that took this one's name, if one did."""
        successor = open_log(self.directory, self.name)
        if successor is None:
            return None
        if os.path.sameopenfile(successor.fileno(), self.file.fileno()):
            successor.close()
            return None
        return successor


def print_logs(site_logs: Path, wanted: Sequence[Log], *, lines: int, follow: bool) -> None:
    """Print the last `lines` lines of each of `wanted`, then, with `follow`, new ones until interrupted."""
    found = [opened for log in wanted if (opened := find_log(site_logs, log, prefixed=len(wanted) > 1)) is not None]
    if not found:
        names = ", ".join(sorted({log.domain for log in wanted}))
        message = f"there are no such logs of {names} below {site_logs}"
        raise CommandFailed(message, hint="`hostel website list` shows the names; a log appears with its first line")
    for log in found:
        _print(log, _last_lines(log, lines))
        if not follow and log.unfinished:
            _print(log, [log.unfinished])
    try:
        while follow:
            sys.stdout.flush()
            time.sleep(POLL_S)
            for log in found:
                _print(log, log.new_lines())
    except KeyboardInterrupt:
        pass
    finally:
        for log in found:
            log.file.close()


def find_log(site_logs: Path, log: Log, *, prefixed: bool) -> OpenLog | None:
    """The newest file for `log` among all users' directories; domains compare without regard to case."""
    wanted = f"{log.domain}.{log.kind}.log"
    candidates = [
        (entry.stat(follow_symlinks=False).st_mtime, user.path, entry.name)
        for user in _entries(site_logs)
        if user.is_dir(follow_symlinks=False)
        for entry in _entries(Path(user.path))
        if entry.name.lower() == wanted
    ]
    for _, directory, name in sorted(candidates, reverse=True):
        if (file := open_log(Path(directory), name)) is not None:
            prefix = f"{log.domain} {log.kind:<6} | ".encode() if prefixed else b""
            return OpenLog(Path(directory), name, prefix, file)
    return None


def open_log(directory: Path, name: str) -> BinaryIO | None:
    """Open a regular file in `directory` for reading; None if there is none. Follows no link to another place."""
    try:
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return None
    finally:
        os.close(parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


def printable(text: str) -> str:
    """`text` with control characters made visible: a website's output must not command the operator's terminal."""
    return "".join(c if c == "\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _last_lines(log: OpenLog, count: int) -> list[bytes]:
    """The last `count` whole lines, read backwards block by block; leaves the file at its end."""
    position = end = log.file.seek(0, os.SEEK_END)
    data = b""
    while position > 0 and data.count(b"\n") <= count:
        step = min(BLOCK_BYTES, position)
        position = log.file.seek(position - step)
        data = log.file.read(step) + data
    *lines, log.unfinished = data.split(b"\n")
    log.file.seek(end)
    return lines[-count:] if count else []


def _print(log: OpenLog, lines: Iterator[bytes] | list[bytes]) -> None:
    is_terminal = sys.stdout.isatty()
    for line in lines:
        text = printable(line.decode(errors="replace")).encode() if is_terminal else line
        sys.stdout.buffer.write(log.prefix + text + b"\n")
    sys.stdout.buffer.flush()
