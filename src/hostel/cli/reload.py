"""`hostel reload`: takes over a changed hostel.toml while the platform runs."""

import fcntl
import json
import time

import typer

from hostel.cli.agent import Agent
from hostel.cli.command import DEFAULT_ROOT, Command, RootOption, say
from hostel.cli.errors import CommandFailed
from hostel.wire.config import Config, read_config
from hostel.wire.errors import AgentUnreachable
from hostel.wire.paths import Paths
from hostel.wire.process import RENEW, ProcessIdentity
from hostel.wire.report import Health
from hostel.wire.website import Phase, State, WebsiteReport

DEADLINE_S = 180.0
AGENT_DEADLINE_S = 30.0
EVERY_S = 0.1

app = typer.Typer()


@app.command(cls=Command)
def reload(root: RootOption = DEFAULT_ROOT) -> None:
    """Take over a changed hostel.toml while the platform runs.

    Agent, logger and panel start anew with it; websites and consoles go on, and no request is lost. What [sites],
    [panel], [listen] and [network] say takes a new `hostel up`.
    """
    paths, agent = Paths(root), Agent(Paths(root))
    config, supervisor = read_config(paths.config_file), _find_supervisor(paths)
    if _wait_for_agent(agent).foundation != config.foundation:
        raise CommandFailed(
            "a change of [sites], [panel], [listen] or [network] cannot be taken over while the platform runs",
            hint="undo it; or stop `hostel up` and start it again, which ends all websites for that time",
        )
    began, before = time.monotonic(), _agent_pid(paths)
    say(f"Taking over {paths.config_file}. Websites go on.")
    supervisor.send(RENEW)
    panel = _wait_for_panel(paths, agent, config, before=before)
    if panel.deploy.phase is Phase.FAILED:
        failure = panel.deploy.failure
        for line in failure.stderr if failure else ():
            say(f"  {line}")
        outlook = "the one before goes on" if panel.state is State.RUNNING else "is tried again every ten seconds"
        raise CommandFailed(
            f"the panel does not start with it, and {outlook}: {failure.detail if failure else 'it gave no reason'}",
            hint=f"its log is {paths.site_logs / 'hostel' / f'{config.panel_host}.error.log'}",
        )
    say(f"Agent, logger and panel run with it, after {time.monotonic() - began:.1f} s.")


def _find_supervisor(paths: Paths) -> ProcessIdentity:
    """It holds a lock on the file that says its pid."""
    try:
        with (paths.supervisor / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return ProcessIdentity.of(int(file.read()))
    except (OSError, ValueError):  # it has just ended, or writes the file
        pass
    raise CommandFailed(
        "`hostel up` has ended: nothing would start the platform's parts again",
        hint="run `hostel up`: it adopts what still runs, with the new configuration for all that it starts",
    )


def _agent_pid(paths: Paths) -> int:
    """As the supervisor knows it; 0 while there is none."""
    try:
        return int(json.loads((paths.supervisor / "agent.json").read_bytes())["pid"])
    except (OSError, ValueError, KeyError):
        return 0


def _wait_for_agent(agent: Agent) -> Health:
    """Its successor starts where it was ended just now, by another `hostel reload` for example."""
    give_up = time.monotonic() + AGENT_DEADLINE_S
    while True:
        try:
            return agent.health()
        except AgentUnreachable:
            if time.monotonic() > give_up:
                raise
        time.sleep(EVERY_S)


def _wait_for_panel(paths: Paths, agent: Agent, config: Config, *, before: int) -> WebsiteReport:
    """Once its deploy by the next agent went well or failed."""
    give_up = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up:
        time.sleep(EVERY_S)
        if _agent_pid(paths) in (0, before):
            continue
        try:
            panel = agent.website(config.panel_host)
        except AgentUnreachable:
            continue
        phase = panel.deploy.phase
        if phase is Phase.FAILED or (panel.state is State.RUNNING and phase is not Phase.STARTING):
            return panel
    raise CommandFailed(
        f"the panel was not there again within {DEADLINE_S:g} s; websites go on",
        hint=f"{paths.log / 'agent.log'} says why",
    )
