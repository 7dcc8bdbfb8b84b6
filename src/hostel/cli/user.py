"""`hostel user`: accounts. The panel owns them, so each command runs the panel's own in the panel's sandbox."""

import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hostel.cli.command import DEFAULT_ROOT, Command, JsonOption, RootOption, say
from hostel.cli.errors import CommandFailed, hostel
from hostel.cli.relay import Stdio
from hostel.cli.shell import run_in_sandbox
from hostel.wire.config import parse_limit
from hostel.wire.names import SYSTEM_TENANT, check_username

PASSWORD_LENGTH_LIMIT = 4096  # Django refuses longer ones; and it fits a pipe, so nothing blocks

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.", show_default=False)]
PasswordOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
]

app = typer.Typer(no_args_is_help=True, help="Add, list and remove users, set their passwords and limits.")


@app.command(cls=Command)
def add(name: NameArgument, password_stdin: PasswordOption = False, root: RootOption = DEFAULT_ROOT) -> None:
    """Add a user: an account for the web pages, a home directory, and the address NAME.<sites domain>.

    Asks for a password twice. Names are lower-case letters and digits, and start with a letter.
    """
    check_username(name)
    password = read_password(name, from_stdin=password_stdin)
    raise typer.Exit(run_panel(root, "user", "add", name, "--password-stdin", secret=password))


@app.command("list", cls=Command)
def list_users(as_json: JsonOption = False, root: RootOption = DEFAULT_ROOT) -> None:
    """List the users."""
    raise typer.Exit(run_panel(root, "user", "list", *(["--json"] if as_json else [])))


@app.command(cls=Command)
def password(name: NameArgument, password_stdin: PasswordOption = False, root: RootOption = DEFAULT_ROOT) -> None:
    """Set a user's password. The user's sessions in browsers end."""
    new = read_password(name, from_stdin=password_stdin)
    raise typer.Exit(run_panel(root, "user", "password", name, "--password-stdin", secret=new))


@app.command(cls=Command, epilog="Example: hostel user limits xanthippe memory_mb=4096 websites=50 disk_mb=default")
def limits(
    name: NameArgument,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="LIMIT=VALUE", help="What to change; `default` is hostel.toml's.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Show what a user may have, or change it. It holds at once, also for what runs.

    `hostel.toml` has the plan of all users; what one user has instead is marked.
    """
    for change in changes or ():
        parse_limit(change)
    options = ["--json"] if as_json else []
    raise typer.Exit(run_panel(root, "user", "limits", name, *(changes or ()), *options))


@app.command(cls=Command)
def operator(
    name: NameArgument,
    off: Annotated[bool, typer.Option("--off", help="No more.")] = False,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Let a user add, suspend and remove users and set their limits, on the page Users of the panel.

    It is as much power over users as this command line has, and none over the machine. No page makes anybody one.
    """
    raise typer.Exit(run_panel(root, "user", "operator", name, *(["--off"] if off else [])))


@app.command(cls=Command)
def suspend(
    name: NameArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="A note that `user list` shows.")] = "",
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Stop everything of a user: websites answer 503, consoles and processes end, tokens and log-ins are refused.

    All data stays. It outlasts restarts and reboots; `hostel user resume` ends it.
    """
    raise typer.Exit(run_panel(root, "user", "suspend", name, f"--reason={reason}"))


@app.command(cls=Command)
def resume(name: NameArgument, root: RootOption = DEFAULT_ROOT) -> None:
    """End a user's suspension: websites start with their first visitor, tokens and log-ins work again."""
    raise typer.Exit(run_panel(root, "user", "resume", name))


@app.command(cls=Command)
def remove(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Remove a user: stop all that runs, free the domains, move the home to backups/.

    The name may be used again, by a new user with a new home.
    """
    if not yes:
        confirm_removal(name)
    raise typer.Exit(run_panel(root, "user", "remove", name))


def confirm_removal(name: str) -> None:
    if not sys.stdin.isatty():
        raise CommandFailed(f"user {name} is only removed when you confirm it", hint="add --yes")
    say(f"All websites of {name} will stop, and the home will be moved to backups/.")
    sys.stderr.write(f"Type {name} to remove the user: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != name:
        raise CommandFailed("not removed", hint="type the name exactly, or add --yes")


def read_password(name: str, *, from_stdin: bool) -> str:
    """The password for `name`: the first line of stdin, or asked for twice at a terminal."""
    if from_stdin:
        secret = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        secret = ask_password(name)
    else:
        raise CommandFailed(
            "there is no terminal to ask for the password",
            hint="give it on standard input: --password-stdin < password-file",
        )
    if not 0 < len(secret) <= PASSWORD_LENGTH_LIMIT:
        raise CommandFailed(f"the password must have 1 to {PASSWORD_LENGTH_LIMIT} characters", hint="choose another")
    return secret


def ask_password(name: str) -> str:
    try:
        secret = getpass.getpass(f"Password for {name}: ")
        repeated = getpass.getpass("The same again: ")
    except EOFError as error:  # Ctrl-D
        say("")  # getpass left the cursor behind its question
        raise CommandFailed("no password was given", hint="run the command again") from error
    if repeated != secret:
        raise CommandFailed("the two passwords differ", hint="run the command again")
    return secret


def run_panel(root: Path, *arguments: str, secret: str | None = None) -> int:
    """Run `python -m hostel.panel <arguments>` in the panel's sandbox, with `secret` as its stdin; its exit code.

    The panel's command says what went wrong; the hint is ours.
    """
    argv: Sequence[str] = ("python", "-m", "hostel.panel", *arguments)
    reader, writer = os.pipe()
    try:
        if secret is not None:
            os.write(writer, f"{secret}\n".encode())
        os.close(writer)
        exit_code = run_in_sandbox(root, SYSTEM_TENANT, argv, stdio=Stdio(stdin=reader))
        if exit_code != 0:
            say(f"hint: `{hostel(root)} user list` shows the users there are; `{hostel(root)} doctor` checks the panel")
        return exit_code
    finally:
        os.close(reader)
