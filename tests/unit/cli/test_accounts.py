"""`hostel user` and `hostel token`: what reaches the panel's own commands."""

import os
import subprocess
from collections.abc import Callable

from .conftest import DEADLINE_S, AgentStandIn, Run

ECHO = ["bash", "-c", 'printf "%s|" "$@"; cat; exit 5', "bash"]  # shows its arguments and its input


def test_a_new_users_password_goes_to_the_panel_by_stdin_only(hostel: Run, agent: AgentStandIn) -> None:
    agent.plan = lambda argv: [*ECHO, *argv]
    result = hostel("user", "add", "alice", "--password-stdin", stdin=b"s3cret word\r\nmore\n")
    assert result.stdout == b"python|-m|hostel.panel|user|add|alice|--password-stdin|s3cret word\n"
    assert result.returncode == 5
    assert result.stderr.startswith(b"hint: ")
    assert "s3cret" not in str(agent.calls)
    assert agent.calls[0][1] == "/tenants/hostel/exec"
    assert agent.ended_runs


def test_a_password_is_changed_the_same_way(hostel: Run, agent: AgentStandIn) -> None:
    agent.plan = lambda argv: [*ECHO, *argv]
    result = hostel("user", "password", "alice", "--password-stdin", stdin="pässwörd\n".encode())
    assert result.stdout == "python|-m|hostel.panel|user|password|alice|--password-stdin|pässwörd\n".encode()


def test_lists_and_tokens_are_the_panels_own_output(hostel: Run, agent: AgentStandIn) -> None:
    agent.plan = lambda argv: [*ECHO, *argv]
    assert hostel("user", "list").stdout == b"python|-m|hostel.panel|user|list|"
    assert hostel("token", "create", "alice").stdout == b"python|-m|hostel.panel|token|create|alice|"


def test_without_a_terminal_a_password_must_be_given(hostel: Run, agent: AgentStandIn) -> None:
    result = hostel("user", "add", "alice")
    assert result.returncode == 1
    assert b"hint: give it on standard input: --password-stdin" in result.stderr
    assert agent.calls == []


def test_an_end_of_input_instead_of_a_password_is_no_failure_of_hostel(
    start: "Callable[..., subprocess.Popen[bytes]]",
) -> None:
    ours, theirs = os.openpty()
    try:
        asking = start("user", "add", "alice", stdin=theirs, start_new_session=True)
        assert asking.stderr is not None
        prompt = b"Password for alice: "
        assert asking.stderr.read(len(prompt)) == prompt
        os.write(ours, b"\x04")  # Ctrl-D
        said = asking.stderr.read()
        assert asking.wait(DEADLINE_S) == 1
        assert said.split(b"\n")[1:] == [b"error: no password was given", b"hint: run the command again", b""]
    finally:
        os.close(ours)
        os.close(theirs)


def test_an_empty_password_is_refused(hostel: Run, agent: AgentStandIn) -> None:
    result = hostel("user", "add", "alice", "--password-stdin", stdin=b"\n")
    assert result.returncode == 1
    assert b"error: the password must have 1 to" in result.stderr


def test_a_name_that_cannot_be_is_refused_before_anything_is_asked(hostel: Run, agent: AgentStandIn) -> None:
    for name in ("x-alice", "Alice", "1a", "admin"):
        result = hostel("user", "add", name, "--password-stdin", stdin=b"p\n")
        assert result.returncode == 1, name
        assert result.stderr.startswith(b"error: "), name
    assert agent.calls == []


def test_removal_needs_a_yes(hostel: Run, agent: AgentStandIn) -> None:
    agent.plan = lambda argv: [*ECHO, *argv]
    assert hostel("user", "remove", "alice").stderr == (
        b"error: user alice is only removed when you confirm it\nhint: add --yes\n"
    )
    assert agent.calls == []
    assert hostel("user", "remove", "alice", "--yes").stdout == b"python|-m|hostel.panel|user|remove|alice|"
