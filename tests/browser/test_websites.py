"""The pages of websites in a real browser: what is done there is done, and what is under way is seen."""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import StorageState, expect

from chromium import OpenWindow, Window
from live import Platform, User, answering

pytestmark = pytest.mark.browser

LABEL = "pages-bob"
DEADLINE_S = 30


@pytest.fixture(scope="module")
def website(platform: Platform, bob: User) -> Iterator[str]:
    """Its domain; tests leave it running."""
    assert platform.create(bob, LABEL, answering("first")).json()["webapp"]["state"] == "running"
    yield f"{LABEL}.{platform.domain}"
    with platform.api(bob) as api:
        api.delete(f"websites/{LABEL}.{platform.domain}/")


@pytest.fixture
def at_website(platform: Platform, website: str, bobs_cookies: StorageState, open_window: OpenWindow) -> Window:
    """Its page."""
    window = open_window(storage_state=bobs_cookies)
    window.page.goto(f"{platform.panel_url}user/bob/websites/")
    window.page.get_by_role("link", name=website).click()
    expect(window.page.get_by_role("heading", level=1)).to_have_text(website)
    return window


@contextlib.contextmanager
def slow_request(platform: Platform) -> Iterator[None]:
    """One that the website is busy with, for as long as this lasts."""
    with (
        socket.create_connection(("127.0.0.1", platform.https_port)) as plain,
        ssl.SSLContext.wrap_socket(platform.tls(), plain, server_hostname=f"{LABEL}.{platform.domain}") as visitor,
    ):
        visitor.sendall(f"GET /slow?s=600 HTTP/1.1\r\nHost: {LABEL}.{platform.domain}\r\n\r\n".encode())
        deadline = time.monotonic() + DEADLINE_S
        while platform.edge_status(LABEL)["requests"] < 1:
            assert time.monotonic() < deadline, "the request did not arrive"
            time.sleep(0.02)
        yield


def test_a_reload_is_seen_until_the_old_run_has_ended(platform: Platform, at_website: Window) -> None:
    page = at_website.page
    before = platform.get(LABEL).json()["run"]
    with slow_request(platform):
        page.get_by_role("button", name="Reload", exact=True).click()
        expect(page.get_by_text("The old run ends: draining 1 request")).to_be_visible()
        assert platform.get(LABEL).json()["run"] != before
    expect(page.get_by_label("The last change")).to_have_count(0, timeout=DEADLINE_S * 1000)
    expect(page.locator(".state")).to_have_text("running")
    assert at_website.complaints() == []
    assert at_website.foreign_requests(platform.panel_url) == []


def test_a_command_is_checked_before_it_is_saved(platform: Platform, at_website: Window) -> None:
    page = at_website.page
    before = platform.get(LABEL).json()
    page.get_by_label("Command").fill("/usr/bin/python3 -m uvicorn --port 8000 nothing:app")
    page.get_by_role("button", name="Check it first").click()
    expect(page.get_by_role("heading", name="The command doctor")).to_be_visible(timeout=DEADLINE_S * 1000)
    expect(page.locator(".finding.problem").first).to_be_visible()
    page.get_by_role("button", name="Use this line").click()
    expect(page.get_by_label("Command")).to_have_value(re.compile(r"--uds \$DOMAIN_SOCKET"), timeout=DEADLINE_S * 1000)
    page.reload()
    assert platform.get(LABEL).json() == before, "nothing was saved"
    assert at_website.complaints() == []


def test_a_command_that_fails_is_explained_and_what_ran_goes_on(platform: Platform, at_website: Window) -> None:
    page = at_website.page
    page.get_by_label("Command").fill("echo '<b>no such thing</b>' >&2; exit 7")
    page.get_by_role("button", name="Save and reload").click()
    expect(page.locator(".notice.bad")).to_contain_text("what ran before goes on", timeout=DEADLINE_S * 1000)
    expect(page.locator(".notice.bad")).to_contain_text("exit code 7")
    expect(page.get_by_text("<b>no such thing</b>", exact=True)).to_be_visible()
    assert platform.get(LABEL).json()["word"] == "first"
    page.get_by_label("Command").fill(answering("second"))
    page.get_by_role("button", name="Save and reload").click()
    expect(page.get_by_text("what ran before goes on")).to_have_count(0, timeout=DEADLINE_S * 1000)
    expect(page.get_by_label("The last change")).to_have_count(0, timeout=DEADLINE_S * 1000)
    assert platform.get(LABEL).json()["word"] == "second"


def test_all_of_it_works_without_javascript(
    platform: Platform, bob: User, bobs_cookies: StorageState, open_window: OpenWindow
) -> None:
    name = f"plain-bob.{platform.domain}"
    platform.create(bob, "plain-bob", answering())
    page = open_window(storage_state=bobs_cookies, java_script_enabled=False).page
    page.goto(f"{platform.panel_url}user/bob/websites/{name}/")
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("status")).to_contain_text("Disabled")
    assert platform.get("plain-bob").status_code == 503
    page.get_by_role("button", name="Enable").click()
    expect(page.locator(".state")).to_have_text("running", timeout=DEADLINE_S * 1000)
    page.get_by_role("link", name="Delete…").click()
    page.get_by_label("Type the website's domain").fill("something else")
    page.get_by_role("button", name=f"Delete {name}").click()
    expect(page.get_by_role("alert")).to_contain_text(f"That is not {name}.")
    page.get_by_label("Type the website's domain").fill(name)
    page.get_by_role("button", name=f"Delete {name}").click()
    expect(page.get_by_role("status")).to_contain_text(f"{name} was deleted")
    expect(page.get_by_role("link", name=name)).to_have_count(0)
    assert platform.get("plain-bob").status_code == 404


def test_settings_reach_the_website_and_are_refused_beside_their_field(platform: Platform, at_website: Window) -> None:
    page = at_website.page
    page.get_by_role("link", name="Environment").click()
    page.get_by_label("Name", exact=True).fill("WORD")
    page.get_by_label("Value", exact=True).fill("from-the-page")
    page.get_by_role("button", name="Save and reload").first.click()
    expect(page.get_by_label("The last change")).to_have_count(0, timeout=DEADLINE_S * 1000)
    page.get_by_label("Command").fill('python3 answer.py "$WORD"')
    page.get_by_role("button", name="Save and reload").click()
    expect(page.get_by_label("The last change")).to_have_count(0, timeout=DEADLINE_S * 1000)
    assert platform.get(LABEL).json()["word"] == "from-the-page"
    page.get_by_role("link", name="Password").click()
    page.get_by_label("User name").fill("friend")
    page.get_by_label("Password", exact=True).fill("open sesame")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("friend gets in")
    assert platform.get(LABEL).status_code == 401
    page.get_by_role("button", name="Remove friend").click()
    expect(page.get_by_role("status")).to_contain_text("everybody gets in now")
    assert platform.get(LABEL).status_code == 200
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Time for requests of the old run").fill("a while")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Give a number of seconds from 0 to 600.")).to_be_visible()
    assert at_website.complaints() == []


def test_a_domain_is_added_and_sent_on_and_one_of_ones_own_wants_proof(platform: Platform, at_website: Window) -> None:
    page, name = at_website.page, f"second-bob.{platform.domain}"
    page.get_by_role("link", name="Domains", exact=True).click()
    page.get_by_label("Domain", exact=True).fill(name)
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_contain_text(f"{name} was added.")
    assert platform.get("second-bob").json() == platform.get(LABEL).json()
    page.get_by_label("They get").select_option(label=f"sent on to {LABEL}.{platform.domain} (308)")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    assert platform.get("second-bob").headers["Location"] == platform.url(LABEL)
    page.get_by_role("button", name=f"Remove {name}").click()
    expect(page.get_by_role("status")).to_contain_text("was removed")
    assert platform.get("second-bob").status_code == 404
    page.get_by_label("Domain", exact=True).fill("shop.nowhere.example")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("heading", name="Show that shop.nowhere.example is yours")).to_be_visible()
    page.get_by_role("button", name="Check now").click()
    expect(page.locator("#check").get_by_role("status")).to_contain_text("Not yet.", timeout=DEADLINE_S * 2000)
    page.get_by_role("button", name="Remove shop.nowhere.example").click()
    expect(page.get_by_role("link", name="shop.nowhere.example")).to_have_count(0)
    assert at_website.complaints() == []
