"""Which process it was: a pid alone names another process later, and after a reboot yet another."""

import contextlib
import ctypes
import errno
import os
import platform
import select
import signal
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Self

RENEW = signal.SIGUSR1  # to a supervisor: have the parts take over a changed hostel.toml
PLATFORM_OOM_SCORE = -900
_OWN_OOM_SCORE = Path("/proc/self/oom_score_adj")
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # sched_setattr(2)
_SHORT_SLICE_NS = 100_000  # the least that the kernel takes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """One process of this machine, told from every other that has or will have its pid."""

    pid: int
    start_ticks: int  # field 22 of /proc/<pid>/stat: clock ticks between boot and its start; exec keeps it
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """The process that has `pid` now, a zombie among them. Raises ProcessLookupError where there is none."""
        return cls(pid=pid, start_ticks=_read_start_ticks(pid), boot_id=read_boot_id())

    def is_alive(self) -> bool:
        """Whether any thread of this very process still runs. A zombie has ended, unless it waits for its threads."""
        try:
            pidfd = self.open_pidfd()
        except ProcessLookupError:
            return False
        try:
            return not has_ended(pidfd)
        finally:
            os.close(pidfd)

    def is_killed(self) -> bool:
        """Whether a KILL waits to be taken, as one does of a process that version 1 of cgroups has frozen. True also of
        a process that has ended and been reaped.
        """
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return True
        waiting = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd:", "ShdPnd:")))
        return any(signals >> (signal.SIGKILL - 1) & 1 for signals in waiting)

    def open_pidfd(self) -> int:
        """A descriptor that becomes readable when the process ends; the caller closes it.

        Raises ProcessLookupError if the process has ended and been reaped.
        """
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):  # before and since Linux 6.9
                raise
            raise ProcessLookupError(f"{self.pid} is a thread of another process now") from error
        if self._has_its_pid():  # asked after the open: from here on the pid cannot be reused
            return pidfd
        os.close(pidfd)
        raise ProcessLookupError(f"process {self.pid} is another one now")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this very process, or to nobody if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            pidfd = self.open_pidfd()
            try:
                signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)

    def _has_its_pid(self) -> bool:
        try:
            return _read_start_ticks(self.pid) == self.start_ticks and self.boot_id == read_boot_id()
        except ProcessLookupError:
            return False


def has_ended(pidfd: int, *, wait_s: float = 0.0) -> bool:
    """Whether its process has ended, all threads of it (pidfd_open(2)), by now or within `wait_s`."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(wait_s * 1000))


def protect_from_out_of_memory() -> None:
    """Let the kernel end websites first where the machine has no memory left. Children inherit it.

    Raises OSError where that is not permitted, as in a container without CAP_SYS_RESOURCE.
    """
    _OWN_OOM_SCORE.write_text(str(PLATFORM_OOM_SCORE), encoding="ascii")


def own_oom_score() -> int:
    return int(_OWN_OOM_SCORE.read_text(encoding="ascii"))


def be_prompt() -> None:
    """Let this process, and what it becomes or starts, take the processor at once when it has something to do.

    For parts that work in short pieces between visitor and website. The kernel gives a process with a short time slice
    its turn before one that would take long (Linux 6.12); an older one knows no such request, and nothing happens.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is not None:
        attributes = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, 0, 0, _SHORT_SLICE_NS, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)


def read_boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _read_start_ticks(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # the second when it ends between open and read
        raise ProcessLookupError(f"there is no process {pid}") from None
    # The name in field 2 may hold spaces and parentheses; what follows its last ")" cannot.
    return int(stat[stat.rindex(b")") + 2 :].split()[19])
