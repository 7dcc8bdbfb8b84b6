"""`hostel token`: API tokens."""

import typer

from hostel.cli.command import DEFAULT_ROOT, Command, RootOption
from hostel.cli.user import NameArgument, run_panel

app = typer.Typer(no_args_is_help=True, help="Create API tokens.")


@app.callback()
def token() -> None:
    """Create API tokens."""


@app.command(cls=Command)
def create(name: NameArgument, root: RootOption = DEFAULT_ROOT) -> None:
    """Create an API token for a user and print it. An older token of the user stops working.

    It is shown this once: the platform keeps only its hash.
    """
    raise typer.Exit(run_panel(root, "token", "create", name))
