import errno
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostel.logger.rotation import rotate
from hostel.logger.stream import Allowance, LogFile, Rate, Stream
from hostel.wire.streams import PIPE_BYTES, TAIL_BYTES, TAIL_LINES

ROOMY = Rate(bytes_per_s=1 << 30, burst_bytes=1 << 30)


class Lab:
    """A FIFO with a writer, and streams that read it into `x.error.log`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "x.error.log"
        self.fifo = directory / "stderr"
        os.mkfifo(self.fifo)
        self.writer = os.open(self.fifo, os.O_RDWR)
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.streams: list[Stream] = []

    def stream(self, rate: Rate = ROOMY, *, limit_bytes: int = 1 << 30, log: Path | None = None) -> Stream:
        file = LogFile(log or self.log, limit_bytes=limit_bytes, rotate=rotate)
        stream = Stream(self.fifo, file, Allowance(rate), keeps_tail=True)
        self.streams.append(stream)
        return stream

    def write(self, data: bytes) -> None:
        assert os.write(self.writer, data) == len(data)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    for stream in lab.streams:
        stream.close(0.0)
        stream.file.close()
    os.close(lab.writer)


def test_what_is_written_is_appended_after_what_an_earlier_logger_left(lab: Lab):
    lab.log.write_bytes(b"before\n")
    lab.write(b"after\n")
    lab.stream().pump(0.0)
    assert lab.log.read_bytes() == b"before\nafter\n"


def test_a_log_that_was_removed_is_made_anew(lab: Lab):
    stream = lab.stream()
    lab.write(b"one\n")
    stream.pump(0.0)
    lab.log.unlink()
    lab.write(b"two\n")
    stream.pump(0.0)
    assert lab.log.read_bytes() == b"two\n"


def test_a_full_log_is_rotated_before_the_next_write_and_the_tail_survives(lab: Lab):
    stream = lab.stream(limit_bytes=4)
    for line in (b"one\n", b"two\n", b"three\n"):
        lab.write(line)
        stream.pump(0.0)
    assert lab.log.read_bytes() == b"three\n"
    assert lab.log.with_name("x.error.log.1").read_bytes() == b"two\n"
    assert lab.log.with_name("x.error.log.2").read_bytes() == b"one\n"
    assert stream.tail() == ("one", "two", "three")


def test_lines_over_the_allowance_are_counted_and_each_line_kept_is_whole(lab: Lab):
    rate = Rate(bytes_per_s=100_000, burst_bytes=200_000)
    stream = lab.stream(rate)
    written = 0
    for turn in range(400):  # four seconds of 4 MB/s
        for _ in range(400):
            lab.write(b"%09d\n" % written)
            written += 1
        stream.pump(turn / 100)
    stream.resume(100.0)
    lines = lab.log.read_text().splitlines()
    dropped = sum(int(m[1]) for line in lines if (m := re.fullmatch(r"\[hostel\] (\d+) lines dropped", line)))
    kept = [line for line in lines if re.fullmatch(r"\d{9}", line)]
    whole = set(kept)
    others = [i for i, line in enumerate(lines) if line not in whole and not line.startswith("[hostel]")]
    assert all(lines[i + 1].startswith("[hostel]") for i in others), "a broken line elsewhere than before a notice"
    notices = sum(line.startswith("[hostel]") for line in lines)
    assert 0 <= len(kept) + dropped - written <= notices, "a line cut just before its newline is in both counts"
    assert kept == sorted(set(kept))
    assert 400_000 < lab.log.stat().st_size < 700_000
    assert 2 <= notices <= 6


def test_two_streams_of_one_website_share_file_and_allowance(lab: Lab):
    file = LogFile(lab.log, limit_bytes=1 << 30, rotate=rotate)
    allowance = Allowance(Rate(bytes_per_s=10, burst_bytes=10))
    lab.streams = [Stream(lab.fifo, file, allowance), Stream(lab.fifo, file, allowance)]
    lab.write(b"12345678\n")
    lab.streams[0].pump(0.0)
    lab.write(b"abcdefgh\n")
    lab.streams[1].pump(0.0)
    assert lab.log.read_bytes() == b"12345678\na"
    assert lab.streams[1].is_dropping


def test_a_log_that_cannot_be_written_is_dropped_and_accounted_for_when_it_can(lab: Lab, capfd):
    directory = lab.directory / "missing"
    stream = lab.stream(log=directory / "x.error.log")
    lab.write(b"lost\n" * 3)
    stream.pump(0.0)
    assert stream.tail() == ("lost",) * 3
    assert "No such file or directory; dropping" in capfd.readouterr().err
    directory.mkdir()
    lab.write(b"the line that is cut\nkept\n")
    stream.pump(1.0)
    assert (directory / "x.error.log").read_bytes() == b"[hostel] 4 lines dropped\nkept\n"


def test_a_symlink_in_the_place_of_the_log_is_never_written_through(lab: Lab, capfd):
    victim = lab.directory / "victim"
    victim.write_bytes(b"untouched")
    lab.log.symlink_to(victim)
    lab.write(b"line\n")
    stream = lab.stream()
    stream.pump(0.0)
    assert victim.read_bytes() == b"untouched"
    assert stream.is_dropping
    assert "dropping" in capfd.readouterr().err


def test_what_is_no_fifo_is_refused(lab: Lab):
    (lab.directory / "plain").touch()
    with pytest.raises(OSError, match="not a FIFO"):
        Stream(lab.directory / "plain", LogFile(lab.log, limit_bytes=1, rotate=rotate), Allowance(ROOMY))


def test_the_tail_is_the_last_lines_without_control_characters(lab: Lab):
    stream = lab.stream()
    assert stream.tail() == ()
    lab.write("a\tb\x1b[31m\x07\x9b\r\n\n".encode() + b"caf\xc3\xa9 \xff\nno end".replace(b"\xc2\x9b", b""))
    stream.pump(0.0)
    assert stream.tail() == ("a\tb[31m", "", "café \ufffd", "no end")


def test_the_tail_has_at_most_twenty_lines_and_four_kilobytes_of_whole_lines(lab: Lab):
    stream = lab.stream()
    lab.write(b"".join(b"%d\n" % i for i in range(100)))
    stream.pump(0.0)
    assert stream.tail() == tuple(str(i) for i in range(100 - TAIL_LINES, 100))
    lab.write(b"".join(b"%04d%s\n" % (i, b"x" * 995) for i in range(10)))
    stream.pump(0.0)
    assert [line[:4] for line in stream.tail()] == ["0006", "0007", "0008", "0009"]
    lab.write(b"y" * 10_000)
    stream.pump(0.0)
    assert stream.tail() == ("y" * TAIL_BYTES,)


def test_a_writer_that_goes_on_cannot_prolong_a_turn(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    stream = lab.stream()
    lab.write(b"a" * 1000)
    append = LogFile.splice_from

    def append_while_the_writer_goes_on(file: LogFile, pipe: int, limit: int) -> int:
        moved = append(file, pipe, limit)
        lab.write(b"b" * moved)
        return moved

    monkeypatch.setattr(LogFile, "splice_from", append_while_the_writer_goes_on)
    stream.pump(0.0)
    assert lab.log.read_bytes() == b"a" * 1000


def test_a_file_system_without_splice_is_read_and_written(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "splice", refuse)
    stream = lab.stream()
    lab.write(b"line\n" * 30_000)
    stream.pump(0.0)
    assert lab.log.read_bytes() == b"line\n" * 30_000
