"""The charts of a website in a real browser: they renew themselves, and a table says the same."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import StorageState, expect

from chromium import OpenWindow
from live import Platform, User, answering
from waiting import until

pytestmark = pytest.mark.browser

LABEL = "charts-bob"


@pytest.fixture
def address(platform: Platform, bob: User) -> Iterator[str]:
    assert platform.create(bob, LABEL, answering()).json()["webapp"]["state"] == "running"
    yield f"user/bob/websites/{LABEL}.{platform.domain}/metrics/"
    platform.delete(bob, LABEL)


def visit(platform: Platform, bob: User, *, times: int) -> None:
    """So often; returns when that is counted."""
    with platform.api(bob) as api:

        def counted() -> int:
            points = api.get(f"websites/{LABEL}.{platform.domain}/metrics/").json()["points"]
            return sum(point["requests"]["2xx"] for point in points)

        before = counted()
        for _ in range(times):
            assert platform.get(LABEL).status_code == 200
        until(lambda: counted() == before + times, f"{times} visits are counted")


def test_charts_renew_themselves_once_a_minute_and_a_table_says_the_same(
    platform: Platform, bob: User, bobs_cookies: StorageState, open_window: OpenWindow, address: str
) -> None:
    window = open_window(storage_state=bobs_cookies)
    page = window.page
    page.clock.install()
    page.goto(f"{platform.panel_url}{address}")
    expect(page.get_by_role("heading", name="No requests in the last hour")).to_be_visible()
    visit(platform, bob, times=1)
    page.clock.fast_forward(61_000)
    expect(page.get_by_role("img", name="Requests", exact=True)).to_be_visible()
    visit(platform, bob, times=2)
    page.clock.fast_forward(61_000)
    expect(page.get_by_label("In all")).to_contain_text("Requests3")
    page.get_by_role("link", name="Last day").click()
    expect(page.get_by_role("link", name="Last day")).to_have_attribute("aria-current", "page")
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("region", name="Metrics as a table").get_by_role("row").nth(1)).to_contain_text("3")
    assert window.foreign_requests(platform.panel_url) == []
    assert window.complaints() == []
