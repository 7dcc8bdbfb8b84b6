"""`hostel website logs`: rotation, hostile paths, hostile bytes."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hostel.cli.logs import Kind, Log, find_log, open_log, printable
from hostel.wire.paths import Paths

from .conftest import DEADLINE_S, Run

Start = Callable[..., "subprocess.Popen[bytes]"]
DOMAIN = "alice.hostel.localhost"


@pytest.fixture
def directory(paths: Paths) -> Path:
    made = paths.site_logs / "alice"
    made.mkdir(parents=True)
    return made


def test_the_last_lines_come_as_they_are(hostel: Run, directory: Path) -> None:
    (directory / f"{DOMAIN}.error.log").write_bytes(
        b"".join(b"line %d \xff\n" % n for n in range(30_000)) + b"unfinished"
    )
    result = hostel("website", "logs", DOMAIN, "--kind", "error", "-n", "2")
    assert result.stdout == b"line 29998 \xff\nline 29999 \xff\nunfinished\n"


def test_several_logs_say_where_each_line_comes_from(hostel: Run, directory: Path) -> None:
    (directory / f"{DOMAIN}.error.log").write_text("started\n")
    (directory / "Alice.hostel.localhost.access.log").write_text("GET /\n")  # named as its owner typed it
    lines = hostel("website", "logs", "ALICE.hostel.localhost").stdout.decode().splitlines()
    assert lines == [f"{DOMAIN} error  | started", f"{DOMAIN} access | GET /"]


def test_no_log_is_an_error_with_a_hint(hostel: Run, directory: Path) -> None:
    result = hostel("website", "logs", DOMAIN)
    assert result.returncode == 1
    assert b"there are no such logs of alice.hostel.localhost" in result.stderr
    assert b"hint: " in result.stderr


def test_following_goes_on_through_rotation_and_loses_no_line(start: Start, directory: Path) -> None:
    file = directory / f"{DOMAIN}.server.log"
    file.write_text("one\n")
    process = start("website", "logs", DOMAIN, "-f", "--kind", "server")
    assert process.stdout is not None
    assert process.stdout.readline() == b"one\n"
    with file.open("a") as old:
        file.rename(directory / f"{DOMAIN}.server.log.1")
        file.write_text("three\n")
        old.write("two\n")
    assert process.stdout.readline() == b"two\n"
    assert process.stdout.readline() == b"three\n"
    os.truncate(file, 0)
    with file.open("a") as new:
        new.write("4")
        new.flush()
        new.write("!\n")
    assert process.stdout.readline() == b"4!\n"
    process.send_signal(2)
    assert process.wait(DEADLINE_S) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_neither_links_nor_fifos_are_opened(directory: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root's\n")
    (directory / "link").symlink_to(secret)
    os.mkfifo(directory / "fifo")
    (tmp_path / "elsewhere").symlink_to(directory)
    (directory / "plain").write_text("x")
    assert open_log(directory, "link") is None
    assert open_log(directory, "fifo") is None
    assert open_log(tmp_path / "elsewhere", "plain") is None
    opened = open_log(directory, "plain")
    assert opened is not None
    opened.close()


def test_a_user_directory_that_is_a_link_is_not_searched(paths: Paths, tmp_path: Path) -> None:
    paths.site_logs.mkdir(parents=True)
    (tmp_path / f"{DOMAIN}.error.log").write_text("elsewhere\n")
    (paths.site_logs / "alice").symlink_to(tmp_path)
    assert find_log(paths.site_logs, Log(DOMAIN, Kind.ERROR), prefixed=False) is None


def test_control_characters_become_visible() -> None:
    assert printable("a\tb \x1b[2J\x07é\u202e") == "a\tb \\x1b[2J\\x07é\\x202e"
