"""What thousands of sleeping websites cost a boot and an idle platform.

`hostel up`, and how long until the agent is ready, until a visitor gets an answer of the panel, and until the agent has
nothing left to do: with no website, then with many. Then what the platform's processes use while nobody comes.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmark import Amount, Benchmark
from machine import cpu_s, pss_bytes
from many_websites import LIMIT, add_sleeping_websites

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import live
from live import Platform, running

AIM_S = 3.0
QUIET_S = 1.0  # the agent has done its work when it has used less than a tenth of a core for so long
DEADLINE_S = 600.0


def boot(platform: Platform) -> dict[str, float]:
    """Seconds from `hostel up` on."""
    began = time.monotonic()
    platform.up()
    answered_s = time.monotonic() - began
    return {"panel_answers_s": round(answered_s, 2), "agent_is_done_s": round(wait_for_quiet(platform, began), 2)}


def wait_for_quiet(platform: Platform, began: float) -> float:
    """Seconds from `began` until the agent's work was done."""
    agent = platform.part_pid("agent")
    while time.monotonic() < began + DEADLINE_S:
        since, before = time.monotonic(), cpu_s(agent)
        time.sleep(QUIET_S)
        if cpu_s(agent) - before < QUIET_S / 10:
            return since - began
    raise SystemExit(f"the agent is still at work after {DEADLINE_S:g} s")


def processes(platform: Platform) -> Iterator[tuple[str, int]]:
    """Name and pid of each process of the platform, nginx's workers and the panel's among them."""
    installation = json.loads(platform.paths.installation_file.read_text())["id"]
    for file in Path("/proc").glob("[0-9]*"):
        try:
            words = (file / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cgroups = (file / "cgroup").read_text()
        except OSError:
            continue
        if str(platform.root) in words or ("nginx" in words and is_child(file, platform.part_pid("edge"))):
            yield name_of(words), int(file.name)
        elif installation in cgroups:
            yield "panel", int(file.name)


def is_child(file: Path, parent: int) -> bool:
    return int((file / "stat").read_text().rpartition(")")[2].split()[1]) == parent


def name_of(words: str) -> str:
    return next((part for part in ("agent", "logger", "supervisor", "nginx") if part in words), "hostel up")


def idle(platform: Platform, seconds: float) -> dict[str, dict[str, float]]:
    """Memory and share of a core of each part while nobody comes."""
    found = list(processes(platform))
    before = {pid: cpu_s(pid) for _, pid in found}
    time.sleep(seconds)
    result: dict[str, dict[str, float]] = {}
    for name, pid in found:
        if not Path(f"/proc/{pid}").exists():  # a probe of the agent's
            continue
        entry = result.setdefault(name, {"pss_mb": 0.0, "cpu_percent": 0.0})
        entry["pss_mb"] = round(entry["pss_mb"] + pss_bytes(pid) / (1 << 20), 1)
        entry["cpu_percent"] = round(entry["cpu_percent"] + (cpu_s(pid) - before[pid]) / seconds * 100, 2)
    return result


def main() -> None:
    bench = Benchmark(
        __doc__,
        quick="300 websites, ten seconds",
        websites=Amount(5000, quick=300),
        idle_seconds=Amount(60.0, quick=10.0),
    )
    count = bench.options.websites
    live.UP_DEADLINE_S = DEADLINE_S
    with running(LIMIT) as platform:
        user = platform.add_user("bench")
        platform.down()
        boots = {"no website": boot(platform)}
        parts = {"no website": idle(platform, bench.options.idle_seconds)}
        platform.down()
        add_sleeping_websites(platform, user.name, count)
        boots[f"{count} websites, for the first time"] = boot(platform)
        platform.down()
        boots[f"{count} websites"] = boot(platform)
        parts[f"{count} websites"] = idle(platform, bench.options.idle_seconds)
    totals = {name: round(sum(part["pss_mb"] for part in each.values()), 1) for name, each in parts.items()}
    show(boots, parts, totals)
    bench.keep("boot", websites=count, boots=boots, idle=parts, idle_pss_mb=totals, aim_s=AIM_S)


def show(
    boots: dict[str, dict[str, float]], parts: dict[str, dict[str, dict[str, float]]], totals: dict[str, float]
) -> None:
    table = Table("boot with", "the panel answers after", "the agent is done after")
    for name, figures in boots.items():
        table.add_row(name, *(f"{value:.1f} s" for value in figures.values()))
    idle_table = Table("idle with", "", "memory (PSS)", "of a core")
    for count, each in parts.items():
        for name, figures in each.items():
            idle_table.add_row(count, name, f"{figures['pss_mb']:.1f} MB", f"{figures['cpu_percent']:.2f} %")
        idle_table.add_row(count, "together", f"{totals[count]:.1f} MB", "", end_section=True)
    console = Console()
    console.print(table, idle_table)


if __name__ == "__main__":
    main()
