"""What it costs to create, switch, wake and delete a website beside 10, 500 and 2,000 that hibernate: real sandboxes
with their namespaces, mounts and cgroups, frozen and moved to the swap.

Each new website is created right after the same server was started by hand, so that a machine that has become slower
meanwhile is not taken for what the crowd costs; and in the end, when all but ten of them are deleted, once more.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from benchmark import Amount, Benchmark

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fleet import Fleet, Memory
from live import ANSWER, Platform, User, answering, running
from swap import enough_swap

FEW = 10
DEADLINE_S = 120.0
MIDDLE = 500
WEBSITES_OF_ONE = 100
SWAP_OF_ONE_MB = 12  # of Python and asyncio, and some more
SETTINGS = f"""[limits]
user_websites = {WEBSITES_OF_ONE}
user_memory_mb = 16384
user_pids = 8192
"""


class Crowd:
    """Websites that hibernate as they come."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._fleets: list[Fleet] = []
        self.count = 0

    def grow(self, count: int) -> float:
        """Seconds that it took until all slept."""
        began = time.monotonic()
        while self.count < count:
            owner = self._platform.add_user_with_server(f"crowd{len(self._fleets)}")
            added = min(WEBSITES_OF_ONE, count - self.count)
            labels = [f"s{number}-{owner.name}" for number in range(added)]
            fleet = Fleet(self._platform, Memory.now(), {owner: labels}, command=answering(), page="/")
            fleet.let_sleep("hibernate", after_s=1)
            fleet.start()
            self._fleets.append(fleet)
            self.count += added
        self._fleets[-1].until_asleep(deadline_s=DEADLINE_S + count)
        return time.monotonic() - began

    def shrink(self) -> None:
        """To those of the first user, which were there from the beginning."""
        for fleet in self._fleets[1:]:
            for owner in fleet.labels:
                self._platform.hostel("user", "remove", owner.name, "--yes")
        del self._fleets[1:]
        self.count = len(self._fleets[0].all_labels)

    def wake(self) -> float:
        """Median milliseconds of the first few, which fall asleep anew."""
        first = self._fleets[0]
        took_s = [first.visit(label) for label in first.all_labels]
        first.until_asleep(deadline_s=DEADLINE_S)
        return round(statistics.median(took_s) * 1000, 1)

    def idle_percent(self, seconds: float) -> float:
        """Of a core, that the agent takes while nobody comes."""
        return self._fleets[0].cpu_percent(seconds)["agent"]


def measure(platform: Platform, user: User, crowd: Crowd, *, times: int, seconds: float) -> dict[str, float]:
    """Milliseconds of one, as medians, of `times` new websites; and what the agent takes when all that is over."""
    with platform.api(user) as api:

        def call(method: str, path: str, body: object = None) -> httpx.Response:
            response = api.request(method, f"websites/{path}", json=body)
            if response.is_error:
                raise SystemExit(f"{method} {path}: {response.text}")
            return response

        def create(label: str) -> None:
            created = call("POST", "", platform.wanted(label, answering())).json()
            if created["webapp"]["state"] != "running":
                raise SystemExit(f"{label} does not start: {created}")

        def switch(label: str) -> None:
            call("POST", f"{label}.{platform.domain}/reload/")

        def delete(label: str) -> None:
            call("DELETE", f"{label}.{platform.domain}/")

        labels = [f"new{number}-{user.name}" for number in range(times)]
        creations = [(by_hand_ms(), took_ms(create, label)) for label in labels]
        hand_ms, create_ms = (statistics.median(each) for each in zip(*creations, strict=True))
        switch_ms, delete_ms = (statistics.median(took_ms(act, label) for label in labels) for act in (switch, delete))
    figures = {"by_hand_ms": hand_ms, "create_ms": create_ms, "switch_ms": switch_ms, "delete_ms": delete_ms}
    of_by_hand = round(create_ms / hand_ms, 2)
    figures = {name: round(value, 1) for name, value in figures.items()}
    return {
        **figures,
        "create_of_by_hand": of_by_hand,
        "wake_ms": crowd.wake(),
        "agent_idle_percent_of_a_core": crowd.idle_percent(seconds),
    }


def by_hand_ms() -> float:
    """The same server without Hostel, until it accepts."""
    argv = [sys.executable, ANSWER, "hello"]
    with tempfile.TemporaryDirectory(prefix="bench-crowd-") as place:
        listens_at = f"{place}/socket"
        began = time.perf_counter()
        process = subprocess.Popen(argv, env={**os.environ, "DOMAIN_SOCKET": listens_at}, stdout=subprocess.DEVNULL)
        try:
            give_up = time.monotonic() + DEADLINE_S
            with socket.socket(socket.AF_UNIX) as client:
                while client.connect_ex(listens_at) and time.monotonic() < give_up:
                    time.sleep(0.001)
            return (time.perf_counter() - began) * 1000
        finally:
            process.kill()
            process.wait()


def took_ms(act: Callable[[str], None], label: str) -> float:
    began = time.perf_counter()
    act(label)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    bench = Benchmark(
        __doc__,
        quick="beside 20",
        websites=Amount(2000, quick=20, help="the largest crowd"),
        times=Amount(20, quick=3, help="how many websites are created, switched and deleted"),
        seconds=Amount(30.0, quick=5.0, help="for which the agent's processor time is counted"),
    )
    options, console = bench.options, Console()
    rows: list[dict[str, object]] = []
    with enough_swap(options.websites * SWAP_OF_ONE_MB) as made_mb, running(SETTINGS) as platform:
        user, crowd = platform.add_user_with_server("bench"), Crowd(platform)
        for count in sorted({FEW, min(MIDDLE, options.websites), options.websites}):
            grown_s = crowd.grow(count)
            console.print(f"{count:,} hibernate after {grown_s:.0f} s more")
            figures = measure(platform, user, crowd, times=options.times, seconds=options.seconds)
            rows.append({"beside": crowd.count, "crowd_grew_s": round(grown_s), **figures})
        crowd.shrink()
        figures = measure(platform, user, crowd, times=options.times, seconds=options.seconds)
        rows.append({"beside": crowd.count, **figures})
    show(console, rows)
    bench.keep("crowd", times=options.times, seconds=options.seconds, swap_file_mb=made_mb, results=rows)


def show(console: Console, rows: list[dict[str, object]]) -> None:
    table = Table("beside", "by hand", "create", "of it", "switch", "delete", "wake", "agent, idle")
    for row in rows:
        by_hand, create, *times = (
            f"{row[f'{key}_ms']} ms" for key in ("by_hand", "create", "switch", "delete", "wake")
        )
        table.add_row(
            f"{row['beside']:,}",
            by_hand,
            create,
            f"{row['create_of_by_hand']}",
            *times,
            f"{row['agent_idle_percent_of_a_core']} %",
        )
    console.print(table)


if __name__ == "__main__":
    main()
