"""`hostel website`: what runs, how it is, and its logs. Owners change their websites through the API, not here."""

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hostel.cli import logs
from hostel.cli.agent import Agent
from hostel.cli.command import DEFAULT_ROOT, Command, JsonOption, RootOption, say
from hostel.wire.codec import to_jsonable
from hostel.wire.names import canonical_domain
from hostel.wire.paths import Paths
from hostel.wire.website import Failure, State, WebsiteReport

COLOURS = {
    State.RUNNING: "green",
    State.ASLEEP: "blue",
    State.STARTING: "yellow",
    State.BACKING_OFF: "yellow",
    State.FAILED: "red",
    State.DISABLED: "dim",
    State.SUSPENDED: "dim",
}

DomainArgument = Annotated[str, typer.Argument(metavar="DOMAIN", help="The website's domain.", show_default=False)]

app = typer.Typer(no_args_is_help=True, help="See websites and their logs.")


@app.command("list", cls=Command)
def list_websites(
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Only this user's.")] = "",
    as_json: JsonOption = False,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """List the websites of all users, or of one, with what a visitor meets."""
    reports = Agent(Paths(root)).websites(tenant=user)
    if as_json:
        print(json.dumps(to_jsonable(reports), indent=2))
    elif reports:
        console().print(render_list(reports))
    else:
        say("There are no websites yet.")


@app.command(cls=Command)
def show(domain: DomainArgument, as_json: JsonOption = False, root: RootOption = DEFAULT_ROOT) -> None:
    """Show one website: its state, its last change, and why it failed if it did."""
    report = Agent(Paths(root)).website(canonical_domain(domain))
    if as_json:
        print(json.dumps(to_jsonable(report), indent=2))
    else:
        console().print(render_report(report))


@app.command("logs", cls=Command)
def show_logs(
    domains: Annotated[list[str], typer.Argument(metavar="DOMAIN", help="One or more websites.", show_default=False)],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more lines, until Ctrl-C.")] = False,
    kinds: Annotated[
        list[logs.Kind] | None, typer.Option("--kind", help="Only this log. Repeatable.", show_default="all")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Start with so many lines of each log.")] = 20,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Print the logs of websites: error (the command's stderr), server (its stdout) and access (requests).

    Works without the platform running. Each line says where it comes from when there is more than one log.
    """
    wanted = [logs.Log(canonical_domain(domain), kind) for domain in domains for kind in kinds or list(logs.Kind)]
    logs.print_logs(Paths(root).site_logs, wanted, lines=lines, follow=follow)


def console() -> Console:
    """As wide as the terminal; without one a row is a line, whatever its length."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=4096)


def render_list(reports: tuple[WebsiteReport, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("domain", "user", "state", "since", "last change"):
        table.add_column(heading, overflow="fold")
    for report in sorted(reports, key=lambda report: (report.tenant, report.domain_name)):
        state = Text(report.state.value, style=COLOURS[report.state])
        table.add_row(report.domain_name, report.tenant, state, describe_time(report.since), describe_deploy(report))
    return table


def render_report(report: WebsiteReport) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _rows(report):
        table.add_row(name, value if isinstance(value, Text) else Text(logs.printable(value)))
    return table


def _rows(report: WebsiteReport) -> Iterator[tuple[str, str | Text]]:
    yield "domain", report.domain_name
    yield "user", report.tenant
    yield "state", Text(report.state.value, style=COLOURS[report.state])
    yield "since", describe_time(report.since)
    yield "run", report.run or "-"
    yield "crashes in a row", str(report.restarts)
    yield "last change", describe_deploy(report)
    yield from _failure_rows("last change failed", report.deploy.failure)
    yield from _failure_rows("last crash", report.failure)


def _failure_rows(title: str, failure: Failure | None) -> Iterator[tuple[str, str]]:
    if failure is not None:
        yield title, f"{failure.reason.value}: {failure.detail}"
        for number, line in enumerate(failure.stderr):
            yield "last stderr" if number == 0 else "", line


def describe_deploy(report: WebsiteReport) -> str:
    deploy = report.deploy
    reason = f" ({deploy.failure.reason.value})" if deploy.failure else ""
    return f"{deploy.phase.value}{reason}, revision {deploy.version.revision}"


def describe_time(at: str | None) -> str:
    """A moment of the wire (ISO 8601, UTC) to the second."""
    return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "-"
