"""Help and the reference page: nothing undocumented."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from hostel.cli.main import app

from .conftest import Run

REFERENCE = Path(__file__).parents[3] / "docs/reference/cli.md"


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for child, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {child}")


def test_the_reference_names_every_command_and_option() -> None:
    text = REFERENCE.read_text()
    for name, command in commands(typer.main.get_command(app), "hostel"):
        assert f"`{name}" in text, name
        for option in (option for parameter in command.params for option in parameter.opts if option.startswith("--")):
            assert f"`{option}" in text, f"{name} {option}"


def test_every_command_takes_the_root_and_explains_itself() -> None:
    for name, command in commands(typer.main.get_command(app), "hostel"):
        assert command.help, name
        if not getattr(command, "commands", {}):
            assert "--root" in [option for parameter in command.params for option in parameter.opts], name


def test_wrong_usage_is_exit_code_2(hostel: Run) -> None:
    result = hostel("up", "--no-such-flag")
    assert result.returncode == 2
    assert b"--no-such-flag" in result.stderr


def test_debug_shows_where_a_failure_happened(hostel: Run) -> None:
    assert b"Traceback" not in hostel("website", "list").stderr
    assert b"Traceback" in hostel("--debug", "website", "list").stderr
