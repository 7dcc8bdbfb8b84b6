"""The logs of a website in a real browser: they follow by themselves, are filtered and fetched, and run nothing."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import StorageState, expect

from chromium import OpenWindow, Window
from live import Platform, User, answering

pytestmark = pytest.mark.browser

MARKUP = "<img src=x onerror=\"document.title='pwned'\">"
TALKING = (
    f"""echo '{MARKUP.replace("'", "")}' >&2; printf '\\033[31mred\\n\\tindented </pre><script>1</script>\\n' >&2; """
)


@pytest.fixture(scope="module")
def logs(platform: Platform, bob: User) -> Iterator[str]:
    """The address of the logs of a website of bob's."""
    created = platform.create(bob, "talk-bob", f"{TALKING} exec {answering()}")
    assert created.json()["webapp"]["state"] == "running", created.text
    yield f"{platform.panel_url}user/bob/websites/talk-bob.{platform.domain}/logs/"
    platform.delete(bob, "talk-bob")


@pytest.fixture
def window(open_window: OpenWindow, bobs_cookies: StorageState) -> Window:
    return open_window(storage_state=bobs_cookies)


def test_new_lines_appear_by_themselves_and_only_those_that_are_wanted(
    platform: Platform, window: Window, logs: str
) -> None:
    page = window.page
    page.goto(f"{logs}access/")
    log = page.get_by_role("log")
    platform.get("talk-bob", "/first-path")
    expect(log).to_contain_text("/first-path")
    page.get_by_label("Only lines with").fill("SECOND")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("None of the last 5,000 lines has “SECOND”.")).to_be_visible()
    platform.get("talk-bob", "/third-path")
    platform.get("talk-bob", "/second-path")
    expect(log).to_contain_text("/second-path")
    expect(log).not_to_contain_text("/third-path")
    page.get_by_role("link", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    assert window.complaints() == []


def test_g5_lines_full_of_markup_are_text(window: Window, logs: str) -> None:
    """Positive control: that complaints are noticed, test_files_deeds.py shows."""
    page = window.page
    page.goto(f"{logs}error/")
    expect(page.get_by_role("log")).to_contain_text("<img src=x onerror=")
    expect(page.get_by_role("log")).to_contain_text(r"\x1b[31mred")
    expect(page.get_by_role("log")).to_contain_text("\tindented </pre><script>1</script>")
    assert page.get_by_role("log").locator("img, script").count() == 0
    assert page.title().startswith("Error log")
    assert window.complaints() == []


def test_logs_and_their_older_copies_can_be_fetched(
    platform: Platform, open_window: OpenWindow, bobs_cookies: StorageState, logs: str
) -> None:
    """Also without JavaScript."""
    log = platform.paths.site_logs / f"bob/talk-bob.{platform.domain}.server.log"
    copy = log.with_name(f"{log.name}.1")
    copy.write_text("older <line>\n")
    try:
        page = open_window(storage_state=bobs_cookies, java_script_enabled=False).page
        page.goto(f"{logs}server/")
        expect(page.get_by_role("link", name="Load again")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("link", name=copy.name).click()
        assert download.value.path().read_text() == "older <line>\n"
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert download.value.suggested_filename == log.name
    finally:
        copy.unlink()


def test_logs_are_their_owners_alone(platform: Platform, bobs_cookies: StorageState, logs: str) -> None:
    cookies = {cookie["name"]: cookie["value"] for cookie in bobs_cookies["cookies"]}
    with platform.visitor(cookies=cookies) as bob:
        assert bob.get(f"{logs}error/").status_code == 200
        assert bob.get(f"{logs}other/").status_code == 404
        assert bob.get(logs.replace("/bob/", "/alice/") + "error/").status_code == 404
        none = f"{platform.panel_url}user/bob/websites/none-bob.{platform.domain}/logs/error/"
        assert bob.get(none).status_code == 404
        position = re.findall(r"after=(\d+)%3A(\d+)", bob.get(f"{logs}error/").text)
        assert position, "the page says where to go on"
        odd = bob.get(f"{logs}error/more/", params={"after": "../../etc"})
        assert (odd.status_code, odd.headers.get("HX-Refresh")) == (200, "true")
    with httpx.Client(verify=platform.tls(), trust_env=False) as stranger:
        assert stranger.get(f"{logs}error/").status_code == 302
