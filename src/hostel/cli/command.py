"""What all commands share: `--root`, `--debug`, and the form in which errors appear.

The one place of the command line that catches broadly.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from hostel.cli.errors import hint_for
from hostel.wire.errors import HostelError

DEFAULT_ROOT = Path("/")

RootOption = Annotated[
    Path,
    typer.Option(
        "--root",
        envvar="HOSTEL_ROOT",
        metavar="DIR",
        help="The installation's place: configuration, data, sockets and logs lie below it.",
        callback=lambda value: value.resolve(),
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


class Command(TyperCommand):
    """A command that reports errors as a message and a hint on stderr, with exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        debug = ctx.find_root().params.get("debug", False)
        root = ctx.params.get("root", DEFAULT_ROOT)
        try:
            return super().invoke(ctx)
        except HostelError as error:
            if debug:
                raise
            complain(str(error), hint=hint_for(error, root=root))
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if debug:
                raise
            text = f"unexpected {type(error).__name__}: {error}"
            complain(text, hint="`hostel --debug ...` shows where it happened; please report it")
        raise typer.Exit(1)


def complain(message: str, *, hint: str) -> None:
    say(f"error: {message}")
    if hint:
        say(f"hint: {hint}")


def say(message: str) -> None:
    """A message for the person at the terminal; stdout is for data."""
    print(message, file=sys.stderr, flush=True)
