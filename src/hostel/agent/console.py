"""Runs inside a sandbox as the tenant, with the sandbox's own python3: keeps one command on a pseudo-terminal, for
those who come to look and go again.

Started as `python3 -I console.py SOCKET NOTICE DIRECTORY VIRTUALENV COMMAND...`; the child goes to DIRECTORY and into
VIRTUALENV itself, as the tenant. Ends with the command, once those who look have what was shown last, and exits as it
does, or with 0 when it was told to end. It is PID 1 of the sandbox, so it also buries the orphans. Standard library
only: no part of Hostel is visible here.

Listens on the unix socket; each connection says one line:

output AFTER      answered with a position, on a line, and what was and is shown from there on: from AFTER, or as far
                  back as is kept. Cut where somebody is too slow for what is kept
latest            answered with a position, on a line, and what is kept
input LENGTH      and as many bytes; answered, on a line, with how many of them were taken
size ROWS COLUMNS answered with an empty line

The command never waits for those who look, but for the fastest of them, and for him no longer than STALL_S.
"""

import contextlib
import fcntl
import os
import pty
import selectors
import signal
import socket
import struct
import sys
import termios
import time

KEPT = 1 << 18  # bytes of what was shown
AHEAD = KEPT // 2  # by how much the command may be ahead of the fastest who looks
STALL_S = 0.5
CONNECTIONS_MOST = 64
INPUT_MOST = 1 << 16
INPUT_S = 3.0  # how long input waits for a command that does not read
LINGER_S = 60.0  # after the command's end, until somebody has what it has shown last
ROWS, COLUMNS = 40, 120  # until somebody looks
_PIECE = 1 << 16
_TICK_S = 0.1
_READ, _BOTH = selectors.EVENT_READ, selectors.EVENT_READ | selectors.EVENT_WRITE


class Kept:
    """The last KEPT bytes shown, by their position since the beginning."""

    def __init__(self) -> None:
        self.begin = 0
        self._bytes = bytearray()

    @property
    def end(self) -> int:
        return self.begin + len(self._bytes)

    def add(self, data: bytes) -> None:
        self._bytes += data
        if len(self._bytes) > 2 * KEPT:
            self._drop(len(self._bytes) - KEPT)

    def _drop(self, count: int) -> None:
        # At the end of a line if one is near: no torn letter or escape sequence comes first.
        line_end = self._bytes.find(b"\n", count, count + 4096)
        count = line_end + 1 if line_end >= 0 else count
        del self._bytes[:count]
        self.begin += count

    def piece(self, position: int) -> bytes:
        start = position - self.begin
        return bytes(self._bytes[start : start + _PIECE])


class Connection:
    """One who asks. What he is still to get is `answer`, then, from `position` on, what is kept."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.received = b""
        self.answer = b""
        self.position: int | None = None
        self.until: int | None = None  # where it ends; None: stays for what comes
        self.input_length: int | None = None
        self.input_until = 0.0
        self.taken = 0


class Console:
    def __init__(self, path: str, terminal: int, child: int, notice: str) -> None:
        self.terminal, self.child = terminal, child
        self.status: int | None = None  # of the command, when it has ended
        self.kept = Kept()
        self.kept.add(notice.encode())
        self.connections: set[Connection] = set()
        self.input = b""
        self.moved_at = time.monotonic()  # when somebody took something
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        self.listener.setblocking(False)
        self.selector.register(self.listener, _READ)
        os.set_blocking(terminal, False)
        self.wakeup = _wakeups()
        self.selector.register(self.wakeup, _READ)
        self.is_terminal_open = True
        self.is_end_seen = False
        self.is_leaving = False  # was told to end

    def serve(self) -> None:
        """Until the command has ended and somebody has what it showed last, or nobody comes for it."""
        while self.status is None:
            self._turn()
        for connection in self.connections:
            connection.until = self.kept.end if connection.until is None else connection.until
        end = time.monotonic() + LINGER_S
        while (self.connections or not self.is_end_seen) and not self.is_leaving and time.monotonic() < end:
            self._turn()

    def _turn(self) -> None:
        self._watch()
        is_timed = self.status is not None or self._must_wait() or any(self._gives_input(c) for c in self.connections)
        for key, events in self.selector.select(_TICK_S if is_timed else None):
            if key.fileobj is self.listener:
                self._accept()
            elif key.fileobj is self.wakeup:
                self.bury()
            elif key.fileobj == self.terminal:
                self._use_terminal(events)
            else:
                self._use(key.data, events)
        self._answer_input()
        self._drop_the_slow()

    # -- what to wait for

    def _watch(self) -> None:
        if self.is_terminal_open:
            events = (0 if self._must_wait() else _READ) | (selectors.EVENT_WRITE if self.input else 0)
            self._want(self.terminal, events, None)
        for connection in list(self.connections):
            end = self.kept.end if connection.until is None else connection.until
            has_more = connection.position is not None and connection.position < end
            has_all = connection.position is not None and not (connection.answer or has_more)
            if has_all and connection.until is not None:
                self.is_end_seen = self.is_end_seen or self.status is not None
                self._close(connection)
            else:
                self._want(connection.client, _BOTH if connection.answer or has_more else _READ, connection)

    def _want(self, file: "socket.socket | int", events: int, data: "Connection | None") -> None:
        known = self.selector.get_map().get(file)
        if known is None and events:
            self.selector.register(file, events, data)
        elif known is not None and not events:
            self.selector.unregister(file)
        elif known is not None and known.events != events:
            self.selector.modify(file, events, data)

    def _must_wait(self) -> bool:
        """Whether the fastest who looks is to catch up first. One who takes nothing for a while is not waited for."""
        looking = [each.position for each in self.connections if each.until is None and each.position is not None]
        if self.status is not None or not looking or self.kept.end - max(looking) < AHEAD:
            return False
        return time.monotonic() - self.moved_at < STALL_S

    # -- the terminal

    def _use_terminal(self, events: int) -> None:
        if events & selectors.EVENT_WRITE and self.input:
            with contextlib.suppress(OSError):
                self.input = self.input[os.write(self.terminal, self.input) :]
        if not events & _READ:
            return
        try:
            data = os.read(self.terminal, _PIECE)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        if data:
            self.kept.add(data)
        else:
            self._leave_terminal()

    def _leave_terminal(self) -> None:
        self._want(self.terminal, 0, None)
        self.is_terminal_open = False

    def bury(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.wakeup, 512):
                pass
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.child:
                    self.status = status
                    self._read_the_rest()

    def _read_the_rest(self) -> None:
        """What the command has shown last; those it has left behind may have the terminal open for ever."""
        with contextlib.suppress(OSError):
            for _ in range(16):
                data = os.read(self.terminal, _PIECE)
                if not data:
                    break
                self.kept.add(data)
        self._leave_terminal()

    # -- those who ask

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self.listener.accept()
            if len(self.connections) >= CONNECTIONS_MOST:
                client.close()
                return
            client.setblocking(False)
            self.connections.add(Connection(client))

    def _use(self, connection: Connection, events: int) -> None:
        try:
            if events & _READ:
                self._receive(connection)
            if events & selectors.EVENT_WRITE and connection in self.connections:
                self._send(connection)
        except BlockingIOError:
            pass
        except (OSError, ValueError):
            self._close(connection)

    def _receive(self, connection: Connection) -> None:
        data = connection.client.recv(_PIECE)
        if not data:
            self._close(connection)
            return
        if connection.position is not None or connection.answer:
            return  # he has asked already
        connection.received += data
        if connection.input_length is None:
            line, end, rest = connection.received.partition(b"\n")
            if not end:
                if len(line) > 100:
                    raise ValueError("expected a line")
                return
            connection.received = rest
            self._heed(connection, line.decode("ascii").split(" "))
        if len(connection.received) > INPUT_MOST:
            raise ValueError("too much input")

    def _heed(self, connection: Connection, words: "list[str]") -> None:
        verb, numbers = words[0], [int(word) for word in words[1:]]
        if verb in ("output", "latest"):
            connection.until = None if verb == "output" and self.status is None else self.kept.end
            after = numbers[0] if numbers else 0
            connection.position = after if self.kept.begin <= after <= self.kept.end else self.kept.begin
            connection.answer = f"{connection.position}\n".encode()
            self.moved_at = time.monotonic()
        elif verb == "input":
            connection.input_length = min(numbers[0], INPUT_MOST)
            connection.input_until = time.monotonic() + INPUT_S
        elif verb == "size":
            rows, columns = numbers
            with contextlib.suppress(OSError, struct.error):  # nobody has the terminal open any more, or absurd numbers
                set_size(self.terminal, rows, columns)
            connection.answer = b"\n"
        else:
            raise ValueError("unknown verb")

    def _send(self, connection: Connection) -> None:
        if connection.answer:
            connection.answer = connection.answer[connection.client.send(connection.answer) :]
            if not connection.answer and connection.position is None:
                self._close(connection)
        elif connection.position is not None:
            connection.position += connection.client.send(self.kept.piece(connection.position))
            self.moved_at = time.monotonic()

    def _answer_input(self) -> None:
        """Take input as long as there is room for it, and answer when all is taken, or nobody reads it."""
        for connection in filter(self._gives_input, list(self.connections)):
            left = (connection.input_length or 0) - connection.taken
            room = min(left, INPUT_MOST - len(self.input), len(connection.received)) if self.is_terminal_open else 0
            self.input += connection.received[:room]
            connection.received = connection.received[room:]
            connection.taken += room
            is_late = not self.is_terminal_open or time.monotonic() > connection.input_until
            if room == left or is_late:
                connection.answer = f"{connection.taken}\n".encode()

    def _gives_input(self, connection: Connection) -> bool:
        return connection.input_length is not None and not connection.answer

    def _drop_the_slow(self) -> None:
        for connection in list(self.connections):
            if connection.position is not None and connection.position < self.kept.begin:
                self._close(connection)

    def _close(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            self._want(connection.client, 0, None)
            connection.client.close()


def set_size(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _wakeups() -> int:
    """A descriptor that can be read when a child has ended."""
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return readable


def start(directory: str, virtualenv: str, command: "list[str]") -> "tuple[int, int]":
    """The command's pid and its terminal."""
    child, terminal = pty.fork()
    if child:
        return child, terminal
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and the command would inherit that
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        set_size(0, ROWS, COLUMNS)
    try:
        try:
            os.chdir(directory)
        except OSError as error:
            print(f"{directory}: {error.strerror}. This is your home instead.", file=sys.stderr)
        if virtualenv:
            command = enter(virtualenv, command)
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    except BaseException as error:  # nothing may run on as the keeper's twin
        print(error, file=sys.stderr, flush=True)
    finally:
        os._exit(127)


def enter(virtualenv: str, command: "list[str]") -> "list[str]":
    """The command in the virtualenv: its own python, or a bash that activates it (see /etc/profile)."""
    home = os.environ.get("WORKON_HOME", "")
    place = virtualenv if "/" in virtualenv else os.path.join(home, virtualenv)
    if not os.path.isfile(f"{place}/bin/activate"):
        print(f"{virtualenv}: there is no such virtualenv.", file=sys.stderr)
        return command
    if command[0].startswith("python"):
        return [f"{place}/bin/python", *command[1:]]
    os.environ["HOSTEL_VIRTUALENV"] = place
    return command


def main() -> int:
    path, notice, directory, virtualenv, *command = sys.argv[1:]
    child, terminal = start(directory, virtualenv, command)
    console = Console(path, terminal, child, f"{notice}\r\n" if notice else "")
    signal.signal(signal.SIGTERM, lambda *_: hang_up(console))
    console.bury()  # a command that ended before anybody heard of it
    console.serve()
    return 0 if console.is_leaving else exit_code(console.status or 0)


def exit_code(status: int) -> int:
    """As a shell says it."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def hang_up(console: Console) -> None:
    console.is_leaving = True
    if console.status is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(console.child, signal.SIGHUP)


if __name__ == "__main__":
    sys.exit(main())
