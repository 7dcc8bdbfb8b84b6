"""The wizard: from nothing to a live website, with real virtualenvs, and without scripts; what it finds and refuses."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from chromium import OpenWindow, Window
from live import Platform, User
from servers import make_virtualenv

pytestmark = pytest.mark.browser

APP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("by the wizard"))])
"""
HOSTILE = "<img src=x onerror=document.title='pwned'>"
SLOW_MS = 60_000  # until pip is done, on a machine that has much else to do


@pytest.fixture(scope="module")
def wanda(platform: Platform) -> User:
    user = platform.add_user("wanda")
    make_virtualenv(platform, user, ("starlette", "uvicorn"))
    platform.shell(user.name, f'mkdir -p "shop/src" "{HOSTILE}" && cat > shop/main.py <<"PY"\n{APP}\nPY')
    return user


@pytest.fixture(scope="module")
def cookies(platform: Platform, wanda: User, browser: Browser) -> Iterator[StorageState]:
    with browser.new_context() as context:
        Window(context.new_page()).log_in(platform, wanda)
        yield context.storage_state()


def begin(platform: Platform, page: Page, framework: str) -> None:
    page.goto(f"{platform.panel_url}user/wanda/websites/new/")
    page.get_by_role("link", name=framework).first.click()


def test_a_project_that_is_there_becomes_a_website(
    platform: Platform, cookies: StorageState, open_window: OpenWindow
) -> None:
    """Without scripts: nothing but links and forms. The folder with the hostile name is text."""
    window = open_window(storage_state=cookies, java_script_enabled=False)
    page = window.page
    begin(platform, page, "Starlette")
    expect(page.get_by_role("link", name=HOSTILE)).to_be_visible(timeout=SLOW_MS)
    page.get_by_role("link", name="shop", exact=True).click()
    expect(page.get_by_text("main.py")).to_be_visible(timeout=SLOW_MS)
    page.get_by_role("link", name="Use this folder").click()
    page.get_by_role("link", name="/home/wanda/venv").click()
    command = page.get_by_label("Command")
    expect(command).to_have_value("/home/wanda/venv/bin/uvicorn --uds $DOMAIN_SOCKET main:app")
    expect(page.get_by_label("Folder")).to_have_value("/home/wanda/shop")
    expect(page.get_by_label("Address")).to_have_value(f"wanda.{platform.domain}")

    command.fill("uvicorn --port 8000 main:app")
    page.get_by_role("button", name="Create the website").click()
    expect(page.get_by_text("so it was not made")).to_be_visible(timeout=SLOW_MS)
    page.get_by_role("button", name="Use this line").click()
    expect(command).to_have_value("/home/wanda/venv/bin/uvicorn --uds $DOMAIN_SOCKET main:app")
    expect(page.get_by_text("main:app can be imported.")).to_be_visible(timeout=SLOW_MS)
    page.get_by_role("button", name="Create the website").click()
    expect(page).to_have_url(f"{platform.panel_url}user/wanda/websites/wanda.{platform.domain}/", timeout=SLOW_MS)
    assert platform.get("wanda").text == "by the wizard"
    platform.delete(User("wanda", "", wanda_token(platform)), "wanda")


def wanda_token(platform: Platform) -> str:
    return platform.hostel("token", "create", "wanda").stdout.strip()


def test_the_doctor_looks_at_the_command_by_itself(
    platform: Platform, cookies: StorageState, open_window: OpenWindow
) -> None:
    window = open_window(storage_state=cookies)
    page = window.page
    query = "folder=/home/wanda/shop&virtualenv=/home/wanda/venv"
    page.goto(f"{platform.panel_url}user/wanda/websites/new/starlette/command/?{query}")
    expect(page.get_by_text("uvicorn listens on $DOMAIN_SOCKET.")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_text("main:app can be imported.")).to_be_visible(timeout=SLOW_MS)
    page.get_by_label("Command").fill("")
    page.get_by_role("button", name="Create the website").click()
    expect(page.get_by_role("alert")).to_contain_text("may not be blank", timeout=SLOW_MS)
    page.get_by_label("Command").fill(f"/home/wanda/venv/bin/{HOSTILE}")
    page.get_by_role("button", name="Check again").click()
    expect(page.get_by_text("onerror").first).to_be_visible(timeout=SLOW_MS)
    assert page.title() != "pwned"
    assert window.complaints() == []
    assert window.foreign_requests(platform.panel_url) == []


def test_an_example_is_never_written_over_what_is_there(
    platform: Platform, wanda: User, cookies: StorageState, open_window: OpenWindow
) -> None:
    window = open_window(storage_state=cookies)
    page = window.page
    begin(platform, page, "Quart")
    name = page.get_by_label("Name of the new folder")
    name.fill("../outside")
    page.get_by_role("button", name="Make the example").click()
    expect(page.get_by_role("alert")).to_contain_text("letters, digits", timeout=SLOW_MS)
    name.fill("shop")
    page.get_by_role("button", name="Make the example").click()
    expect(page.get_by_role("alert")).to_contain_text("is not empty", timeout=SLOW_MS)
    assert "app.py" not in platform.shell(wanda.name, "ls shop").split()


def test_an_installation_that_fails_says_why(
    platform: Platform, cookies: StorageState, open_window: OpenWindow
) -> None:
    page = open_window(storage_state=cookies).page
    page.goto(f"{platform.panel_url}user/wanda/websites/new/other/virtualenv/?folder=/home/wanda/shop")
    page.get_by_label("Name").fill("broken")
    page.get_by_label("Packages").fill("--index-url=x")
    page.get_by_role("button", name="Make the virtualenv").click()
    expect(page.get_by_role("alert")).to_contain_text("is no package", timeout=SLOW_MS)
    page.get_by_label("Packages").fill("no-such-package-of-hostel==999")
    page.get_by_role("button", name="Make the virtualenv").click()
    expect(page.get_by_text("That did not work")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_label("The last lines")).to_contain_text("no-such-package-of-hostel", timeout=SLOW_MS)
