"""A user's way to an API token: log in, create, use, replace, revoke; in a real browser."""

import re
import secrets
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from chromium import Window
from live import Platform, User

pytestmark = pytest.mark.browser

INVALID = (401, {"detail": "Invalid token."})


@pytest.fixture(scope="module")
def xenia(platform: Platform) -> User:
    """A user whose token, if there is one, no other test minds."""
    user = User("xenia", secrets.token_urlsafe(12), "")
    platform.hostel("user", "add", user.name, "--password-stdin", stdin=user.password + "\n")
    return user


def log_in_without_token(window: Window, platform: Platform, user: User) -> None:
    """Logged in, with the token tab open, and no token from an earlier test."""
    window.log_in(platform, user)
    open_token_tab(window.page)
    if window.page.get_by_role("button", name="Revoke", exact=True).count():
        window.page.get_by_role("button", name="Revoke", exact=True).click()
    expect(window.page.get_by_text("You have no token.")).to_be_visible()


def open_token_tab(page: Page) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Account").click()
    page.get_by_role("navigation", name="Account").get_by_role("link", name="API token").click()
    expect(page.get_by_role("heading", name="Your API token")).to_be_visible()


def create_token(page: Page, button: str) -> str:
    with page.expect_navigation():  # the page before may show a token too
        page.get_by_role("button", name=button).click()
    return shown_token(page)


def shown_token(page: Page) -> str:
    token = page.locator("code.api_token").inner_text()
    assert re.fullmatch("[0-9a-f]{40}", token)
    return token


def use(platform: Platform, user: User, token: str) -> tuple[int, object]:
    """What the API answers to a call with this token."""
    with platform.api(replace(user, token=token)) as api:
        answer = api.get("websites/")
    return answer.status_code, answer.json()


def console_token(platform: Platform, user: User) -> str:
    return platform.shell(user.name, 'printf %s "$API_TOKEN"')


def hex_words(text: str) -> set[str]:
    """All 40 hex digits in a row there are, those at either end of longer rows too."""
    rows = set(re.findall("[0-9a-f]{40,}", text))
    return {row[:40] for row in rows} | {row[-40:] for row in rows}


def dump(platform: Platform) -> str:
    with sqlite3.connect(platform.paths.panel / "panel.sqlite3") as database:
        text = "\n".join(database.iterdump())
    database.close()
    return text


def test_a_token_is_created_used_replaced_and_revoked(platform: Platform, xenia: User, window: Window) -> None:
    page = window.page
    log_in_without_token(window, platform, xenia)
    expect(page.get_by_role("button", name="Revoke")).to_have_count(0)

    first = create_token(page, "Create a new API token")
    assert use(platform, xenia, first) == (200, [])

    open_token_tab(page)
    page.reload()
    expect(page.get_by_text("cannot be shown again")).to_be_visible()
    expect(page.locator("code.api_token")).to_have_count(0)
    assert first not in page.content()

    second = create_token(page, "Revoke and create new token")
    assert second != first
    assert use(platform, xenia, first) == INVALID
    assert use(platform, xenia, second) == (200, [])
    assert console_token(platform, xenia) == second

    open_token_tab(page)
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(page.get_by_text("You have no token.")).to_be_visible()
    assert use(platform, xenia, second) == INVALID
    assert console_token(platform, xenia) == ""
    assert window.complaints() == []
    assert window.foreign_requests(platform.panel_url) == []


def test_neither_reloading_nor_going_back_replaces_a_token_unasked(
    platform: Platform, xenia: User, window: Window
) -> None:
    page = window.page
    log_in_without_token(window, platform, xenia)
    token = create_token(page, "Create a new API token")
    page.goto(page.url)  # what pressing Enter in the address bar does
    expect(page.locator("code.api_token")).to_have_count(0)
    open_token_tab(page)
    page.go_back()
    page.go_forward()
    assert use(platform, xenia, token) == (200, [])


def test_a_dump_of_the_database_holds_no_usable_token(platform: Platform, xenia: User, window: Window) -> None:
    page = window.page
    log_in_without_token(window, platform, xenia)
    tokens = [create_token(page, button) for button in ("Create a new API token", "Revoke and create new token")]
    assert use(platform, xenia, tokens[-1]) == (200, [])
    dumped = dump(platform)
    found = hex_words(dumped)
    assert "accounts_apitoken" in dumped
    assert found, "the tokens' digests are there"
    assert {use(platform, xenia, word)[0] for word in found} == {401}
    for file in filter(Path.is_file, platform.paths.panel.rglob("*")):
        content = file.read_bytes()
        assert not any(token.encode() in content for token in tokens), file
        assert xenia.password.encode() not in content, file


def test_all_of_it_works_with_the_keyboard_alone(platform: Platform, xenia: User, window: Window) -> None:
    page = window.page
    page.goto(platform.panel_url)
    keyboard = page.keyboard
    keyboard.type(xenia.name)  # the form's first field has the focus already
    keyboard.press("Tab")
    keyboard.type(xenia.password)
    keyboard.press("Enter")
    expect(page).to_have_url(f"{platform.panel_url}user/{xenia.name}/")
    for control in ("Account", "API token"):
        enter(page, control)
    enter(page, page.get_by_role("button", name=re.compile("(C|c)reate (a )?new")).inner_text())
    assert use(platform, xenia, shown_token(page)) == (200, [])
    tab_to(page, "Skip to the content")
    keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    enter(page, "Log out")
    expect(page).to_have_url(f"{platform.panel_url}login/")


def enter(page: Page, words: str) -> None:
    tab_to(page, words)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def tab_to(page: Page, words: str) -> None:
    """Press Tab until the control with these words has the focus, which must be visible there."""
    for _ in range(30):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.textContent.trim()")
        if focused == words:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            return
    raise AssertionError(f"30 times Tab did not lead to {words!r}")
