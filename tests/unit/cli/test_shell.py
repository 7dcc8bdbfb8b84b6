"""`hostel shell`: bytes, signals, the terminal, and that a sandbox never stays behind."""

import fcntl
import os
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .conftest import DEADLINE_S, AgentStandIn, Run

Start = Callable[..., "subprocess.Popen[bytes]"]


def test_output_errors_and_exit_code_pass_through(hostel: Run, agent: AgentStandIn) -> None:
    result = hostel("shell", "alice", "--", "bash", "-c", "echo out; echo err >&2; exit 7")
    assert (result.stdout, result.stderr, result.returncode) == (b"out\n", b"err\n", 7)
    assert agent.calls == [
        (
            "POST",
            "/tenants/alice/exec",
            {"argv": ["bash", "-c", "echo out; echo err >&2; exit 7"], "terminal": False},
        ),
        ("DELETE", "/runs/r000000000001a", {}),
    ]


def test_a_signal_that_ends_the_command_becomes_128_and_its_number(hostel: Run, agent: AgentStandIn) -> None:
    assert hostel("shell", "alice", "--", "bash", "-c", "kill -9 $$").returncode == 137
    assert agent.ended_runs


def test_megabytes_of_any_bytes_come_back_unchanged(hostel: Run, agent: AgentStandIn) -> None:
    data = os.urandom(3 << 20) + bytes(range(256))
    result = hostel("shell", "alice", "--", "cat", stdin=data)
    assert result.returncode == 0
    assert result.stdout == data


def test_the_command_may_close_its_input_early(hostel: Run, agent: AgentStandIn) -> None:
    result = hostel("shell", "alice", "--", "head", "-c", "3", stdin=b"abc" + bytes(1 << 20))
    assert (result.stdout, result.returncode) == (b"abc", 0)


def test_no_command_means_a_login_shell(hostel: Run, agent: AgentStandIn) -> None:
    result = hostel("shell", "alice", stdin=b"shopt -q login_shell && echo login\n")
    assert result.stdout == b"login\n"
    assert agent.calls[0][2]["argv"] == ["/bin/bash", "-l"]


def test_a_process_left_behind_does_not_delay_the_end(hostel: Run, agent: AgentStandIn) -> None:
    result = hostel("shell", "alice", "--", "bash", "-c", "sleep 60 & echo $!")
    os.kill(int(result.stdout), signal.SIGKILL)
    assert result.returncode == 0


def test_the_command_gets_none_of_the_operators_descriptors(start: Start, agent: AgentStandIn) -> None:
    given = fcntl.fcntl(0, fcntl.F_DUPFD, 77)
    script = "cd /proc/self/fd; readlink 0 1 2 3; echo *; wc -c <&3"
    process = start("shell", "alice", "--", "bash", "-c", script, pass_fds=[given])
    ours = [stream for stream in (process.stdin, process.stdout, process.stderr) if stream is not None]
    inodes = {os.fstat(stream.fileno()).st_ino for stream in ours}
    output, _ = process.communicate(timeout=DEADLINE_S)
    os.close(given)
    *links, numbers, bytes_at_3 = output.decode().splitlines()
    theirs = {int(link.removeprefix("pipe:[").removesuffix("]")) for link in links}
    assert len(theirs) == 4
    assert not theirs & inodes
    assert max(map(int, numbers.split())) < given
    assert bytes_at_3 == "0"


def test_a_reader_that_goes_away_ends_the_command(start: Start, agent: AgentStandIn) -> None:
    process = start("shell", "alice", "--", "yes")
    assert process.stdout is not None
    assert process.stdout.read(2) == b"y\n"
    process.stdout.close()
    assert process.wait(DEADLINE_S) == 128 + signal.SIGPIPE
    assert agent.ended_runs


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_command(start: Start, agent: AgentStandIn, signum: signal.Signals) -> None:
    name = signum.name.removeprefix("SIG")
    script = f"trap 'echo got {name}; exit 3' {name}; echo ready; while :; do sleep 0.02; done"
    process = start("shell", "alice", "--", "bash", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signum)
    assert process.stdout.read() == f"got {name}\n".encode()
    assert process.wait(DEADLINE_S) == 3
    assert agent.ended_runs


def test_a_second_ctrl_c_ends_a_command_that_ignores_the_first(start: Start, agent: AgentStandIn) -> None:
    process = start("shell", "alice", "--", "bash", "-c", "trap '' INT; echo ready $$; exec sleep 60")
    assert process.stdout is not None
    pid = int(process.stdout.readline().split()[1])
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == b"The command goes on. Press Ctrl-C again to end it.\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 130
    assert agent.ended_runs
    assert not os.path.exists(f"/proc/{pid}")


def test_a_command_that_cannot_start_is_an_error_and_leaves_nothing(hostel: Run, agent: AgentStandIn) -> None:
    result = hostel("shell", "alice", "--", "/no/such/program")
    assert result.returncode == 1
    assert b"error: the sandbox could not be started: /no/such/program: No such file" in result.stderr
    assert b"hint: " in result.stderr
    assert agent.ended_runs


def test_an_unknown_user_is_named_with_a_hint(hostel: Run, agent: AgentStandIn) -> None:
    result = hostel("shell", "nobody", "--", "true")
    assert result.returncode == 1
    assert result.stderr.decode().startswith("error: No such user: nobody.\nhint: `HOSTEL_ROOT=")
    assert "user list" in result.stderr.decode()


def test_without_the_platform_the_hint_says_how_to_start_it(hostel: Run) -> None:
    result = hostel("shell", "alice", "--", "true")
    assert result.returncode == 1
    assert "hostel up" in result.stderr.decode()
    assert b"Traceback" not in result.stderr


# -- with a terminal


class Terminal:
    """A pseudo-terminal with `hostel` on it."""

    def __init__(self, rows: int, columns: int) -> None:
        self.ours, self.theirs = os.openpty()
        self.resize(rows, columns)
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text: bytes) -> None:
        while text not in self.seen:
            data = os.read(self.ours, 4096)
            assert data, f"the terminal closed before {text!r}: {self.seen!r}"
            self.seen += data

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.theirs)

    def descriptors(self) -> dict[str, int]:
        return dict.fromkeys(("stdin", "stdout", "stderr"), self.theirs)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal(24, 80)
    yield made
    os.close(made.ours)
    os.close(made.theirs)


def test_with_a_terminal_the_command_learns_the_windows_size(
    start: Start, agent: AgentStandIn, terminal: Terminal
) -> None:
    before = terminal.modes()
    script = 'while read -u 3 rows columns; do echo "size $rows x $columns."; [ $rows = 50 ] && exit 4; done'
    process = start("shell", "alice", "--", "bash", "-c", script, **terminal.descriptors())
    terminal.expect(b"size 24 x 80.\n")  # a bare newline: raw mode adds no carriage return
    assert terminal.modes() != before
    terminal.resize(50, 132)
    process.send_signal(signal.SIGWINCH)
    terminal.expect(b"size 50 x 132.\n")
    assert process.wait(DEADLINE_S) == 4
    assert terminal.modes() == before
    assert agent.calls[0][2]["terminal"] is True


def test_in_a_terminal_ctrl_c_is_a_byte_for_the_command(start: Start, agent: AgentStandIn, terminal: Terminal) -> None:
    process = start(
        "shell", "alice", "--", "bash", "-c", "echo ready; head -c 1 | od -An -tx1", **terminal.descriptors()
    )
    terminal.expect(b"ready\n")
    os.write(terminal.ours, b"\x03")
    terminal.expect(b" 03\n")
    assert process.wait(DEADLINE_S) == 0


def test_the_terminal_is_restored_when_a_signal_ends_the_command(
    start: Start, agent: AgentStandIn, terminal: Terminal
) -> None:
    before = terminal.modes()
    process = start("shell", "alice", "--", "bash", "-c", "echo ready; exec sleep 60", **terminal.descriptors())
    terminal.expect(b"ready\n")
    process.terminate()
    assert process.wait(DEADLINE_S) == 128 + signal.SIGTERM
    assert terminal.modes() == before
    assert agent.ended_runs
