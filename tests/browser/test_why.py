"""From an error page to the reason: the website's owner sees it, and nobody else learns anything."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page, StorageState, expect

from chromium import OpenWindow, Window
from live import Platform, User

pytestmark = pytest.mark.browser

HEADING = "Why a visitor met an error"
SLOW_S = 60.0  # what a busy machine may take


@pytest.fixture(scope="module")
def lost(platform: Platform, bob: User) -> Iterator[str]:
    """A website that listens where nobody finds it."""
    command = "exec python3 -m http.server 8000 --bind 127.0.0.1"
    created = platform.create(bob, "lost-bob", command, start_deadline_s=6)
    assert created.json()["webapp"]["reason"] == "listened_elsewhere", created.text
    yield platform.url("lost-bob", "/shop?secret=1")
    platform.delete(bob, "lost-bob")


def test_a_page_that_waits_turns_into_the_site(platform: Platform, bob: User, window: Window) -> None:
    """Loaded while the website starts: the browser shows progress, and then the website, without anybody's doing."""
    page = window.page
    with ThreadPoolExecutor(1) as background:
        created = background.submit(platform.create, bob, "slow-bob", "sleep 6 && exec python3 answer.py slowly")
        heading = page.get_by_role("heading")
        until = time.monotonic() + SLOW_S
        while heading.count() == 0 or heading.inner_text() != "Starting":
            assert time.monotonic() < until, page.content()
            page.goto(platform.url("slow-bob"))
        expect(page.get_by_text("slowly")).to_be_visible(timeout=SLOW_S * 1000)
        assert created.result().json()["webapp"]["state"] == "running"
    assert window.complaints() == []
    platform.delete(bob, "slow-bob")


def open_reason(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_role("heading")).to_have_text("Something went wrong")
    expect(page.locator("main")).not_to_contain_text("8000")
    page.get_by_role("link", name="See why").click()


def test_the_owner_reads_the_reason_and_how_to_mend_it(
    platform: Platform, lost: str, bobs_cookies: StorageState, open_window: OpenWindow
) -> None:
    window = open_window(storage_state=bobs_cookies)
    page = window.page
    open_reason(page, lost)
    expect(page.get_by_role("heading", name=HEADING)).to_be_visible()
    main = page.locator("main")
    expect(main).to_contain_text("GET /shop")
    expect(main).not_to_contain_text("secret")
    expect(main).to_contain_text("127.0.0.1:8000, not on a stream socket at $DOMAIN_SOCKET")
    expect(main).to_contain_text("--uds $DOMAIN_SOCKET")
    assert window.complaints() == []


def test_who_is_not_the_owner_logs_in_and_learns_as_much_as_of_an_unknown_id(
    platform: Platform, alice: User, lost: str, window: Window
) -> None:
    page = window.page
    open_reason(page, lost)
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    address = re.sub(r".*next=", platform.panel_url.rstrip("/"), page.url)
    window.log_in(platform, alice)
    seen = []
    for url in (address, re.sub("[0-9a-f]{16}", "0" * 16, address)):
        answer = page.goto(url)
        assert answer is not None
        assert answer.status == 404
        seen.append(re.sub("[0-9a-f]{16}", "", page.locator("main").inner_text()))
    assert seen[0] == seen[1]
    assert "Nothing is known of this error" in seen[0]
