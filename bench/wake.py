"""One request to each of 200 sleeping websites, all at the same instant.

Of hibernated ones all must be answered. Of stopped ones, more than the machine can start in the time for which a
request is held, each is answered or told to come back (503 with Retry-After), and none is started twice.
"""

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from benchmark import Amount, Benchmark

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fleet import NO_POOL, PAGE, SWAP_OF_ONE_MB, Fleet, made, percentile
from swap import enough_swap

AWAKE_S = 3600


async def visit_all(fleet: Fleet) -> list[tuple[str, float]]:
    """What each got, and after how many seconds."""
    urls = [fleet.platform.url(label, PAGE, https=False) for label in fleet.all_labels]
    async with httpx.AsyncClient(limits=NO_POOL, timeout=180, trust_env=False) as client:

        async def visit(url: str) -> tuple[str, float]:
            began = time.monotonic()
            try:
                response = await client.get(url)
            except httpx.HTTPError as error:
                return repr(error), time.monotonic() - began
            told = f"{response.status_code}" + (" with Retry-After" if "retry-after" in response.headers else "")
            return told, time.monotonic() - began

        return await asyncio.gather(*map(visit, urls))


def wake_all(fleet: Fleet, tier: str) -> dict[str, object]:
    fleet.let_sleep(tier, after_s=1)
    fleet.until_asleep(deadline_s=120 + 2.0 * len(fleet.all_labels))
    fleet.let_sleep(tier, after_s=AWAKE_S)
    before = fleet.started()
    answers = asyncio.run(visit_all(fleet))
    until_quiet(fleet)
    times = [seconds for _, seconds in answers]
    return {
        "tier": tier,
        "websites": len(answers),
        "answers": dict(Counter(told for told, _ in answers)),
        "runs_started": fleet.started() - before,
        "p50_s": round(percentile(times, 0.5), 2),
        "p99_s": round(percentile(times, 0.99), 2),
        "longest_s": round(max(times), 2),
    }


def until_quiet(fleet: Fleet) -> None:
    """Starts that are under way when the last request has been answered are counted too."""
    end = time.monotonic() + 300
    while "starting" in fleet.states().values() and time.monotonic() < end:
        time.sleep(1)


def find_faults(row: dict[str, object]) -> list[str]:
    answers, count = row["answers"], row["websites"]
    assert isinstance(answers, dict)
    assert isinstance(count, int)
    assert isinstance(row["runs_started"], int)
    allowed = {"200"} if row["tier"] == "hibernate" else {"200", "503 with Retry-After"}
    most = 0 if row["tier"] == "hibernate" else count
    faults = [f"{row['tier']}: {times} x {told}" for told, times in answers.items() if told not in allowed]
    return faults + ([f"{row['tier']}: {row['runs_started']} runs started"] if row["runs_started"] > most else [])


def main() -> None:
    bench, console = Benchmark(__doc__, quick="20 websites", sites=Amount(200, quick=20)), Console()
    sites = bench.options.sites
    with enough_swap(sites * SWAP_OF_ONE_MB) as made_mb:
        if made_mb:
            console.print(f"made {made_mb} MiB of swap in a file, for as long as this goes on")
        with made(sites) as fleet:
            fleet.start()
            rows = [wake_all(fleet, tier) for tier in ("hibernate", "stop")]
    table = Table("", "answers", "runs started", "p50", "p99", "longest")
    for row in rows:
        times = [f"{row[key]} s" for key in ("p50_s", "p99_s", "longest_s")]
        table.add_row(str(row["tier"]), str(row["answers"]), str(row["runs_started"]), *times)
    console.print(table)
    bench.keep("wake", options={"sites": sites, "swap_file_mb": made_mb}, results=rows)
    faults = [fault for row in rows for fault in find_faults(row)]
    if faults:
        raise SystemExit("; ".join(faults))


if __name__ == "__main__":
    main()
