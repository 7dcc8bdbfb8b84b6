"""Consoles in the browser: opened, typed into, seen by several tabs, left and come back to."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, StorageState, WebSocketRoute, expect

from browser.test_pages import assert_good_looks
from chromium import OpenWindow, Window
from consoles import Console, consoles_of
from live import Platform, User

pytestmark = pytest.mark.browser

PROMPT = re.compile(r"\d\d:\d\d ~.* \$")


@pytest.fixture
def api(platform: Platform, bob: User) -> Iterator[httpx.Client]:
    with consoles_of(platform, bob) as api:
        yield api


@pytest.fixture
def window(platform: Platform, bobs_cookies: StorageState, open_window: OpenWindow, api: httpx.Client) -> Window:
    window = open_window(storage_state=bobs_cookies, viewport={"width": 1280, "height": 800})
    window.page.goto(f"{platform.panel_url}user/bob/consoles/")
    return window


class Line:
    """What the WebSockets of a page go through. Chromium offline would leave those alone that are open."""

    def __init__(self, page: Page) -> None:
        self._ends: list[WebSocketRoute] = []
        self._is_cut = False
        page.route_web_socket(re.compile("/stream/"), self._connect)

    def cut(self) -> None:
        self._is_cut = True
        for end in self._ends:
            end.close()
        self._ends = []

    def mend(self) -> None:
        self._is_cut = False

    def _connect(self, page: WebSocketRoute) -> None:
        if self._is_cut:
            page.close()
        else:
            self._ends += [page, page.connect_to_server()]


def do(page: Page, command: str) -> None:
    page.locator("#console").click()
    page.keyboard.type(command)
    page.keyboard.press("Enter")


def test_bash_and_python_open_in_the_browser(platform: Platform, window: Window) -> None:
    page = window.page
    page.get_by_role("button", name="Bash").click()
    expect(page.get_by_role("heading", name="Bash console")).to_be_visible()
    expect(page.locator(".xterm-rows")).to_contain_text(PROMPT)
    do(page, "echo seen-$((6 * 7)) $TERM")
    expect(page.locator(".xterm-rows")).to_contain_text("seen-42 xterm-256color")
    do(page, "stty size")
    expect(page.locator(".xterm-rows")).to_contain_text(re.compile(r"[2-9]\d 1[0-9]\d"))
    assert_good_looks(page)
    assert window.foreign_requests(platform.panel_url) == []
    assert window.complaints() == []
    page.goto(f"{platform.panel_url}user/bob/consoles/")
    page.get_by_role("button", name=re.compile(r"Python 3\.")).first.click()
    expect(page.locator(".xterm-rows")).to_contain_text(">>>")
    do(page, "print(6 * 7000)")
    expect(page.locator(".xterm-rows")).to_contain_text("42000")
    assert window.complaints() == []


def test_tabs_share_a_console_that_outlives_them_and_says_when_it_ends(
    platform: Platform, window: Window, bobs_cookies: StorageState, open_window: OpenWindow
) -> None:
    page = window.page
    page.get_by_label("Directory").fill("/tmp")
    page.get_by_role("button", name="Bash").click()
    expect(page.locator(".xterm-rows")).to_contain_text("/tmp")
    address = page.url
    do(page, "echo first-$((1 + 1))")
    expect(page.locator(".xterm-rows")).to_contain_text("first-2")
    page.close()
    one, two = (open_window(storage_state=bobs_cookies).page for _ in range(2))
    for tab in (one, two):
        tab.goto(address)
        expect(tab.locator(".xterm-rows")).to_contain_text("first-2")
    do(one, "echo both-$((1 + 2))")
    for tab in (one, two):
        expect(tab.locator(".xterm-rows")).to_contain_text("both-3")
    do(two, "exit 3")
    for tab in (one, two):
        expect(tab.get_by_text("This console has ended with exit code 3.")).to_be_visible()
    two.reload()
    expect(two.get_by_role("heading", name=re.compile("has ended"))).to_be_visible()
    expect(two.get_by_text("This console has ended with exit code 3.")).to_be_visible()
    one.get_by_role("button", name="Open a new one").click()
    expect(one.locator(".xterm-rows")).to_contain_text("/tmp")


def test_a_tab_comes_back_with_what_it_has_missed(platform: Platform, window: Window, api: httpx.Client) -> None:
    page = window.page
    line = Line(page)
    page.get_by_role("button", name="Bash").click()
    expect(page.locator(".xterm-rows")).to_contain_text(PROMPT)
    console = Console(api, api.get("").json()[0])
    line.cut()
    expect(page.get_by_text("The connection was lost; trying again…")).to_be_visible()
    console.do("echo missed-$((3 + 4))", "missed-7")
    expect(page.locator(".xterm-rows")).not_to_contain_text("missed-7")
    line.mend()
    expect(page.locator(".xterm-rows")).to_contain_text("missed-7")
    do(page, "echo back-$((4 + 4))")
    expect(page.locator(".xterm-rows")).to_contain_text("back-8")
