"""The `hostel` command: one module a noun, put together here."""

from typing import Annotated

import typer
from typer.core import TyperGroup

import hostel
from hostel.cli import ca, doctor, reload, shell, token, top, up, user, website
from hostel.cli.relay import fill_standard_descriptors

ORDER = ["up", "reload", "user", "token", "shell", "website", "top", "ca", "doctor"]  # as a newcomer needs them


class InOrder(TyperGroup):
    def list_commands(self, ctx: object) -> list[str]:
        return ORDER


app = typer.Typer(
    cls=InOrder,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(wanted: bool) -> None:
    if wanted:
        print(hostel.__version__)
        raise typer.Exit


@app.callback(epilog="Data goes to standard output, messages to standard error. Exit code 1: failed, 2: wrong usage.")
def describe(
    version: Annotated[
        bool, typer.Option("--version", help="Print Hostel's version.", callback=print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="When a command fails, show where in Hostel's code.")] = False,
) -> None:
    """Hosting for async Python websites that you run yourself.

    Start the platform with `hostel up`, add a user with `hostel user add`, and give the user an API token with
    `hostel token create`. `hostel doctor` says what is missing. HOSTEL_ROOT stands for --root in every command.
    """


for single in (up, reload, shell, top, ca, doctor):
    app.add_typer(single.app)
for name, noun in (("user", user), ("token", token), ("website", website)):
    app.add_typer(noun.app, name=name)


def main() -> None:
    fill_standard_descriptors()
    app(prog_name="hostel")
