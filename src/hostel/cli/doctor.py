"""`hostel doctor`: every prerequisite as a line, with the next step for each that fails."""

import dataclasses
import json
import os
import platform
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from hostel.cli import prerequisites
from hostel.cli.agent import Agent
from hostel.cli.command import DEFAULT_ROOT, Command, JsonOption, RootOption
from hostel.cli.errors import hint_for, hostel
from hostel.cli.prerequisites import Check, Status, fails, ok, preflight, warning
from hostel.cli.up import DEFAULT_DOMAIN
from hostel.wire.config import Config, SitesConfig, read_config
from hostel.wire.errors import AgentUnreachable, ConfigError, HostelError
from hostel.wire.paths import Paths
from hostel.wire.report import AgentCheck

COLOURS = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILS: "bold red"}

app = typer.Typer()


@app.command(cls=Command)
def doctor(
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Leave out what is in order.")] = False,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Look at everything Hostel needs, and say what to do where something is missing.

    Works with and without the platform running. Exit code 1 when something fails; warnings alone give 0.
    """
    checks = list(examine(Paths(root)))
    shown = [check for check in checks if not quiet or check.status is not Status.OK]
    if as_json:
        print(json.dumps([dataclasses.asdict(check) for check in shown], indent=2))
    else:
        show(shown)
    if any(check.status is Status.FAILS for check in checks):
        raise typer.Exit(1)


def examine(paths: Paths) -> Iterator[Check]:
    config, check = look_at_config(paths)
    yield check
    yield from preflight(paths, config)
    yield prerequisites.check_runc_version()
    yield prerequisites.check_kernel_is_newest(platform.release())
    yield prerequisites.check_core_pattern(prerequisites.read_core_pattern())
    yield prerequisites.check_nginx_service()
    yield prerequisites.check_packet_filter()
    yield prerequisites.check_resolvers(config)
    yield prerequisites.check_names(config)
    yield prerequisites.check_cookies(config)
    yield prerequisites.check_interpreters(config)
    yield prerequisites.check_disk(paths)
    yield from ask_agent(paths)


def look_at_config(paths: Paths) -> tuple[Config, Check]:
    """The configuration, or the defaults where there is none to read."""
    default = Config(sites=SitesConfig(domain=DEFAULT_DOMAIN))
    if not paths.config_file.exists():
        return default, ok("configuration", f"none yet; the first `{hostel(paths.root)} up` writes {paths.config_file}")
    try:
        config = read_config(paths.config_file)
    except ConfigError as error:
        return default, fails("configuration", str(error), hint_for(error, root=paths.root))
    return config, ok("configuration", str(paths.config_file))


def ask_agent(paths: Paths) -> Iterator[Check]:
    if os.geteuid() != 0:
        return
    try:
        health = Agent(paths).health()
        checks = Agent(paths).checks()
    except AgentUnreachable as error:
        yield warning("platform", str(error), f"start it with `{hostel(paths.root)} up`")
        return
    except HostelError as error:
        yield fails("platform", str(error), hint_for(error, root=paths.root))
        return
    yield ok("platform", f"runs, installation {health.installation}")
    for check in checks:
        yield _as_shown(check)


def _as_shown(check: AgentCheck) -> Check:
    if check.ok:
        return ok(check.name, check.message)
    return (fails if check.is_grave else warning)(check.name, check.message, check.hint)


def show(checks: list[Check]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        colour = COLOURS[check.status]
        status = f"[{colour}]{check.status:<7}[/]"
        console.print(f"{status}  {escape(check.name):<{width}}  {escape(check.message)}")
        if check.hint:
            console.print(f"{'':9}{'':{width}}  [dim]hint:[/] {escape(check.hint)}")
