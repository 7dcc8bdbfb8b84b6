"""How long the recipe takes somebody in a browser: five characters a second, and a second before each click.

From the first login on a fresh root to a live Django site, with a virtualenv made and its packages installed.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmark import Amount, Benchmark

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser_recipe import Hands, fresh_page, play

HANDS = Hands(per_character_s=0.2, before_click_s=1.0)
AIM_S = 180.0


def main() -> None:
    bench = Benchmark(__doc__, rounds=Amount(3))
    took_s = []
    with sync_playwright() as playwright:
        for _ in range(bench.options.rounds):
            steps: list[str] = []
            with tempfile.TemporaryDirectory() as home, fresh_page(playwright, Path(home)) as (platform, window):
                took_s.append(round(play(platform, window.page, hands=HANDS, camera=steps.append), 1))
            print(f"{took_s[-1]} s through {len(steps)} steps")
    median_s = statistics.median(took_s)
    print(f"median {median_s} s")
    hands = {"per_character_s": HANDS.per_character_s, "before_click_s": HANDS.before_click_s}
    bench.keep("recipe", **hands, took_s=took_s, median_s=median_s, aim_s=AIM_S)


if __name__ == "__main__":
    main()
