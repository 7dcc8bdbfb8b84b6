"""The supervisor: keeps the parts running, each on its own, and stops them when it is told to.

It may be killed at any moment; the parts go on, and the next supervisor of this root adopts them.
"""

import contextlib
import fcntl
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hostel.supervisor.health import find_panel_state
from hostel.supervisor.own_log import rotate
from hostel.supervisor.part import Part, StopStep, find_part, start_part, write_record
from hostel.wire.config import read_config
from hostel.wire.errors import ConfigError
from hostel.wire.paths import Paths
from hostel.wire.process import RENEW, ProcessIdentity, has_ended

EX_CONFIG = 78  # sysexits.h: a part that exits with it could not use its configuration
_FIRST_S = 10.0  # only in its first seconds is that believed

_BACK_OFF_FIRST_S = 0.2
_BACK_OFF_CAP_S = 10.0
_STABLE_S = 60.0
_FINISH_S = 30.0

_READY_DEADLINE_S = 120.0
_READY_POLL_S = 0.5
_READY_POLL_LATE_S = 5.0
_READY_ANSWER_S = 1.0
_PROGRESS_S = 10.0

_LOGS_EVERY_S = 5.0


def next_back_off_s(previous_s: float, lived_s: float) -> float:
    """How long to wait before the next start, of a part that lived `lived_s` after a wait of `previous_s`.

    Not at all after a long life: while nginx's master is away connections are refused.
    """
    if lived_s >= _STABLE_S:
        return 0.0
    return min(max(2 * previous_s, _BACK_OFF_FIRST_S), _BACK_OFF_CAP_S)


@dataclass(slots=True)
class Process:
    """A part that runs."""

    identity: ProcessIdentity
    pidfd: int
    is_adopted: bool
    log_offset: int = 0  # where its own output begins in the part's log
    started_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Seat:
    """The place of a part: its process, or when the next one is to be started."""

    part: Part
    process: Process | None = None
    back_off_s: float = 0.0
    start_at: float = 0.0
    is_renewed: bool = False  # its process is ended on purpose, for a successor


class Supervisor:
    def __init__(self, paths: Paths, parts: Sequence[Part]) -> None:
        """`parts` in the order in which they are stopped; they are started in the reverse order."""
        self._paths = paths
        self._seats = [Seat(part) for part in parts]
        self._selector = selectors.DefaultSelector()
        self._signals = _open_signals()
        self._exit_statuses: dict[int, int] = {}
        self._is_stopping = False
        self._has_failed = False
        self._readiness = _Readiness(paths)
        self._logs_at = 0.0

    def serve(self) -> int:
        """Run until SIGTERM or SIGINT has stopped all parts. Returns the exit status."""
        try:
            with self._startup():
                while not self._is_stopping:
                    self._main_loop()
                self._shutdown()
        except SupervisorRunning as error:
            say(str(error))
            return 1
        return 1 if self._has_failed else 0

    @contextlib.contextmanager
    def _startup(self) -> Iterator[None]:
        self._paths.supervisor.mkdir(parents=True, exist_ok=True)
        self._paths.log.mkdir(parents=True, exist_ok=True)
        with _lock(self._paths):
            self._selector.register(self._signals, selectors.EVENT_READ)
            for seat in reversed(self._seats):
                self._adopt(seat)
            yield

    def _adopt(self, seat: Seat) -> None:
        record = self._record_path(seat.part)
        identity = find_part(seat.part, record, self._paths.root)
        if identity is None:
            return
        with contextlib.suppress(ProcessLookupError):  # it has just ended: to be started then
            self._seat(seat, identity, is_adopted=True)
            say(f"The {seat.part.name} runs already (pid {identity.pid}): adopted.")

    # -- the loop

    def _main_loop(self) -> None:
        self._start_due()
        for key, _ in self._selector.select(self._timeout_s()):
            if key.fileobj is self._signals:
                self._take_signals()
        running = [(seat, seat.process) for seat in self._seats if seat.process is not None]
        ended = [(seat, process) for seat, process in running if has_ended(process.pidfd)]
        self._reap()  # after the look, so that each end has its status
        for seat, process in ended:
            self._note_end(seat, process)
        if time.monotonic() >= self._logs_at:
            self._rotate_logs()
        if all(seat.process for seat in self._seats):
            self._readiness.check(time.monotonic())

    def _timeout_s(self) -> float:
        due = [seat.start_at for seat in self._seats if seat.process is None]
        if not due and self._readiness.next_check_at is not None:
            due = [self._readiness.next_check_at]
        return max(0.0, min([*due, self._logs_at]) - time.monotonic())

    def _rotate_logs(self) -> None:
        self._logs_at = time.monotonic() + _LOGS_EVERY_S
        for seat in self._seats:
            if seat.part.own_log is not None and seat.process is not None:
                try:
                    rotate(seat.part.own_log, seat.process.identity)
                except OSError as error:
                    say(f"{seat.part.own_log.path} is not rotated: {error}")

    def _take_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            received = set(self._signals.recv(4096))
            if received & {signal.SIGTERM, signal.SIGINT}:
                self._is_stopping = True
            elif RENEW in received:
                self._renew()

    def _renew(self) -> None:
        for seat in self._seats:
            if seat.part.renewed_by is not None and seat.process is not None:
                say(f"The {seat.part.name} is ended for one with the new configuration.")
                seat.is_renewed = True
                seat.process.identity.send(seat.part.renewed_by)

    def _reap(self) -> None:
        """Also what is not a part: as PID 1 of a container the supervisor inherits every orphan."""
        parts = {seat.process.identity.pid for seat in self._seats if seat.process is not None}
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = ended
                if pid in parts:
                    self._exit_statuses[pid] = os.waitstatus_to_exitcode(status)

    # -- starting and ending

    def _start_due(self) -> None:
        for seat in reversed(self._seats):
            if seat.process is None and seat.start_at <= time.monotonic() and not self._is_stopping:
                self._start(seat)

    def _start(self, seat: Seat) -> None:
        part, log = seat.part, self._log_path(seat.part)
        try:
            part.clear()
            offset = log.stat().st_size if log.exists() else 0
            identity = start_part(part, log)
        except OSError as error:
            self._back_off(seat, lived_s=0.0)
            say(f"The {part.name} cannot be started: {error}; trying again in {seat.back_off_s:g} s.")
            return
        self._seat(seat, identity, log_offset=offset)
        say(f"The {part.name} starts (pid {identity.pid}).")

    def _seat(self, seat: Seat, identity: ProcessIdentity, *, is_adopted: bool = False, log_offset: int = 0) -> None:
        pidfd = identity.open_pidfd()
        self._selector.register(pidfd, selectors.EVENT_READ)
        seat.process = Process(identity, pidfd, is_adopted, log_offset)
        try:
            write_record(self._record_path(seat.part), seat.part, identity)
        except OSError as error:  # a full disk: adoption then finds the process by its command line
            say(f"The record of the {seat.part.name} was not written: {error}")

    def _unseat(self, seat: Seat, process: Process) -> int | None:
        """Returns the exit status (negative: a signal), or None where it is not known."""
        seat.process = None
        self._selector.unregister(process.pidfd)
        os.close(process.pidfd)
        with contextlib.suppress(OSError):  # a record of a process that has ended is never believed
            self._record_path(seat.part).unlink()
        return self._exit_statuses.pop(process.identity.pid, None)

    def _note_end(self, seat: Seat, process: Process) -> None:
        lived_s = time.monotonic() - process.started_at
        status = self._unseat(seat, process)
        if status == EX_CONFIG and lived_s < _FIRST_S and not self._is_serving():
            say(f"The {seat.part.name} cannot use its configuration:")
            say_lines(self._read_log(seat.part, process.log_offset))
            self._has_failed = self._is_stopping = True
            return
        self._back_off(seat, lived_s)
        when = f"in {seat.back_off_s:g} s" if seat.back_off_s else "at once"
        say(f"The {seat.part.name} {describe_end(status)}; starting it again {when}. See {self._log_path(seat.part)}")

    def _is_serving(self) -> bool:
        """Whether stopping everything would take something away from visitors."""
        return self._readiness.is_announced or any(seat.process and seat.process.is_adopted for seat in self._seats)

    def _back_off(self, seat: Seat, lived_s: float) -> None:
        seat.back_off_s = 0.0 if seat.is_renewed else next_back_off_s(seat.back_off_s, lived_s)
        seat.is_renewed = False
        seat.start_at = time.monotonic() + seat.back_off_s

    # -- shutdown

    def _shutdown(self) -> None:
        for seat in self._seats:
            status = self._stop(seat, seat.process) if seat.process is not None else None
            if seat.part.finish and status != 0:
                self._finish(seat.part)
            try:
                seat.part.clear()
            except OSError as error:
                say(f"After the {seat.part.name}: {error}")
        say("Everything is stopped.")

    def _finish(self, part: Part) -> None:
        """It was killed, or is dead at this moment, or could not stop yet: what it held is still there."""
        say(f"Ending what the {part.name} left (up to {_FINISH_S:g} s).")
        try:
            identity = start_part(replace(part, argv=part.finish), self._log_path(part))
        except OSError as error:
            say(f"That cannot be started: {error}")
            return
        pidfd = identity.open_pidfd()
        if not has_ended(pidfd, wait_s=_FINISH_S):
            identity.send(signal.SIGKILL)
            say(f"That was not done in time: see {self._log_path(part)}")
        os.close(pidfd)

    def _stop(self, seat: Seat, process: Process) -> int | None:
        """Returns the exit status, where it is known."""
        name = seat.part.name
        for step in (*seat.part.stop, StopStep(number=signal.SIGKILL, wait_s=5.0)):
            say(f"Stopping the {name} ({step.number.name}, up to {step.wait_s:g} s).")
            process.identity.send(step.number)
            if has_ended(process.pidfd, wait_s=step.wait_s):
                break
        else:
            say(f"The {name} (pid {process.identity.pid}) does not end even by SIGKILL; leaving it.")
            return None
        self._reap()
        status = self._unseat(seat, process)
        say(f"The {name} {describe_end(status)}.")
        return status

    def _record_path(self, part: Part) -> Path:
        return self._paths.supervisor / f"{part.name}.json"

    def _log_path(self, part: Part) -> Path:
        return self._paths.log / f"{part.name}.log"

    def _read_log(self, part: Part, offset: int) -> list[str]:
        """The last lines that the newest process of `part` wrote."""
        with contextlib.suppress(OSError), self._log_path(part).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(offset if offset <= size else 0, size - 4096))
            return file.read(4096).decode("utf-8", "replace").splitlines()[-20:]
        return []


class _Readiness:
    """Watches until the panel runs, and says so once."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._began_at = time.monotonic()
        self._said_at = 0.0
        self._said_state: str | None = ""
        self.is_announced = False
        self.next_check_at: float | None = 0.0

    def check(self, now: float) -> None:
        if self.next_check_at is None or now < self.next_check_at:
            return
        state = find_panel_state(self._paths.agent_for_root / "agent.sock", timeout_s=_READY_ANSWER_S)
        if state == "running":
            self.is_announced = True
            self.next_check_at = None
            say(f"Hostel is up{self._find_url()}")
        else:
            self._report(state, now, now - self._began_at)

    def _report(self, state: str | None, now: float, waited_s: float) -> None:
        is_late = waited_s >= _READY_DEADLINE_S
        self.next_check_at = now + (_READY_POLL_LATE_S if is_late else _READY_POLL_S)
        if state == self._said_state and now - self._said_at < (_READY_DEADLINE_S if is_late else _PROGRESS_S):
            return
        self._said_state, self._said_at = state, now
        what = "the agent does not answer yet" if state is None else f"the panel is {state}"
        if is_late:
            say(f"Not up after {waited_s:.0f} s: {what}. See {self._paths.log / 'agent.log'}. Waiting on.")
        else:
            say(f"Waiting: {what} ({waited_s:.0f} s).")

    def _find_url(self) -> str:
        try:
            config = read_config(self._paths.config_file)
        except ConfigError as error:  # changed since the parts read it
            return f"; but {error}"
        return f": https://{config.authority(config.panel_host)}/"


class SupervisorRunning(Exception):
    """Another supervisor runs for this root."""


@contextlib.contextmanager
def _lock(paths: Paths) -> Iterator[None]:
    with (paths.supervisor / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise SupervisorRunning(
                f"Hostel runs already for {paths.root} (its supervisor has pid {holder}). Stop that one first."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _open_signals() -> socket.socket:
    """A socket that receives the number of each signal, from now on."""
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, RENEW, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal closes: nothing that should end
    return receiver


def describe_end(status: int | None) -> str:
    if status is None:
        return "ended"
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal
        return f"was ended by signal {-status}"


def say(message: str) -> None:
    with contextlib.suppress(OSError):  # the terminal has gone
        print(message, file=sys.stderr, flush=True)


def say_lines(lines: Sequence[str]) -> None:
    for line in lines:
        say(f"  {line}")
