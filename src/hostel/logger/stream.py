"""Moves the bytes of one FIFO into its log file, within the website's allowance.

splice(2) moves them inside the kernel: what a call has written it has taken from the pipe, and what it has not is
still there, so a logger killed at any instant neither loses nor repeats a byte. The price: the file must not be
open for appending (EINVAL), so the position is its size, and nobody but the logger may write to it. Only what is
over the allowance, or cannot be written, is read into this process; it is counted and dropped, because a website
must never wait for its log.
"""

import errno
import fcntl
import os
import stat
import struct
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostel.wire import failpoint
from hostel.wire.streams import TAIL_BYTES, TAIL_LINES
from hostel.wire.website import MIB

_CHUNK_BYTES = 64 * 1024
_LOG_MODE = 0o644  # the tenant reads it through a read-only mount


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one website may log: `burst_bytes` at once, `bytes_per_s` in the long run."""

    bytes_per_s: int = MIB
    burst_bytes: int = 8 * MIB


class Allowance:
    """A token bucket, in bytes; shared by all streams of a website."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._bytes = float(rate.burst_bytes)
        self._filled_at = 0.0  # of the monotonic clock

    def available(self, now: float) -> int:
        earned = max(0.0, now - self._filled_at) * self._rate.bytes_per_s
        self._bytes = min(float(self._rate.burst_bytes), self._bytes + earned)
        self._filled_at = now
        return int(self._bytes)

    def spend(self, count: int) -> None:
        self._bytes -= count

    def may_resume(self, now: float) -> bool:
        """Whether a second's worth is available: a flooded log then says so once a second, not at every turn."""
        return self.available(now) >= min(self._rate.bytes_per_s, self._rate.burst_bytes)


class LogFile:
    """One log file, shared by all streams that go to it. Its methods raise OSError as the disk does."""

    def __init__(self, path: Path, *, limit_bytes: int, rotate: Callable[[Path], None]) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._rotate = rotate
        self._descriptor: int | None = None

    def splice_from(self, pipe: int, limit: int) -> int:
        """Move up to `limit` bytes, more than 0, from `pipe`. BlockingIOError means that the pipe is empty."""
        descriptor, size = self._open()
        try:
            return os.splice(pipe, descriptor, limit, offset_dst=size, flags=os.SPLICE_F_NONBLOCK)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        # A file system that cannot splice. A logger killed between these two calls loses what the first one took.
        return self.append(os.read(pipe, min(limit, _CHUNK_BYTES)))

    def append(self, data: bytes) -> int:
        descriptor, size = self._open()
        written = 0
        while written < len(data):
            written += os.pwrite(descriptor, data[written:], size + written)
        return written

    def last(self, count: int) -> bytes:
        descriptor, size = self._open(may_rotate=False)
        return os.pread(descriptor, count, max(0, size - count))

    def turn(self) -> None:
        """Make it copy 1; the next line begins a new file."""
        self.close()
        self._rotate(self.path)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self, *, may_rotate: bool = True) -> tuple[int, int]:
        """Descriptor and size of the file that has this name now; rotated when full, made anew when removed."""
        if self._descriptor is None:
            self._descriptor = _open_log(self.path)
        status = os.fstat(self._descriptor)
        is_full = may_rotate and status.st_size >= self._limit_bytes
        if status.st_nlink and not is_full:
            return self._descriptor, status.st_size
        self.close()
        if is_full and status.st_nlink:
            self._rotate(self.path)
        self._descriptor = _open_log(self.path)
        return self._descriptor, os.fstat(self._descriptor).st_size


def _open_log(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, _LOG_MODE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


class Stream:
    """One FIFO of a run. Nothing here blocks on the FIFO, and no error of the log file leaves this class."""

    def __init__(self, fifo: Path, file: LogFile, allowance: Allowance, *, keeps_tail: bool = False) -> None:
        self.file = file
        self.is_dropping = False
        self._allowance = allowance
        self._dropped_lines = 0
        self._keeps_tail = keeps_tail
        self._tail = b""
        # Read-write, so that the end of the last writer is not reported for ever: `close` ends a stream, not EOF.
        self._pipe = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        if not stat.S_ISFIFO(os.fstat(self._pipe).st_mode):
            os.close(self._pipe)
            raise OSError(errno.EINVAL, "not a FIFO", str(fifo))

    def fileno(self) -> int:
        return self._pipe

    def is_removed(self) -> bool:
        """Whether the FIFO has no name any more: its run is over, and no `close` will come."""
        return os.fstat(self._pipe).st_nlink == 0

    def pump(self, now: float) -> None:
        """Take all that was written until now; a writer that goes on cannot prolong it.

        That is at most one pipe's content. `now` is of the monotonic clock.
        """
        (waiting,) = struct.unpack("i", fcntl.ioctl(self._pipe, termios.FIONREAD, bytes(4)))
        try:
            while waiting > 0:
                waiting -= self._drop(waiting, now) if self.is_dropping else self._move(waiting, now)
        except BlockingIOError:  # somebody else read it: the tenant, who may
            return

    def resume(self, now: float, data: bytes = b"", *, at_once: bool = False) -> bool:
        """Say how much was dropped and write to the file again, `data` first. False if it is not time or fails."""
        if not (at_once or self._allowance.may_resume(now)):
            return False
        noun = "line" if self._dropped_lines <= 1 else "lines"
        notice = f"[hostel] {max(1, self._dropped_lines)} {noun} dropped\n".encode("ascii")
        try:
            is_at_line_start = self.file.last(1) in (b"", b"\n")
            self._allowance.spend(self.file.append((b"" if is_at_line_start else b"\n") + notice + data))
        except OSError:
            return False
        self.is_dropping = False
        self._dropped_lines = 0
        return True

    def tail(self) -> tuple[str, ...]:
        """The last lines that came through this stream, fit for a terminal and a page."""
        data = self._tail
        if len(data) > TAIL_BYTES:
            data = data[-TAIL_BYTES:].partition(b"\n")[2] or data[-TAIL_BYTES:]
        lines = data.decode("utf-8", "replace").removesuffix("\n").split("\n") if data else []
        return tuple(_without_controls(line) for line in lines[-TAIL_LINES:])

    def close(self, now: float) -> None:
        if self.is_dropping:
            self.resume(now, at_once=True)
        os.close(self._pipe)

    def _move(self, limit: int, now: float) -> int:
        limit = min(limit, self._allowance.available(now))
        if limit <= 0:
            self.is_dropping = True
            return 0
        try:
            moved = self.file.splice_from(self._pipe, limit)
            failpoint.reach("logger.moved")
            self._remember(self.file.last(min(moved, TAIL_BYTES + 1)) if self._keeps_tail else b"")
        except BlockingIOError:
            raise
        except OSError as error:
            print(f"{self.file.path}: {error.strerror}; dropping", file=sys.stderr, flush=True)
            self.is_dropping = True
            return 0
        self._allowance.spend(moved)
        return moved

    def _drop(self, limit: int, now: float) -> int:
        data = os.read(self._pipe, min(limit, _CHUNK_BYTES))
        self._remember(data)
        lines = data.count(b"\n")
        if lines and self._allowance.may_resume(now):
            self._dropped_lines += 1
            if self.resume(now, data[data.index(b"\n") + 1 :]):  # at the start of a line
                return len(data)
            lines -= 1
        self._dropped_lines += lines
        return len(data)

    def _remember(self, data: bytes) -> None:
        if self._keeps_tail:
            self._tail = (self._tail + data)[-(TAIL_BYTES + 1) :]


def _without_controls(text: str) -> str:
    # Category Cc: C0 without the tab, DEL, and C1, which terminals obey too.
    return "".join(c for c in text if c == "\t" or not (ord(c) < 32 or 127 <= ord(c) < 160))
