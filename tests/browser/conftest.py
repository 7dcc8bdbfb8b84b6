"""A real Chromium that trusts the platform's own authority."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, StorageState, expect, sync_playwright

from chromium import DEADLINE_MS, OpenWindow, Window, launch, trust
from live import Platform, User
from quiet_network import quiet_network

expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """Ends with this directory: its event loop is this thread's, where later tests with asyncio must find none."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def network(platform: Platform) -> Iterator[str]:
    with quiet_network((platform.http_port, platform.https_port)) as name:
        yield name


@pytest.fixture(scope="package")
def browser(
    platform: Platform, playwright: Playwright, network: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """Trusts the installation's authority as a user's browser does once it was imported; no error is ignored."""
    home = tmp_path_factory.mktemp("home")
    trust(platform.ca_file, home)
    with launch(playwright, home, network=network) as browser:
        yield browser


@pytest.fixture
def open_window(browser: Browser) -> Iterator[OpenWindow]:
    """Opens windows that share nothing, not even cookies."""
    contexts = []

    def open_window(**options: object) -> Window:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(DEADLINE_MS)
        contexts.append(context)
        window = Window(context.new_page())
        window.listen()
        return window

    yield open_window
    for context in contexts:
        context.close()


@pytest.fixture
def window(open_window: OpenWindow) -> Window:
    return open_window()


@pytest.fixture(scope="package")
def bobs_cookies(platform: Platform, bob: User, browser: Browser) -> StorageState:
    """As after a login, to be given to windows."""
    with browser.new_context() as context:
        Window(context.new_page()).log_in(platform, bob)
        return context.storage_state()
