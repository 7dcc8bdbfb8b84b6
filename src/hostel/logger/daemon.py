"""The logger: one thread, one selector. Owns all log files of websites; decides nothing about runs.

It holds no state: killed at any instant and started again it opens the FIFOs that it finds and goes on.
"""

import contextlib
import fcntl
import json
import re
import resource
import selectors
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hostel.logger import rotation
from hostel.logger.compression import Compressor
from hostel.logger.rotation import Retention
from hostel.logger.stream import Allowance, LogFile, Rate, Stream
from hostel.wire import failpoint
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import HostelError, MalformedMessage, Refusal
from hostel.wire.paths import Paths
from hostel.wire.streams import LoggerAnswer, LoggerRequest, LoggerVerb, Streams
from hostel.wire.website import RunId

# FIFOs are read at most this often: a busy website costs a hundred wake-ups a second, not one for each of its lines,
# and a flood is read no faster than a pipe's content a turn. Verbs do not wait for it.
TURN_S = 0.01
_NOTICE_S = 1.0  # how soon a flood that stopped is accounted for
_REQUEST_BYTES = 4096
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    rate: Rate = field(default_factory=Rate)
    retention: Retention = field(default_factory=Retention)
    sweep_s: float = 30.0  # between two looks at all log files


class LoggerRunning(Refusal):
    """Another logger runs for this root."""

    code = "logger_running"


class Logger:
    def __init__(self, paths: Paths, options: Options | None = None) -> None:
        self._paths = paths
        self._options = options or Options()
        self._runs: dict[RunId, tuple[Stream, Stream]] = {}  # stdout, stderr
        self._files: dict[Path, LogFile] = {}
        self._allowances: dict[Path, Allowance] = {}  # by website: its log's path without `.error.log`
        self._uses: Counter[Path] = Counter()  # how many streams share one of these
        self._dropping: set[Stream] = set()
        self._compressor = Compressor()
        self._selector = selectors.DefaultSelector()
        # The FIFOs have an epoll of their own, which the selector watches: so they can be left alone for a turn.
        self._readable = selectors.EpollSelector()
        self._rest_until: float | None = None
        self._sweep_at = 0.0
        self._is_stopping = False

    def serve(self) -> None:
        """Run until SIGTERM or SIGINT. Raises LoggerRunning if this root has a logger."""
        with self._startup() as server:
            self._selector.register(server, selectors.EVENT_READ, lambda: self._accept(server))
            self._selector.register(self._readable, selectors.EVENT_READ, self._take_turn)
            while not self._is_stopping:
                self._main_loop()
        for run in list(self._runs):
            self._close(run)

    @contextlib.contextmanager
    def _startup(self) -> Iterator[socket.socket]:
        _raise_descriptor_limit()
        path = self._paths.logger_socket
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (path.parent / "lock").open("w") as lock, socket.socket(socket.AF_UNIX) as server:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LoggerRunning(f"another logger runs for {self._paths.root}") from None
            self._wake_on_signals()
            self._open_all()
            failpoint.reach("logger.start")
            path.unlink(missing_ok=True)
            server.bind(str(path))
            server.listen(64)
            server.setblocking(False)
            yield server

    def _wake_on_signals(self) -> None:
        receiver, sender = socket.socketpair()
        receiver.setblocking(False)
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.detach())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._selector.register(receiver, selectors.EVENT_READ, self._stop)

    def _stop(self) -> None:
        self._is_stopping = True

    # -- the loop

    def _main_loop(self) -> None:
        for key, _ in self._selector.select(self._timeout_s()):
            act: Callable[[], None] = key.data
            act()
        now = time.monotonic()
        if self._rest_until is not None and now >= self._rest_until:
            self._rest_until = None
            self._selector.register(self._readable, selectors.EVENT_READ, self._take_turn)
        self._dropping = {stream for stream in self._dropping if stream.is_dropping and not stream.resume(now)}
        if now >= self._sweep_at:
            self._sweep_at = now + self._options.sweep_s
            self._sweep()

    def _timeout_s(self) -> float:
        now = time.monotonic()
        due = [self._sweep_at]
        if self._rest_until is not None:
            due.append(self._rest_until)
        if self._dropping:
            due.append(now + _NOTICE_S)
        return max(0.0, min(due) - now)

    def _take_turn(self) -> None:
        """Read every FIFO that holds something, each at most one pipe's content; then leave them alone for a while."""
        now = time.monotonic()
        for key, _ in self._readable.select(0):
            stream: Stream = key.data
            failpoint.reach("logger.turn")
            stream.pump(now)
            if stream.is_dropping:
                self._dropping.add(stream)
        self._selector.unregister(self._readable)
        self._rest_until = time.monotonic() + TURN_S

    # -- the agent's verbs

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client has gone, or descriptors have run out: the next one may do
            client, _ = server.accept()
            client.setblocking(False)
            received = bytearray()
            self._selector.register(client, selectors.EVENT_READ, lambda: self._receive(client, received))

    def _receive(self, client: socket.socket, received: bytearray) -> None:
        try:
            data = client.recv(_REQUEST_BYTES)
            received += data
            while b"\n" in received:
                line, _, rest = bytes(received).partition(b"\n")
                received[:] = rest
                answer = json.dumps(to_jsonable(self._answer(line))).encode("ascii") + b"\n"
                failpoint.reach("logger.answer")
                if client.send(answer) < len(answer):
                    raise BlockingIOError  # it asks and does not read
            is_done = not data or len(received) > _REQUEST_BYTES
        except OSError:
            is_done = True
        if is_done:
            self._selector.unregister(client)
            client.close()

    def _answer(self, line: bytes) -> LoggerAnswer:
        try:
            request = parse(LoggerRequest, _parse_json(line))
            match request.verb:
                case LoggerVerb.OPEN:
                    self._open(request.run)
                case LoggerVerb.CLOSE:
                    self._close(request.run)
                case LoggerVerb.TAIL:
                    return LoggerAnswer(lines=self._tail(request.run))
        except (HostelError, OSError) as error:
            return LoggerAnswer(error=str(error))
        return LoggerAnswer()

    def _open_all(self) -> None:
        for directory in sorted(self._paths.streams.glob("*/")):
            try:
                self._open(RunId(directory.name))
            except (HostelError, OSError) as error:
                # A run that is being made or removed right now, or a damaged one: never a reason to fail the others.
                _say(f"{directory.name} not opened: {error}")

    def _open(self, run: RunId) -> None:
        if run in self._runs:
            return
        if not _RUN.fullmatch(run):
            raise MalformedMessage("run: expected letters, digits, '.', '_' and '-'")
        directory = self._paths.streams / run
        streams = parse(Streams, _parse_json((directory / "streams.json").read_bytes()))
        stdout = self._open_stream(directory / "stdout", streams.stdout)
        try:
            stderr = self._open_stream(directory / "stderr", streams.stderr, keeps_tail=True)
        except BaseException:
            self._close_stream(stdout)
            raise
        failpoint.reach("logger.open")
        self._runs[run] = (stdout, stderr)
        for stream in (stdout, stderr):
            self._readable.register(stream, selectors.EVENT_READ, stream)

    def _open_stream(self, fifo: Path, target: str, *, keeps_tail: bool = False) -> Stream:
        path = Path(target)
        if not path.is_absolute() or "\0" in target:
            raise MalformedMessage(f"{fifo.name}: expected an absolute path")
        limit_bytes = self._options.retention.limit_bytes
        website = _website_of(path)
        file = self._files.get(path) or LogFile(path, limit_bytes=limit_bytes, rotate=self._rotate)
        allowance = self._allowances.get(website) or Allowance(self._options.rate)
        stream = Stream(fifo, file, allowance, keeps_tail=keeps_tail)
        self._files[path], self._allowances[website] = file, allowance
        self._uses.update((path, website))
        return stream

    def _close(self, run: RunId) -> None:
        """Closing a run that is not open is done already; but one that has not been opened yet may hold lines."""
        if run not in self._runs and _RUN.fullmatch(run) and (self._paths.streams / run / "streams.json").exists():
            self._open(run)
        now = time.monotonic()
        for stream in self._runs.pop(run, ()):
            self._dropping.discard(stream)
            stream.pump(now)
            failpoint.reach("logger.close")
            self._readable.unregister(stream)
            self._close_stream(stream)

    def _close_stream(self, stream: Stream) -> None:
        """With its file, and what its website may log, unless another stream has them too."""
        stream.close(time.monotonic())
        path, website = stream.file.path, _website_of(stream.file.path)
        self._uses.subtract((path, website))
        if not self._uses[path]:
            self._files.pop(path).close()
            del self._uses[path]
        if not self._uses[website]:
            del self._allowances[website], self._uses[website]

    def _tail(self, run: RunId) -> tuple[str, ...]:
        if run not in self._runs:
            self._open(run)
        stderr = self._runs[run][1]
        stderr.pump(time.monotonic())
        if stderr.is_dropping:
            self._dropping.add(stderr)
        return stderr.tail()

    # -- housekeeping

    def _sweep(self) -> None:
        for run, pair in list(self._runs.items()):
            if any(stream.is_removed() for stream in pair):
                self._close(run)
        for path, file in self._files.items():
            try:
                if path.exists() and rotation.is_old(path, self._options.retention):
                    file.turn()
            except OSError as error:
                _say(f"{path} not rotated: {error}")
        for directory in self._paths.site_logs.glob("*/"):
            try:
                due = rotation.sweep(directory, self._options.retention, but_rotate_not=self._files)
            except OSError as error:
                _say(f"{directory} not swept: {error}")
                continue
            for log in due:
                self._compressor.add(log)
        self._compress()

    def _rotate(self, path: Path) -> None:
        rotation.rotate(path)
        self._compressor.add(path)
        self._compress()

    def _compress(self) -> None:
        try:
            if self._compressor.start_next():
                self._selector.register(self._compressor.pidfd, selectors.EVENT_READ, self._finish_compression)
        except OSError as error:
            _say(f"not compressed: {error}")

    def _finish_compression(self) -> None:
        self._selector.unregister(self._compressor.pidfd)
        try:
            self._compressor.finish()
        except OSError as error:
            _say(f"not compressed: {error}")
        self._compress()


def _website_of(path: Path) -> Path:
    return path.with_suffix("").with_suffix("")


def _parse_json(data: bytes) -> object:
    try:
        value: object = json.loads(data)
    except ValueError as error:  # also what is no UTF-8
        raise MalformedMessage(f"expected JSON: {error}") from None
    return value


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
