"""`hostel top`: which users the machine works for."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hostel.cli.agent import Agent
from hostel.cli.command import DEFAULT_ROOT, Command, JsonOption, RootOption, say
from hostel.cli.website import console
from hostel.wire.paths import Paths
from hostel.wire.report import TenantUsage, TenantUsages
from hostel.wire.website import MIB

FIRST_LOOK_S = 1.0  # rates need two looks
EVERY_S = 2.0


app = typer.Typer()


class SortKey(StrEnum):
    CPU = "cpu"
    MEMORY = "memory"
    REQUESTS = "requests"
    DISK = "disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One user. `cpu_percent` is of one core, as top(1) has it; None: not measured yet."""

    user: str
    sites: int
    running: int
    cpu_percent: float
    memory_mb: int
    processes: int
    requests_per_s: float
    disk_mb: int | None
    suspended: bool


@app.command(cls=Command)
def top(
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    sort: Annotated[SortKey, typer.Option("--sort", help="What to rank by.")] = SortKey.CPU,
    as_json: JsonOption = False,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Rank the users by what they use now: processor, memory, requests, disk.

    Refreshes until Ctrl-C; without a terminal, or with --json, it prints once.
    """
    agent = Agent(Paths(root))
    before = agent.usage()
    time.sleep(FIRST_LOOK_S)
    now = agent.usage()
    if as_json:
        print(json.dumps([asdict(row) for row in ranked(before, now, sort)], indent=2))
    elif once or not sys.stdout.isatty():
        console().print(render(ranked(before, now, sort)))
    else:
        follow(agent, before, now, sort)


def follow(agent: Agent, before: TenantUsages, now: TenantUsages, sort: SortKey) -> None:
    screen = Console(highlight=False)
    try:
        with Live(console=screen, screen=True, auto_refresh=False) as live:
            while True:
                rows = ranked(before, now, sort)[: max(1, screen.height - 2)]
                live.update(render(rows), refresh=True)
                time.sleep(EVERY_S)
                before, now = now, agent.usage()
    except KeyboardInterrupt:
        say("")


def ranked(before: TenantUsages, now: TenantUsages, sort: SortKey) -> list[Row]:
    """Rates between two looks; a user who is new, or whose counters began anew, has none yet."""
    earlier = {tenant.name: tenant for tenant in before.tenants}
    seconds = max(now.at_s - before.at_s, 1e-3)
    rows = [_row(earlier.get(tenant.name, tenant), tenant, seconds) for tenant in now.tenants]
    return sorted(rows, key=lambda row: (-_weight(row, sort), -row.cpu_percent, -row.memory_mb, row.user))


def _weight(row: Row, sort: SortKey) -> float:
    if sort is SortKey.MEMORY:
        return row.memory_mb
    if sort is SortKey.REQUESTS:
        return row.requests_per_s
    return (row.disk_mb or 0) if sort is SortKey.DISK else row.cpu_percent


def _row(before: TenantUsage, now: TenantUsage, seconds: float) -> Row:
    return Row(
        user=now.name,
        sites=now.websites,
        running=now.running,
        cpu_percent=round(max(0.0, now.cpu_s - before.cpu_s) / seconds * 100, 1),
        memory_mb=now.memory_bytes // MIB,
        processes=now.processes,
        requests_per_s=round(max(0, now.requests - before.requests) / seconds, 1),
        disk_mb=now.disk.used_bytes // MIB if now.disk else None,
        suspended=now.is_suspended,
    )


def render(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("user", overflow="fold")
    for heading in ("sites", "cpu %", "memory", "processes", "requests/s", "disk"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        name = Text(f"{row.user} (suspended)", style="dim") if row.suspended else Text(row.user)
        disk = "?" if row.disk_mb is None else f"{row.disk_mb} MiB"
        table.add_row(
            name,
            f"{row.running}/{row.sites}",
            f"{row.cpu_percent:.1f}",
            f"{row.memory_mb} MiB",
            str(row.processes),
            f"{row.requests_per_s:.1f}",
            disk,
        )
    return table
