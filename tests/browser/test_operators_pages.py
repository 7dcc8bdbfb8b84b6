"""The operators' pages in a real browser, under the panel's strict rules for content."""

import pytest
from playwright.sync_api import expect

from chromium import OpenWindow
from live import Platform, User

pytestmark = pytest.mark.browser


def test_an_operator_adds_limits_and_removes_a_user(platform: Platform, bob: User, open_window: OpenWindow) -> None:
    boss = platform.add_user("boss")
    assert "page Users" in platform.hostel("user", "operator", boss.name).stdout
    window = open_window()
    page = window.page
    window.log_in(platform, boss)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Users").click()
    page.get_by_role("link", name="Add").click()
    page.get_by_label("Username").fill("pupil")
    page.get_by_label("Password").fill("chalk and slate 9")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    assert platform.shell("pupil", "echo $HOME") == "/home/pupil\n"
    page.get_by_role("link", name="pupil").first.click()
    page.get_by_label("websites").fill("1")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert "websites                    1  instead of" in platform.hostel("user", "limits", "pupil").stdout
    page.get_by_role("link", name="pupil").first.click()
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_text("was deleted successfully")).to_be_visible()
    assert platform.hostel("shell", "pupil", "--", "true", check=False).returncode != 0
    assert [words for words in window.complaints() if not words.startswith("[DOM]")] == []  # advice on forms
    assert window.foreign_requests(platform.panel_url) == []
    platform.hostel("user", "remove", boss.name, "--yes")


def test_for_a_user_there_is_no_such_page(platform: Platform, bob: User, open_window: OpenWindow) -> None:
    window = open_window()
    window.log_in(platform, bob)
    expect(window.page.get_by_role("link", name="Users")).to_have_count(0)
    answer = window.page.goto(f"{platform.panel_url}operator/")
    assert answer is not None
    assert answer.status == 404
