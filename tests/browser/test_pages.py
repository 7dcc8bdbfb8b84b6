"""Every page in light and dark, on a phone and a desk: it fits, can be read, and fetches nothing from elsewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Request, StorageState, expect

from chromium import OpenWindow, Window
from consoles import consoles_of, open_console
from good_looks import assert_good_looks, serious_faults
from live import Platform, User, answering
from waiting import until

pytestmark = pytest.mark.browser

VISITOR_PAGES = {
    "nothing-bob": (404, "Coming Soon!"),
    "off-bob": (503, "This website is disabled"),
    "exits-bob": (502, "Something went wrong"),
}
PANEL_PAGES = [
    "login/",
    "user/bob/",
    "user/bob/websites/",
    "user/bob/websites/new/",
    "user/bob/websites/new/django/",
    "user/bob/websites/new/django/virtualenv/",
    "user/bob/websites/new/django/progress/",
    "user/bob/websites/new/django/command/",
    "why/0000000000000000/",
    "user/bob/files/home/bob/",
    "user/bob/files/home/bob/?rename=answer.py",
    "user/bob/files/home/bob/answer.py/",
    "user/bob/files/var/log/",
    "user/bob/websites/exits-bob.hostel.localhost/logs/error/",
    "user/bob/websites/exits-bob.hostel.localhost/",
    "user/bob/websites/exits-bob.hostel.localhost/delete/",
    "user/bob/websites/exits-bob.hostel.localhost/metrics/",
    "user/bob/websites/seen-bob.hostel.localhost/metrics/",
    "user/bob/websites/seen-bob.hostel.localhost/metrics/?period=day",
    "user/bob/websites/exits-bob.hostel.localhost/environment/",
    "user/bob/websites/exits-bob.hostel.localhost/static_files/",
    "user/bob/websites/exits-bob.hostel.localhost/password/",
    "user/bob/websites/exits-bob.hostel.localhost/settings/",
    "user/bob/websites/exits-bob.hostel.localhost/domains/",
    "user/bob/websites/exits-bob.hostel.localhost/domains/more-bob.hostel.localhost/",
    "user/bob/consoles/",
    "user/bob/consoles/4000000/",
    "user/bob/account/",
    "user/bob/account/api_token/",
    "user/bob/account/logins/",
    "user/bob/account/history/",
    "nonsense/",
]
FIRST_LOAD_BYTES = 150_000  # as they are sent
DESCRIPTION = Path(__file__).parents[2] / "docs/reference/openapi.yaml"
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def websites(platform: Platform, bob: User) -> Iterator[None]:
    """One that is disabled, one whose command fails, and one with visitors."""
    platform.create(bob, "exits-bob", "echo oops >&2; exit 3")
    platform.create(bob, "off-bob", answering())
    platform.create(bob, "seen-bob", answering())
    for label in ("exits-bob", "seen-bob"):
        platform.get(label)
    with platform.api(bob) as api:
        until(
            lambda: '"2xx":1' in api.get(f"websites/seen-bob.{platform.domain}/metrics/").text, "the visit is counted"
        )
    with platform.api(bob) as api:
        one = f"websites/exits-bob.{platform.domain}/"
        api.post(f"{one}domains/", json={"domain_name": f"more-bob.{platform.domain}"})
        api.post(f"{one}environment/", json={"name": "A_VARIABLE_WITH_A_LONG_NAME", "value": "word" * 100})
        api.post(f"{one}static_files/", json={"url": "/static/", "path": f"/home/bob/{'directory/' * 20}"})
        api.patch(f"websites/off-bob.{platform.domain}/", json={"enabled": False})
    yield
    for label in ("exits-bob", "off-bob", "seen-bob"):
        platform.delete(bob, label)


@pytest.mark.usefixtures("websites")
@pytest.mark.parametrize("label", VISITOR_PAGES)
def test_a_visitors_page_fits_and_can_be_read(platform: Platform, window: Window, label: str) -> None:
    status, title = VISITOR_PAGES[label]
    answer = window.page.goto(platform.url(label))
    assert answer is not None
    assert (answer.status, answer.headers["cache-control"]) == (status, "no-store")
    expect(window.page.get_by_role("heading")).to_have_text(title)
    assert_good_looks(window.page)
    assert window.foreign_requests(platform.url(label)) == []
    assert window.complaints() == []


@pytest.mark.usefixtures("websites")
@pytest.mark.parametrize("path", PANEL_PAGES)
def test_a_page_of_the_panel_fits_and_can_be_read(
    platform: Platform, bobs_cookies: StorageState, open_window: OpenWindow, path: str
) -> None:
    window = open_window(storage_state=None if path == "login/" else bobs_cookies)
    window.page.goto(f"{platform.panel_url}{path}")
    expect(window.page).to_have_url(f"{platform.panel_url}{path}")
    expect(window.page.get_by_role("navigation", name="Main")).to_be_visible()
    assert_good_looks(window.page)
    assert window.foreign_requests(platform.panel_url) == []
    assert window.complaints() == []


@pytest.mark.usefixtures("websites")
def test_whoever_comes_for_the_first_time_loads_little(
    platform: Platform, bob: User, bobs_cookies: StorageState, open_window: OpenWindow
) -> None:
    website = f"user/bob/websites/exits-bob.{platform.domain}/"
    with consoles_of(platform, bob) as api:
        console = open_console(api, executable="bash")
        heaviest = ("user/bob/", website, "user/bob/files/home/bob/answer.py/", f"user/bob/consoles/{console.id}/")
        for path in heaviest:
            page = open_window(storage_state=bobs_cookies).page
            requests: list[Request] = []
            page.on("request", lambda request: requests.append(request))  # noqa: B023, PLW0108
            page.goto(f"{platform.panel_url}{path}", wait_until="load")
            loaded = {request.url: request.sizes()["responseBodySize"] for request in requests}
            assert any(url.endswith("panel.css") for url in loaded)
            assert sum(loaded.values()) < FIRST_LOAD_BYTES, loaded


@pytest.mark.usefixtures("websites")
def test_the_dashboard_says_what_needs_attention_and_leads_there(
    platform: Platform, bobs_cookies: StorageState, open_window: OpenWindow
) -> None:
    window = open_window(storage_state=bobs_cookies)
    window.page.goto(f"{platform.panel_url}user/bob/")
    matter = window.page.get_by_role("listitem").filter(has_text=f"exits-bob.{platform.domain}")
    expect(matter).to_contain_text("exit code 3")
    expect(window.page.get_by_label("Memory")).to_be_visible()
    row = window.page.get_by_role("row").filter(has_text=f"exits-bob.{platform.domain}")
    expect(row).to_contain_text("failed")
    matter.get_by_role("link").click()
    expect(window.page.get_by_text("oops", exact=True)).to_be_visible()
    window.page.get_by_role("link", name="Visit").click()
    expect(window.page.get_by_role("heading")).to_have_text("Something went wrong")


def test_a_page_with_serious_faults_is_found(window: Window) -> None:
    """Positive control of what each page above is held to."""
    window.page.set_content("<html><body><main><input><a href='/x'></a></main></body></html>")
    found = " ".join(serious_faults(window.page))
    assert "label" in found
    assert "link-name" in found


def test_the_api_docs_render_from_here_alone(platform: Platform, window: Window) -> None:
    window.page.goto(f"{platform.panel_url}api/docs/")
    expect(window.page.get_by_role("heading", name=re.compile("Hostel API"))).to_be_visible()
    described = yaml.safe_load(DESCRIPTION.read_text())["paths"].values()
    operations = sum(method in METHODS for path in described for method in path)
    expect(window.page.locator(".opblock")).to_have_count(operations)
    window.page.locator(".opblock-post").first.click()
    expect(window.page.get_by_text("Request body").first).to_be_visible()
    assert window.console == []
    assert window.foreign_requests(platform.panel_url) == []


def test_the_api_docs_say_what_to_do_without_javascript(platform: Platform, open_window: OpenWindow) -> None:
    window = open_window(java_script_enabled=False)
    window.page.goto(f"{platform.panel_url}api/docs/")
    expect(window.page.get_by_role("link", name="/api/schema/")).to_be_visible()
