"""Runs commands in real sandboxes, also in ones whose configuration was changed: what is one defence worth?

`hostel shell` does the same for users; here the bundle can be edited between its preparation and its start.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hostel.cli.agent import Agent
from hostel.wire.website import ExecRequest
from live import Platform, User

Change = Callable[[dict[str, Any]], None]  # edits the config.json of a bundle
DEADLINE_S = 90.0


@contextmanager
def prepared(
    platform: Platform, user: User | str, argv: Sequence[str], change: Change | None = None
) -> Iterator[tuple[list[str], Path]]:
    """The command that runs the sandbox, and its bundle. Whatever still runs in it is ended afterwards."""
    name = user if isinstance(user, str) else user.name
    agent = Agent(platform.paths)
    plan = agent.prepare(name, ExecRequest(argv=tuple(argv)))
    try:
        bundle = platform.paths.runs / plan.run
        if change is not None:
            file = bundle / "config.json"
            config = json.loads(file.read_text())
            change(config)
            file.write_text(json.dumps(config))
        yield list(plan.argv), bundle
    finally:
        agent.end(plan.run)


def run(
    platform: Platform,
    user: User | str,
    argv: Sequence[str],
    *,
    change: Change | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run `argv` in a sandbox of `user`, with its configuration changed by `change`."""
    with prepared(platform, user, argv, change) as (command, _):
        return subprocess.run(
            command, input=stdin, text=True, errors="replace", capture_output=True, timeout=DEADLINE_S, check=False
        )


def bash(platform: Platform, user: User | str, script: str, *, change: Change | None = None) -> str:
    """What a script wrote; stderr included."""
    done = run(platform, user, ("/bin/bash", "-c", script), change=change)
    return done.stdout + done.stderr


def python(platform: Platform, user: User | str, code: str, *arguments: str, change: Change | None = None) -> str:
    """The standard output of Python code, which must end well."""
    done = run(platform, user, ("/usr/bin/python3", "-I", "-c", code, *arguments), change=change)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def in_namespaces_without(*kinds: str) -> Change:
    """The sandbox shares these namespaces with the host."""

    def change(config: dict[str, Any]) -> None:
        linux = config["linux"]
        linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] not in kinds]

    return change


def without_seccomp(config: dict[str, Any]) -> None:
    del config["linux"]["seccomp"]
