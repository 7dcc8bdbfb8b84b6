"""Runs a prepared command and relays bytes between it and whoever called `hostel`.

The child gets pipes, never the operator's own descriptors: runc would hand their ownership to the tenant. It also
gets a session of its own, so it has no way to the operator's terminal. Knows nothing of agents and sandboxes.
"""

import contextlib
import fcntl
import os
import select
import signal
import struct
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

CHUNK_BYTES = 1 << 16
GRACE_S = 10.0  # between a TERM or HUP that was passed on and giving up on the child
WINDOW_DESCRIPTOR = 3  # where the child reads `rows columns` lines (wire/website.py, ExecPlan)

PATIENCE_S = 1.5  # between an INT that was passed on and saying how to insist

_ENDING = (signal.SIGTERM, signal.SIGHUP)  # whoever sends these wants an end, and is not there to insist
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Interrupted(Exception):
    """A second signal, or no end within the grace period: the caller should end the run."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"ended by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdio:
    """The descriptors whose bytes are relayed; they stay open."""

    stdin: int = 0
    stdout: int = 1
    stderr: int = 2

    def is_terminal(self) -> bool:
        return os.isatty(self.stdin) and os.isatty(self.stdout)


@dataclass(slots=True)
class Child:
    """A started command: our ends of its pipes. A closed end is -1."""

    pid: int
    pidfd: int
    stdin: int
    stdout: int
    stderr: int
    window: int

    def close(self, name: str) -> None:
        descriptor = getattr(self, name)
        setattr(self, name, -1)
        if descriptor >= 0:
            os.close(descriptor)


def run_command(argv: Sequence[str], *, stdio: Stdio, terminal: bool = False) -> int:
    """Run `argv` until it ends; its exit code, or 128 + the signal that ended it.

    SIGINT, SIGTERM, SIGHUP and SIGQUIT go to the child; a second one, or `GRACE_S` after a TERM or HUP, kills it and
    gives 128 + that signal. With `terminal`, stdin is in raw mode meanwhile, and the child learns the window's size.
    """
    child = _spawn(argv, with_window=terminal)
    try:
        with _raw_mode(stdio.stdin) if terminal else contextlib.nullcontext(), _signals(child, stdio.stdout):
            _Relay(child, stdio).run()
    except Interrupted as interruption:
        return interruption.exit_code
    finally:
        exit_code = _reap(child)
    return exit_code


def window_line(descriptor: int) -> bytes:
    """The size of the terminal `descriptor` as the child reads it: `rows columns`, one line."""
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8)))
    return f"{rows} {columns}\n".encode()


# -- starting and ending


def _spawn(argv: Sequence[str], *, with_window: bool) -> Child:
    """Start `argv` with a pipe for each of its descriptors 0 to 3, and nothing else of ours.

    Without a window, descriptor 3 is at its end from the start; runc insists that there is one. posix_spawn, because
    it alone places descriptors at numbers of our choice without running code after the fork.
    """
    stdin, to_child = os.pipe()
    from_stdout, stdout = os.pipe()
    from_stderr, stderr = os.pipe()
    window, to_window = os.pipe()
    theirs = [stdin, stdout, stderr, window]
    _keep_to_ourselves()
    # Moved out of the way first: a pipe may itself lie at 0 to 3, where dup2 would overwrite it.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, WINDOW_DESCRIPTOR + 1) for descriptor in theirs]
    actions = [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(moved)]
    try:
        pid = os.posix_spawnp(
            argv[0],
            list(argv),
            os.environ,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, *_FORWARDED),
        )
    except OSError:
        for descriptor in (to_child, from_stdout, from_stderr, to_window):
            os.close(descriptor)
        raise
    finally:
        for descriptor in (*theirs, *moved):
            os.close(descriptor)
    os.set_blocking(to_child, False)
    child = Child(pid, os.pidfd_open(pid), to_child, from_stdout, from_stderr, to_window)
    if not with_window:
        child.close("window")
    return child


def _keep_to_ourselves() -> None:
    """Let no descriptor above stderr reach the child, whoever gave it to us."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def _reap(child: Child) -> int:
    """The exit code of `child`, which is killed if it still runs."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
    _, status = os.waitpid(child.pid, 0)
    for name in ("stdin", "stdout", "stderr", "window", "pidfd"):
        child.close(name)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


# -- the terminal and signals


@contextlib.contextmanager
def _raw_mode(descriptor: int) -> Iterator[None]:
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _signals(child: Child, terminal: int) -> Iterator[None]:
    """Pass signals on to `child`, and the size of the window at `terminal` when the child wants it."""
    received: list[int] = []

    def forward(signum: int, _: FrameType | None) -> None:
        if received:
            raise Interrupted(signum)
        received.append(signum)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child.pidfd, signum)
        signal.setitimer(signal.ITIMER_REAL, GRACE_S if signum in _ENDING else PATIENCE_S)

    def time_is_up(*_: Any) -> None:
        if received[0] in _ENDING:
            raise Interrupted(received[0])
        # The kernel drops what the first process of a sandbox has no handler for, Ctrl-C's INT as well.
        print("The command goes on. Press Ctrl-C again to end it.", file=sys.stderr)

    def resize(*_: Any) -> None:
        with contextlib.suppress(OSError):  # the child may have closed it, or ended
            os.write(child.window, window_line(terminal))

    handlers: dict[int, Any] = {**dict.fromkeys(_FORWARDED, forward), signal.SIGALRM: time_is_up}
    if child.window >= 0:
        os.set_blocking(child.window, False)
        handlers[signal.SIGWINCH] = resize
    before = {signum: signal.signal(signum, handler) for signum, handler in handlers.items()}
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)  # the caller may hold them back until now
    try:
        if child.window >= 0:
            resize()
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for signum, handler in before.items():
            signal.signal(signum, handler)


# -- bytes


class _Relay:
    """Moves bytes until the child ended. Never waits for the child to take input while it has output to give."""

    def __init__(self, child: Child, stdio: Stdio) -> None:
        self._child = child
        self._stdio = stdio
        self._pending = b""  # read from our stdin, not yet taken by the child
        self._poll = select.poll()
        self._poll.register(child.pidfd, select.POLLIN)
        self._poll.register(child.stdout, select.POLLIN)
        self._poll.register(child.stderr, select.POLLIN)
        self._poll.register(stdio.stdin, select.POLLIN)

    def run(self) -> None:
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll()}
            if self._stdio.stdin in ready:
                self._take_input()
            if self._child.stdin in ready:
                self._give_input()
            for name in ("stdout", "stderr"):
                if getattr(self._child, name) in ready:
                    self._pass_on(name)
            if self._child.pidfd in ready:
                break
        self._drain()

    def _take_input(self) -> None:
        try:
            self._pending = os.read(self._stdio.stdin, CHUNK_BYTES)
        except OSError:  # closed before the start, or a terminal that hung up
            self._pending = b""
        self._poll.unregister(self._stdio.stdin)
        if self._pending and self._child.stdin >= 0:
            self._poll.register(self._child.stdin, select.POLLOUT)
        else:
            self._child.close("stdin")

    def _give_input(self) -> None:
        try:
            self._pending = self._pending[os.write(self._child.stdin, self._pending) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._poll.unregister(self._child.stdin)
            self._child.close("stdin")
            return
        if not self._pending:
            self._poll.unregister(self._child.stdin)
            self._poll.register(self._stdio.stdin, select.POLLIN)

    def _pass_on(self, name: str) -> bool:
        """Relay one chunk of the child's stdout or stderr. False at its end, or when nobody reads ours."""
        source: int = getattr(self._child, name)
        data = os.read(source, CHUNK_BYTES)
        try:
            _write_all(getattr(self._stdio, name), data)
        except OSError:  # our reader went away: the child shall learn it the usual way, by SIGPIPE
            data = b""
        if not data:
            self._poll.unregister(source)
            self._child.close(name)
        return bool(data)

    def _drain(self) -> None:
        """What the child wrote before it ended lies in the pipes; a process it left behind may hold them open."""
        for name in ("stdout", "stderr"):
            if getattr(self._child, name) >= 0:
                os.set_blocking(getattr(self._child, name), False)
                with contextlib.suppress(BlockingIOError):
                    while self._pass_on(name):
                        pass


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # somebody else made our stdout non-blocking
            select.select([], [descriptor], [])


def fill_standard_descriptors() -> None:
    """Open /dev/null at those of 0, 1 and 2 that were closed, so that no pipe of ours is taken for them."""
    while (descriptor := os.open("/dev/null", os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def flush_python_output() -> None:
    """What was printed so far must come before what the child writes."""
    sys.stdout.flush()
    sys.stderr.flush()
