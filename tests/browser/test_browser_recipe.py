"""The README's recipe without a console: on a fresh root, packages really installed. And the tutorial's pictures."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from browser_recipe import Hands, fresh_page, play

pytestmark = pytest.mark.browser

TUTORIAL = Path(__file__).parents[2] / "docs/tutorial"


def test_from_the_first_login_to_a_live_django_site(
    playwright: Playwright, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typed as fast as the browser takes it; `bench/recipe.py` types as people do."""
    seen: list[str] = []
    with fresh_page(playwright, tmp_path) as (platform, window):
        took_s = play(platform, window.page, hands=Hands(), camera=seen.append)
        assert platform.get("xanthippe").status_code == 200
        assert window.complaints() == []
    with capsys.disabled():
        print(f"\nThe recipe in the browser took {took_s:.1f} s.")
    shown = re.findall(r"\]\((\w+)\.png\)", (TUTORIAL / "README.md").read_text())
    assert shown == seen, "the tutorial has a picture of each step, and of no other: make tutorial"
    assert {file.stem for file in TUTORIAL.glob("*.png")} == set(seen)
