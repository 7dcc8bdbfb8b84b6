"""The recipe of the README in a browser: from the first login to a live Django site, by hands as fast as one wishes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, Playwright, expect

from chromium import Window, launch, trust
from live import Platform, running
from quiet_network import quiet_network

USER = "xanthippe"
PASSWORD = "a long one to type"
SOON_MS = 60_000  # for what a slow machine may take
BUILT_MS = 240_000  # for packages that are fetched and installed
GREETING = "Hello from async Django!"

Camera = Callable[[str], None]  # called with the name of what is to be seen now


@dataclass(frozen=True, slots=True)
class Hands:
    """How somebody types and clicks."""

    per_character_s: float = 0.0
    before_click_s: float = 0.0

    def type(self, field: Locator, text: str) -> None:
        self.click(field)
        field.press_sequentially(text, delay=self.per_character_s * 1000)

    def click(self, place: Locator) -> None:
        time.sleep(self.before_click_s)
        place.click()


@contextmanager
def fresh_page(playwright: Playwright, home: Path) -> Iterator[tuple[Platform, Window]]:
    """A page of a browser that trusts a platform on a root of its own, on which there is one user."""
    with running() as platform:
        platform.hostel("user", "add", USER, "--password-stdin", stdin=PASSWORD + "\n")
        trust(platform.ca_file, home)
        ports = (platform.http_port, platform.https_port)
        with quiet_network(ports) as network, launch(playwright, home, network=network) as browser:
            window = Window(browser.new_page(viewport={"width": 1024, "height": 720}))
            window.page.set_default_timeout(SOON_MS)
            window.listen()
            yield platform, window


def play(platform: Platform, page: Page, *, hands: Hands, camera: Camera) -> float:
    """All of it; returns how many seconds it took."""
    began = time.monotonic()
    page.goto(platform.panel_url)
    hands.type(page.get_by_label("User name"), USER)
    hands.type(page.get_by_label("Password"), PASSWORD)
    camera("login")
    hands.click(page.get_by_role("button", name="Log in"))
    new = page.get_by_role("link", name="New website").first
    expect(new).to_be_visible(timeout=SOON_MS)
    camera("dashboard")
    hands.click(new)
    django = page.get_by_role("link", name="Django").first
    expect(django).to_be_visible(timeout=SOON_MS)
    camera("framework")
    hands.click(django)
    example = page.get_by_role("button", name="Make the example")
    expect(example).to_be_visible(timeout=SOON_MS)
    camera("project")
    hands.click(example)
    installing = page.locator(".progress .now", has_text="Install the packages")
    expect(installing.or_(page.get_by_label("Command")).first).to_be_visible(timeout=BUILT_MS)
    camera("progress")
    expect(page.get_by_label("Command")).to_be_visible(timeout=BUILT_MS)
    expect(page.get_by_text("mysite.asgi:application can be imported.")).to_be_visible(timeout=SOON_MS)
    camera("command")
    hands.click(page.get_by_role("button", name="Create the website"))
    expect(page.locator(".state.running").first).to_be_visible(timeout=SOON_MS)
    camera("website")
    hands.click(page.get_by_role("link", name="Visit").first)
    expect(page.get_by_role("heading", name=GREETING)).to_be_visible(timeout=SOON_MS)
    camera("live")
    return time.monotonic() - began
