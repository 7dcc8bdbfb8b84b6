"""Plays the recipe in a browser and keeps a picture of each step in docs/tutorial/."""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from browser_recipe import Hands, fresh_page, play  # noqa: E402  # it lies with the tests

TUTORIAL = ROOT / "docs/tutorial"
# Of what pip says: where this machine has its packages from is nothing for a tutorial.
WITHOUT_ADDRESSES = """() => document.querySelectorAll("pre.lines").forEach((lines) => {
  lines.textContent = lines.textContent.split("\\n").filter((line) => !line.includes("://")).join("\\n");
})"""


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as home,
        sync_playwright() as playwright,
        fresh_page(playwright, Path(home)) as (platform, window),
    ):

        def keep(name: str) -> None:
            window.page.evaluate(WITHOUT_ADDRESSES)
            window.page.screenshot(path=TUTORIAL / f"{name}.png", animations="disabled", caret="hide", full_page=True)

        play(platform, window.page, hands=Hands(), camera=keep)
    size = sum(file.stat().st_size for file in TUTORIAL.glob("*.png"))
    print(f"{TUTORIAL}: {size // 1024} KiB of pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
