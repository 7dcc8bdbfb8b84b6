"""The logger as the agent meets it: a process, its socket, real FIFOs; killed and flooded."""

import contextlib
import fcntl
import gzip
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostel.wire.codec import parse, to_jsonable
from hostel.wire.paths import Paths
from hostel.wire.streams import PIPE_BYTES, LoggerAnswer, LoggerRequest, LoggerVerb, Streams
from hostel.wire.website import RunId

# The logger with other limits than a machine's.
WITH_OPTIONS = """
import sys
from pathlib import Path
from hostel.logger.daemon import Logger, Options
from hostel.logger.rotation import Retention
from hostel.logger.stream import Rate
from hostel.wire.paths import Paths
Logger(Paths(Path(sys.argv[1])), {options}).serve()
"""

# A website: holds its FIFO open read-write and writes numbered lines until its stdin ends; then says how many.
NUMBERS = """
import os, select, sys, time
fifo = os.open(sys.argv[1], os.O_RDWR)
number = 0
while not select.select([0], [], [], 0.001)[0]:
    for _ in range(40):
        number += 1
        os.write(fifo, b"line %09d\\n" % number)
print(number)
"""


def eventually(is_so: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.01)


class Lab:
    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        self.process: subprocess.Popen[bytes] | None = None
        self.options: str | None = None
        self.fifos: list[int] = []

    def start(self, *, options: str | None = None) -> None:
        self.options = options or self.options
        root = str(self.paths.root)
        code = WITH_OPTIONS.format(options=self.options)
        argv = [sys.executable, "-c", code, root] if self.options else [sys.executable, "-m", "hostel.logger"]
        self.process = subprocess.Popen(argv if self.options else [*argv, "--root", root])
        eventually(self.accepts)

    def accepts(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.paths.logger_socket))
            return True
        return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def ask(self, verb: LoggerVerb, run: str) -> LoggerAnswer:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(self.paths.logger_socket))
            request = LoggerRequest(verb=verb, run=RunId(run))
            client.sendall(json.dumps(to_jsonable(request)).encode() + b"\n")
            return parse(LoggerAnswer, json.loads(client.makefile().readline()))

    def log(self, name: str) -> Path:
        path = self.paths.site_logs / "cat" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def make_run(self, run: str, domain: str) -> tuple[int, int]:
        """FIFOs as the agent makes them; returns descriptors that write to stdout and stderr."""
        directory = self.paths.streams / run
        directory.mkdir(parents=True)
        streams = Streams(
            run=RunId(run),
            stdout=str(self.log(f"{domain}.server.log")),
            stderr=str(self.log(f"{domain}.error.log")),
        )
        (directory / "streams.json").write_text(json.dumps(to_jsonable(streams)))
        return self._make_fifo(directory / "stdout"), self._make_fifo(directory / "stderr")

    def _make_fifo(self, path: Path) -> int:
        os.mkfifo(path, 0o600)
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.fifos.append(descriptor)
        return descriptor

    def cpu_s(self) -> float:
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    if lab.process is not None:
        lab.kill()
    for descriptor in lab.fifos:
        os.close(descriptor)


def test_stdout_goes_to_the_server_log_and_stderr_to_the_error_log(lab: Lab):
    stdout, stderr = lab.make_run("r1", "cat.example.com")
    lab.start()
    os.write(stdout, b"INFO:      - GET\n")
    os.write(stderr, b"Started server process [1]\n")
    assert lab.ask(LoggerVerb.CLOSE, "r1") == LoggerAnswer()
    assert lab.log("cat.example.com.server.log").read_bytes() == b"INFO:      - GET\n"
    error_log = lab.log("cat.example.com.error.log")
    assert error_log.read_bytes() == b"Started server process [1]\n"
    assert error_log.stat().st_mode & 0o777 == 0o644


def test_lines_reach_the_file_without_being_asked_for(lab: Lab):
    stdout, _ = lab.make_run("r1", "cat.example.com")
    lab.start()
    os.write(stdout, b"line\n")
    eventually(lambda: lab.log("cat.example.com.server.log").exists())
    eventually(lambda: lab.log("cat.example.com.server.log").read_bytes() == b"line\n", within_s=1)


def test_open_is_idempotent_and_so_is_close(lab: Lab):
    lab.start()
    _, stderr = lab.make_run("r1", "cat.example.com")
    assert lab.ask(LoggerVerb.OPEN, "r1") == LoggerAnswer()
    assert lab.ask(LoggerVerb.OPEN, "r1") == LoggerAnswer()
    os.write(stderr, b"once\n")
    assert lab.ask(LoggerVerb.CLOSE, "r1") == LoggerAnswer()
    assert lab.ask(LoggerVerb.CLOSE, "r1") == LoggerAnswer()
    assert lab.ask(LoggerVerb.CLOSE, "never-was") == LoggerAnswer()
    assert lab.log("cat.example.com.error.log").read_bytes() == b"once\n"


def test_the_tail_is_of_that_run_alone_even_where_two_runs_share_the_file(lab: Lab):
    _, old = lab.make_run("r1", "cat.example.com")
    _, new = lab.make_run("r2", "cat.example.com")
    lab.start()
    for number in range(3):
        os.write(old, b"old %d\n" % number)
        os.write(new, b"new %d\n" % number)
    assert lab.ask(LoggerVerb.TAIL, "r2").lines == ("new 0", "new 1", "new 2")
    assert lab.ask(LoggerVerb.TAIL, "r1").lines == ("old 0", "old 1", "old 2")
    lines = lab.log("cat.example.com.error.log").read_text().splitlines()
    assert sorted(lines) == ["new 0", "new 1", "new 2", "old 0", "old 1", "old 2"]


@pytest.mark.parametrize(
    ("request_line", "error"),
    [
        (b"nonsense\n", "expected JSON"),
        (b"\xff\n", "expected JSON"),
        (b'{"verb":"open"}\n', "run: missing"),
        (b'{"verb":"delete","run":"r1"}\n', "verb: expected one of open, close, tail"),
        (b'{"verb":"open","run":"../../etc"}\n', "run: expected letters"),
        (b'{"verb":"open","run":"absent"}\n', "No such file or directory"),
    ],
)
def test_a_bad_request_gets_an_error_and_the_connection_goes_on(lab: Lab, request_line: bytes, error: str):
    lab.make_run("r1", "cat.example.com")
    lab.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(lab.paths.logger_socket))
        client.sendall(request_line + b'{"verb":"tail","run":"r1"}\n')
        answers = client.makefile()
        assert error in json.loads(answers.readline())["error"]
        assert json.loads(answers.readline()) == {"error": "", "lines": []}


def test_a_damaged_run_does_not_keep_the_others_from_being_opened(lab: Lab):
    stdout, _ = lab.make_run("good", "cat.example.com")
    lab.make_run("damaged", "dog.example.com")
    (lab.paths.streams / "damaged/streams.json").write_text("{")
    (lab.paths.streams / "empty").mkdir()
    lab.start()
    os.write(stdout, b"line\n")
    assert lab.ask(LoggerVerb.CLOSE, "good") == LoggerAnswer()
    assert lab.log("cat.example.com.server.log").read_bytes() == b"line\n"


def test_a_second_logger_of_the_same_root_refuses_and_the_first_goes_on(lab: Lab):
    lab.start()
    argv = [sys.executable, "-m", "hostel.logger", "--root", str(lab.paths.root)]
    second = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    assert (second.returncode, second.stderr) == (1, f"another logger runs for {lab.paths.root}\n")
    assert lab.accepts()


def test_killed_eight_times_it_loses_and_repeats_no_line(lab: Lab):
    lab.make_run("r1", "cat.example.com")
    argv = [sys.executable, "-c", NUMBERS, str(lab.paths.streams / "r1/stderr")]
    lab.start()
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        for _ in range(8):
            written = lab.log("cat.example.com.error.log")
            before = written.stat().st_size if written.exists() else 0
            eventually(lambda: written.exists() and written.stat().st_size > before + 20_000)  # noqa: B023
            time.sleep(random.uniform(0, 0.02))  # any instant of a turn
            lab.kill()
            lab.start()
        (said, _) = writer.communicate()
    total = int(said)
    assert lab.ask(LoggerVerb.CLOSE, "r1") == LoggerAnswer()
    lines = lab.log("cat.example.com.error.log").read_text().splitlines()
    assert lines == [f"line {number:09d}" for number in range(1, total + 1)]


def test_lines_written_while_no_logger_runs_are_there_afterwards(lab: Lab):
    _, stderr = lab.make_run("r1", "cat.example.com")
    lab.start()
    lab.kill()
    os.write(stderr, b"x" * 999_999 + b"\n")
    lab.start()
    assert lab.ask(LoggerVerb.CLOSE, "r1") == LoggerAnswer()
    assert lab.log("cat.example.com.error.log").stat().st_size == 1_000_000


def test_sigterm_takes_what_is_in_the_pipes_and_ends_with_0(lab: Lab):
    _, stderr = lab.make_run("r1", "cat.example.com")
    lab.start()
    assert lab.process is not None
    os.kill(lab.process.pid, signal.SIGSTOP)
    os.write(stderr, b"last words\n")
    os.kill(lab.process.pid, signal.SIGTERM)
    os.kill(lab.process.pid, signal.SIGCONT)
    assert lab.process.wait(10) == 0
    assert lab.log("cat.example.com.error.log").read_bytes() == b"last words\n"


def test_k4_a_flood_is_capped_and_counted_while_a_quiet_website_loses_nothing(lab: Lab):
    flood, _ = lab.make_run("flood", "dog.example.com")
    quiet, _ = lab.make_run("quiet", "cat.example.com")
    lab.start(options="Options(rate=Rate(bytes_per_s=200_000, burst_bytes=400_000))")
    os.set_blocking(flood, True)
    started = time.monotonic()
    with subprocess.Popen(["yes", "dog"], stdout=flood) as yes:
        slowest_s = 0.0
        for number in range(200):
            os.write(quiet, b"%d\n" % number)
            asked = time.monotonic()
            lab.ask(LoggerVerb.TAIL, "quiet")
            slowest_s = max(slowest_s, time.monotonic() - asked)
            time.sleep(0.01)
        yes.kill()
    took_s = time.monotonic() - started
    assert lab.ask(LoggerVerb.CLOSE, "quiet") == LoggerAnswer()
    assert lab.ask(LoggerVerb.CLOSE, "flood") == LoggerAnswer()
    assert slowest_s < 0.5
    assert lab.log("cat.example.com.server.log").read_text().split() == [str(n) for n in range(200)]
    flooded = lab.log("dog.example.com.server.log")
    assert flooded.stat().st_size < 400_000 + 200_000 * (took_s + 1)
    assert re.search(rb"\n\[hostel\] [0-9]{4,} lines dropped\n", flooded.read_bytes())
    assert lab.cpu_s() < took_s, "a flood must not take a whole core"


def test_a_flood_that_stops_is_accounted_for_without_another_line(lab: Lab):
    flood, _ = lab.make_run("flood", "dog.example.com")
    lab.start(options="Options(rate=Rate(bytes_per_s=10_000, burst_bytes=10_000))")
    os.write(flood, b"dog\n" * 25_000)
    log = lab.log("dog.example.com.server.log")
    eventually(lambda: log.exists() and log.read_bytes().endswith(b"[hostel] 22500 lines dropped\n"), within_s=5)


def test_a_full_disk_drops_lines_and_says_so_when_there_is_room_again(lab: Lab):
    directory = lab.paths.site_logs / "cat"
    directory.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory)], check=True)
    try:
        _, stderr = lab.make_run("r1", "cat.example.com")
        ballast = directory / "ballast"
        lab.start()
        ballast.write_bytes(b"x" * 4096 * 14)
        for number in range(200):
            os.write(stderr, b"%03d" % number + b"x" * 996 + b"\n")  # never blocks: the writer is non-blocking
            if number % 20 == 0:
                assert lab.ask(LoggerVerb.TAIL, "r1").lines[-1].startswith(f"{number:03d}")
        ballast.unlink()
        log = lab.log("cat.example.com.error.log")
        eventually(lambda: b" lines dropped\n" in log.read_bytes())
        os.write(stderr, b"room again\n")
        assert lab.ask(LoggerVerb.CLOSE, "r1") == LoggerAnswer()
        text = log.read_text()
        dropped = sum(int(count) for count in re.findall(r"^\[hostel\] ([0-9]+) lines dropped$", text, re.MULTILINE))
        kept = len(re.findall(r"^[0-9]{3}x{996}$", text, re.MULTILINE))
        assert text.endswith("\nroom again\n")
        assert dropped >= 100
        assert kept + dropped in (200, 201), "a line cut just before its newline is in both counts"
    finally:
        lab.kill()
        subprocess.run(["umount", str(directory)], check=True)


def test_full_logs_are_rotated_and_old_copies_compressed_without_losing_a_line(lab: Lab):
    _, stderr = lab.make_run("r1", "cat.example.com")
    lab.start(options="Options(retention=Retention(limit_bytes=20_000))")
    lines = [b"line %09d\n" % number for number in range(16_000)]
    for start in range(0, len(lines), 1000):  # 15,000 bytes each: every second one finds the log full
        os.write(stderr, b"".join(lines[start : start + 1000]))
        lab.ask(LoggerVerb.TAIL, "r1")
    log = lab.log("cat.example.com.error.log")
    copies = [log.with_name(f"{log.name}.{number}.gz") for number in range(7, 1, -1)]
    eventually(lambda: all(copy.exists() for copy in copies) and len(list(log.parent.iterdir())) == 8)
    kept = [gzip.decompress(copy.read_bytes()) for copy in copies]
    kept += [log.with_name(f"{log.name}.1").read_bytes(), log.read_bytes()]
    assert b"".join(kept) == b"".join(lines)
    assert log.with_name(f"{log.name}.2.gz").stat().st_mode & 0o777 == 0o644


def test_an_access_log_is_rotated_beside_the_logs_that_the_logger_writes(lab: Lab):
    access = lab.log("cat.example.com.access.log")
    access.write_bytes(b"x" * 100)
    lab.start(options="Options(retention=Retention(limit_bytes=100))")
    eventually(lambda: access.read_bytes() == b"")  # at no time is there none: nginx would drop a line then
    assert access.with_name("cat.example.com.access.log.1").read_bytes() == b"x" * 100


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_removed_run_is_forgotten_with_and_without_a_close(lab: Lab, is_closed: bool):
    _, stderr = lab.make_run("r1", "cat.example.com")
    lab.start(options="Options(sweep_s=0.2)")
    assert lab.process is not None
    eventually(lambda: held_fifos(lab) == 2)
    os.write(stderr, b"last words\n")
    for name in ("stdout", "stderr", "streams.json"):
        (lab.paths.streams / "r1" / name).unlink()
    if is_closed:
        assert lab.ask(LoggerVerb.CLOSE, "r1") == LoggerAnswer()
    eventually(lambda: held_fifos(lab) == 0)
    assert lab.log("cat.example.com.error.log").read_bytes() == b"last words\n"


def test_a_log_file_is_held_as_long_as_a_run_writes_to_it(lab: Lab):
    _, old = lab.make_run("r1", "cat.example.com")
    _, new = lab.make_run("r2", "cat.example.com")
    lab.start()
    os.write(old, b"old\n")
    assert lab.ask(LoggerVerb.CLOSE, "r1") == LoggerAnswer()
    assert held(lab, ".error.log") == 1
    os.write(new, b"new\n")
    assert lab.ask(LoggerVerb.CLOSE, "r2") == LoggerAnswer()
    assert held(lab, ".error.log") == 0
    assert lab.log("cat.example.com.error.log").read_bytes() == b"old\nnew\n"


def held_fifos(lab: Lab) -> int:
    return held(lab, "/streams/")


def held(lab: Lab, part: str) -> int:
    """How many open files of the logger have `part` in their path."""
    assert lab.process is not None
    descriptors = Path(f"/proc/{lab.process.pid}/fd").iterdir()
    return sum(part in os.path.realpath(descriptor) for descriptor in descriptors)


def test_idle_it_uses_no_cpu(lab: Lab):
    for number in range(50):
        lab.make_run(f"r{number}", f"cat{number}.example.com")
    lab.start()
    before = lab.cpu_s()
    time.sleep(2)
    assert lab.cpu_s() - before <= 0.02  # two clock ticks, of which the first sweep may be one
