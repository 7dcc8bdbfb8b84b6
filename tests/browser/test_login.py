"""Who gets in, who does not, and what they see."""

import pytest
from playwright.sync_api import Error, Playwright, StorageState, expect

from chromium import OpenWindow, Window, launch
from live import Platform, User

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", ["bob", "nobodyatall"])
def test_a_wrong_password_and_an_unknown_name_get_the_same_words(
    platform: Platform, bob: User, window: Window, name: str
) -> None:
    window.send_login(platform, name, "wrong")
    expect(window.page.get_by_role("alert")).to_have_text("That user name and password do not match.")
    expect(window.page.get_by_label("User name")).to_have_value(name)
    expect(window.page.get_by_label("Password")).to_have_value("")
    assert window.page.context.cookies()[0]["name"] == "__Host-csrf"


def test_login_leads_to_the_page_one_asked_for_and_logout_back_out(
    platform: Platform, bob: User, window: Window
) -> None:
    window.send_login(platform, "bob", bob.password, path="user/bob/account/")
    expect(window.page).to_have_url(f"{platform.panel_url}user/bob/account/")
    window.page.get_by_role("button", name="Log out").click()
    expect(window.page).to_have_url(f"{platform.panel_url}login/")
    window.page.goto(f"{platform.panel_url}user/bob/account/")
    expect(window.page.get_by_role("heading", name="Log in")).to_be_visible()
    window.page.go_back()
    expect(window.page.get_by_role("button", name="Log out")).to_have_count(0)


def test_login_and_the_token_page_work_without_javascript(
    platform: Platform, bob: User, open_window: OpenWindow
) -> None:
    window = open_window(java_script_enabled=False)
    window.send_login(platform, "bob", bob.password)
    window.page.get_by_role("link", name="Account").click()
    window.page.get_by_role("link", name="API token", exact=True).click()
    expect(window.page.get_by_role("button", name="Revoke and create new token")).to_be_visible()


def test_the_session_cookie_belongs_to_this_host_alone(platform: Platform, bob: User, window: Window) -> None:
    window.send_login(platform, "bob", bob.password)
    expect(window.page.get_by_role("button", name="Log out")).to_be_visible()
    cookies = {cookie["name"]: cookie for cookie in window.page.context.cookies()}
    assert set(cookies) == {"__Host-csrf", "__Host-session", "__Host-device"}
    for cookie in cookies.values():
        assert (cookie["secure"], cookie["httpOnly"], cookie["domain"]) == (True, True, f"www.{platform.domain}")


@pytest.mark.usefixtures("alice")
def test_the_pages_of_others_are_not_there(
    platform: Platform, bobs_cookies: StorageState, open_window: OpenWindow
) -> None:
    page = open_window(storage_state=bobs_cookies).page
    for name, status in (("bob", 200), ("alice", 404), ("nobodyatall", 404)):
        for path in ("", "account/", "account/api_token/"):
            answer = page.goto(f"{platform.panel_url}user/{name}/{path}")
            assert answer is not None
            assert answer.status == status, page.url
            if status == 404:
                expect(page.get_by_role("heading")).to_have_text("There is no such page")


def test_a_browser_that_does_not_know_the_authority_refuses(
    platform: Platform, playwright: Playwright, network: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    with launch(playwright, home, network=network) as browser, pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
        browser.new_page().goto(platform.panel_url)
