"""`hostel shell`, and running any command in a user's sandbox."""

import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hostel.cli.agent import Agent
from hostel.cli.command import DEFAULT_ROOT, Command, RootOption, say
from hostel.cli.errors import CommandFailed, NotRoot, hostel
from hostel.cli.prerequisites import SYSTEM_PATH
from hostel.cli.relay import Stdio, flush_python_output, run_command
from hostel.wire.errors import HostelError
from hostel.wire.paths import Paths
from hostel.wire.website import ExecRequest, RunId

LOGIN_SHELL = ("/bin/bash", "-l")
HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

app = typer.Typer()


@app.command(cls=Command, epilog="Example: hostel shell xanthippe -- bash -lc 'pip list | head'")
def shell(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The user.", show_default=False)],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CMD", help="After `--`: the command and its arguments. Without: a login shell.", show_default=False
        ),
    ] = None,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Run a command, or a login shell, as a user in the user's own sandbox.

    The sandbox has the user's home, network and limits, and ends with the command. Input, output, signals and the
    exit code pass through, so it can stand in scripts and pipes.
    """
    stdio = Stdio()
    terminal = stdio.is_terminal()
    raise typer.Exit(run_in_sandbox(root, name, command or LOGIN_SHELL, stdio=stdio, terminal=terminal))


def run_in_sandbox(root: Path, tenant: str, argv: Sequence[str], *, stdio: Stdio, terminal: bool = False) -> int:
    """Run `argv` in a sandbox of `tenant`; its exit code. The sandbox is gone afterwards, whatever happened."""
    if os.geteuid() != 0:
        raise NotRoot
    agent = Agent(Paths(root))
    # From here to the end of the run a Ctrl-C must not leave a sandbox behind, so it waits until the run is known.
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        plan = agent.prepare(tenant, ExecRequest(argv=tuple(argv), terminal=terminal))
        try:
            if plan.notice:
                say(f"warning: {plan.notice}")
            flush_python_output()
            program = shutil.which(plan.argv[0], path=SYSTEM_PATH) or plan.argv[0]
            return run_command([program, *plan.argv[1:]], stdio=stdio, terminal=terminal)
        except OSError as error:
            message = f"the sandbox could not be started: {plan.argv[0]}: {error.strerror}"
            raise CommandFailed(message, hint=f"`{hostel(root)} doctor` looks for the cause") from error
        finally:
            _end(agent, plan.run)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)


def _end(agent: Agent, run: RunId) -> None:
    try:
        agent.end(run)
    except HostelError as error:
        say(f"warning: the sandbox of run {run} could not be removed ({error}); the agent will do it when it can")
