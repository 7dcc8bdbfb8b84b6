"""What thousands of sleeping websites cost a boot and an idle platform.

`hostel up`, and how long until the agent is ready, until a visitor gets an answer of the panel, and until the agent has
nothing left to do: with no website, then with many. Then what the platform's processes use while nobody comes.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from machine import describe, write_result
from many_websites import LIMIT, add_sleeping_websites

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import live
from live import Platform

AIM_S = 3.0
QUIET_S = 1.0  # the agent has done its work when it has used less than a tenth of a core for so long
DEADLINE_S = 600.0
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


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


def pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


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
        entry["pss_mb"] = round(entry["pss_mb"] + pss_mb(pid), 1)
        entry["cpu_percent"] = round(entry["cpu_percent"] + (cpu_s(pid) - before[pid]) / seconds * 100, 2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--websites", type=int, default=5000)
    parser.add_argument("--idle-seconds", type=float, default=60)
    parser.add_argument("--quick", action="store_true", help="300 websites, ten seconds, and no result")
    options = parser.parse_args()
    count, seconds = (300, 10.0) if options.quick else (options.websites, options.idle_seconds)
    machine = describe()
    platform = Platform(settings=LIMIT)
    live.UP_DEADLINE_S = DEADLINE_S
    try:
        platform.up()
        user = platform.add_user("bench")
        platform.down()
        boots = {"no website": boot(platform)}
        platform.down()
        add_sleeping_websites(platform, user.name, count)
        boots[f"{count} websites, for the first time"] = boot(platform)
        platform.down()
        boots[f"{count} websites"] = boot(platform)
        parts = idle(platform, seconds)
    finally:
        platform.remove()
    show(boots, parts)
    if not options.quick:
        total = round(sum(part["pss_mb"] for part in parts.values()), 1)
        result = {"machine": machine, "websites": count, "boots": boots, "idle": parts, "idle_pss_mb": total}
        print(write_result("boot", {**result, "aim_s": AIM_S}))


def show(boots: dict[str, dict[str, float]], parts: dict[str, dict[str, float]]) -> None:
    table = Table("boot with", "the panel answers after", "the agent is done after")
    for name, figures in boots.items():
        table.add_row(name, *(f"{value:.1f} s" for value in figures.values()))
    idle_table = Table("idle", "memory (PSS)", "of a core")
    for name, figures in parts.items():
        idle_table.add_row(name, f"{figures['pss_mb']:.1f} MB", f"{figures['cpu_percent']:.2f} %")
    console = Console()
    console.print(table, idle_table)


if __name__ == "__main__":
    main()
