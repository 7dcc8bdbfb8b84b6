"""How long the recipe takes somebody in a browser: five characters a second, and a second before each click.

From the first login on a fresh root to a live Django site, with a virtualenv made and its packages installed.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from machine import describe, write_result

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser_recipe import Hands, fresh_page, play

HANDS = Hands(per_character_s=0.2, before_click_s=1.0)
AIM_S = 180.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    machine, took_s = describe(), []
    with sync_playwright() as playwright:
        for _ in range(options.rounds):
            steps: list[str] = []
            with tempfile.TemporaryDirectory() as home, fresh_page(playwright, Path(home)) as (platform, window):
                took_s.append(round(play(platform, window.page, hands=HANDS, camera=steps.append), 1))
            print(f"{took_s[-1]} s through {len(steps)} steps")
    result: dict[str, object] = {
        "machine": machine,
        "per_character_s": HANDS.per_character_s,
        "before_click_s": HANDS.before_click_s,
        "took_s": took_s,
        "median_s": statistics.median(took_s),
        "aim_s": AIM_S,
    }
    print(f"median {result['median_s']} s; written to {write_result('recipe', result)}")


if __name__ == "__main__":
    main()
