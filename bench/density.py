"""What an idle website costs, and how fast it is back: N Django websites awake, hibernated, stopped.

Memory of one = (fall of MemAvailable + fall of free swap) / N, of the whole machine: what the kernel keeps for a
sandbox (namespaces, mounts, cgroups, page tables) is in it. Keep the machine quiet: whatever else happens there counts
too. What is charged to the websites' own cgroups stands beside it, which a busy machine does not blur. With zram
what is swapped takes memory too, compressed: then the first of the two is all that a website costs.
"""

import contextlib
import random
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmark import Amount, Benchmark

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fleet import MIB, SWAP_OF_ONE_MB, Fleet, Memory, made, percentile
from swap import enough_swap
from zram import zram_swap

AIM = {"hibernated_ram_mb": 1.5, "wake_p50_ms": 60, "wake_p99_ms": 250}
AWAKE_S = 3600


def measure(fleet: Fleet, name: str, *, seconds: float, has_zram: bool) -> dict[str, object]:
    """What all of them take now."""
    count = len(fleet.all_labels)
    memory = Memory.now()
    ram = (fleet.before.available_bytes - memory.available_bytes) / count / MIB
    swap = (fleet.before.swap_free_bytes - memory.swap_free_bytes) / count / MIB
    percent = fleet.cpu_percent(seconds)
    return {
        "state": name,
        "memory_mb": round(ram if has_zram else ram + swap, 2),
        "of_it_ram_mb": round(ram, 2),
        "of_it_swap_mb": round(swap, 2),
        "charged_mb": round(fleet.charged_bytes() / count / MIB, 2),
        "cpu_percent_of_a_core": percent,
    }


def wake(fleet: Fleet, count: int) -> dict[str, object]:
    """One website after another."""
    labels = random.Random(0).sample(fleet.all_labels, min(count, len(fleet.all_labels)))
    times = [fleet.visit(label) * 1000 for label in labels]
    return {
        "woken": len(times),
        "wake_p50_ms": round(percentile(times, 0.5), 1),
        "wake_p99_ms": round(percentile(times, 0.99), 1),
        "wake_longest_ms": round(max(times), 1),
    }


def run(fleet: Fleet, *, seconds: float, cold: int, has_zram: bool) -> list[dict[str, object]]:
    deadline_s = 120 + 2.0 * len(fleet.all_labels)
    fleet.start()
    rows = [measure(fleet, "awake", seconds=seconds, has_zram=has_zram)]
    for tier, name, count in (
        ("hibernate", "hibernated", len(fleet.all_labels)),
        ("hibernate", "once more", len(fleet.all_labels)),  # now it is known what they use
        ("stop", "stopped", cold),
    ):
        fleet.let_sleep(tier, after_s=1)
        slept_s = fleet.until_asleep(deadline_s=deadline_s)
        fleet.let_sleep(tier, after_s=AWAKE_S)
        row = measure(fleet, name, seconds=seconds, has_zram=has_zram)
        rows.append({**row, "all_asleep_after_s": round(slept_s, 1), **wake(fleet, count)})
    return rows


def show(console: Console, rows: list[dict[str, object]]) -> None:
    table = Table("", "memory", "RAM", "swap", "charged", "CPU: websites", "agent", "wake p50", "p99")
    for row in rows:
        cpu = row["cpu_percent_of_a_core"]
        assert isinstance(cpu, dict)
        sizes = [f"{row[key]} MiB" for key in ("memory_mb", "of_it_ram_mb", "of_it_swap_mb", "charged_mb")]
        times = [f"{row[key]} ms" if key in row else "" for key in ("wake_p50_ms", "wake_p99_ms")]
        table.add_row(str(row["state"]), *sizes, f"{cpu['websites']} %", f"{cpu['agent']} %", *times)
    console.print(table)


def main() -> None:
    bench = Benchmark(
        __doc__,
        quick="20 websites",
        sites=Amount(300, quick=20, help="2,000 is the long form"),
        seconds=Amount(30.0, quick=10.0, help="for which processor time is counted"),
        cold=Amount(50, help="how many of the stopped ones are started again"),
        swap=Amount("file", help="or zram: the result is density_zram.json then"),
    )
    options, console = bench.options, Console()
    sites, seconds, has_zram = options.sites, options.seconds, options.swap == "zram"
    with contextlib.ExitStack() as swap:
        if has_zram:
            algorithm = swap.enter_context(zram_swap(sites * SWAP_OF_ONE_MB))
            of_swap: dict[str, object] = {"zram": algorithm}
        else:
            of_swap = {"swap_file_mb": swap.enter_context(enough_swap(sites * SWAP_OF_ONE_MB))}
        console.print("swap, made for as long as this goes on:", of_swap)
        with made(sites) as fleet:
            rows = run(fleet, seconds=seconds, cold=options.cold, has_zram=has_zram)
    show(console, rows)
    name = "density_zram" if has_zram else "density"
    bench.keep(name, options={"sites": sites, "seconds": seconds, **of_swap}, aim=AIM, results=rows)


if __name__ == "__main__":
    main()
