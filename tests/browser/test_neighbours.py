"""What a website can do to those who use the panel, in a real browser: both lie below one domain, so it is one site.

Groups G and B18 of the threat model; each probe is seen to work where the defence does not reach.
"""

import contextlib
import shlex
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from playwright.sync_api import Error, Page, StorageState, expect

from chromium import OpenWindow, Window
from live import SITES, Platform, User
from quiet_network import relay

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def neighbour(platform: Platform, alice: User) -> Iterator[str]:
    """The address of alice's website, whose visitors are logged into the panel as bob."""
    code = (SITES / "neighbour.py").read_text()
    platform.hostel("shell", "alice", "--", "bash", "-c", "cat > neighbour.py", stdin=code)
    created = platform.create(alice, "alice", f"exec python3 neighbour.py {platform.domain}")
    assert created.json()["webapp"]["state"] == "running", created.text
    yield platform.url("alice")
    platform.delete(alice, "alice")


@pytest.fixture
def bobs_window(open_window: OpenWindow, bobs_cookies: StorageState) -> Window:
    return open_window(storage_state=bobs_cookies)


def is_logged_in(platform: Platform, page: Page) -> bool:
    page.goto(f"{platform.panel_url}user/bob/")
    return page.url == f"{platform.panel_url}user/bob/"


def token_of_bob_works(platform: Platform, bob: User) -> bool:
    with platform.api(bob) as api:
        return api.get("websites/").status_code == 200


FETCH = """([url, options]) => fetch(url, {method: 'POST', credentials: 'include', ...options})
  .then((answer) => answer.status + ' ' + answer.type, (error) => 'refused')"""


def test_g6_a_neighbours_page_cannot_act_for_who_visits_it(
    platform: Platform, bob: User, neighbour: str, bobs_window: Window
) -> None:
    """The session goes along: it is one site. Positive control: the panel's own page does the same with success
    (test_api_token.py), and without Django's check a neighbour's does (tests/unit/panel/test_g_controls.py).
    """
    page, statuses = bobs_window.page, []
    page.on("response", lambda answer: statuses.append((answer.request.method, answer.url, answer.status)))
    target = f"{platform.panel_url}user/bob/account/api_token/new_token/"
    page.goto(f"{neighbour}form?url={target}")
    expect(page.get_by_text("The form was not sent from this site")).to_be_visible()
    page.goto(neighbour)
    options = ({"mode": "no-cors"}, {"mode": "no-cors", "body": "csrfmiddlewaretoken=x"}, {"mode": "cors"})
    assert {page.evaluate(FETCH, [target, each]) for each in options} == {"refused"}
    assert [status for method, url, status in statuses if method == "POST" and url == target] == [403]
    sent = page.context.cookies(target)
    assert "__Host-session" in {cookie["name"] for cookie in sent}, "positive control: the browser had it to send"
    assert token_of_bob_works(platform, bob)
    assert is_logged_in(platform, page)


def test_g6_the_api_takes_no_cookie(platform: Platform, neighbour: str, bobs_window: Window) -> None:
    page = bobs_window.page
    page.goto(f"{platform.panel_url}user/bob/")
    url = f"{platform.panel_url}api/v1/user/bob/websites/"
    assert page.goto(url).status == 401  # type: ignore[union-attr]
    page.goto(neighbour)
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate("(url) => fetch(url, {credentials: 'include'}).then((answer) => answer.text())", url)


def test_g7_a_neighbour_sets_no_cookie_of_the_panels(
    platform: Platform, bob: User, neighbour: str, bobs_window: Window
) -> None:
    """By header and by script. Positive control: a cookie without the prefix does reach the panel."""
    page = bobs_window.page
    before = {cookie["name"]: cookie["value"] for cookie in page.context.cookies(platform.panel_url)}
    page.goto(f"{neighbour}toss")
    for cookie in ("__Host-session=tossed", "=__Host-session=tossed", "__Host-csrf=tossed", "scripted=tossed"):
        page.evaluate("(text) => { document.cookie = text }", f"{cookie}; domain={platform.domain}; path=/; secure")
    after = {cookie["name"]: cookie["value"] for cookie in page.context.cookies(platform.panel_url)}
    tossed = {name for name, value in after.items() if "tossed" in value}
    assert {"unprotected", "scripted"} <= tossed, "positive control"
    assert not tossed & set(before)
    assert {name: after[name] for name in before} == before
    assert is_logged_in(platform, page)


def test_g7_a_session_that_was_given_out_is_not_the_one_one_logs_into(
    platform: Platform, bob: User, open_window: OpenWindow
) -> None:
    window = open_window()
    fixed = {"name": "__Host-session", "value": "f" * 32, "url": platform.panel_url, "secure": True, "httpOnly": True}
    window.page.context.add_cookies([fixed])  # type: ignore[list-item]  # as if it had been possible
    window.log_in(platform, bob)
    (session,) = [each for each in window.page.context.cookies() if each["name"] == "__Host-session"]
    assert session["value"] != "f" * 32


BOMB = """(domain) => { for (let n = 0; n < 20; n++)
  document.cookie = `bomb${n}=${"x".repeat(3800)}; domain=${domain}; path=/; secure` }"""


def test_g8_cookies_that_fill_every_request_lock_out_of_a_panel_below_the_same_domain(
    platform: Platform, neighbour: str, bobs_window: Window
) -> None:
    """Accepted where panel and websites share a domain that is not in the Public Suffix List, of which `hostel doctor`
    warns: deleting the cookies helps. A panel of another domain (`panel.host`) is sent none of them.
    """
    page = bobs_window.page
    page.goto(neighbour)
    page.evaluate(BOMB, platform.domain)
    with pytest.raises(Error, match=r"ERR_CONNECTION_CLOSED|ERR_HTTP2"):
        page.goto(f"{platform.panel_url}login/")
    sent = {url: len(page.context.cookies(url)) for url in (platform.panel_url, "https://panel.localhost/")}
    assert sent[platform.panel_url] > 20
    assert sent["https://panel.localhost/"] == 0
    page.context.clear_cookies()
    page = page.context.new_page()  # the first is still busy with its error page
    assert page.goto(f"{platform.panel_url}login/").status == 200  # type: ignore[union-attr]


def test_b18_a_neighbour_logs_nobody_out(platform: Platform, neighbour: str, bobs_window: Window, network: str) -> None:
    """Positive control: the same header from below the same domain, past the edge: the browser is logged out."""
    page = bobs_window.page
    assert is_logged_in(platform, page)
    answer = page.goto(f"{neighbour}clear")
    assert answer is not None
    assert "clear-site-data" not in answer.headers
    assert is_logged_in(platform, page)
    with clearing_server(platform) as port, relay(network, port):
        page.goto(f"https://clear.{platform.domain}:{port}/")
    assert not is_logged_in(platform, page)


@contextlib.contextmanager
def clearing_server(platform: Platform) -> Iterator[int]:
    """The port of a server below the same domain, beside the edge, that clears cookies."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(platform.paths.certificates / "sites.pem", platform.paths.certificates / "sites.key")
    with HTTPServer(("127.0.0.1", 0), Clearing) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


class Clearing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        for name, value in (("Clear-Site-Data", '"cookies"'), ("Content-Type", "text/html"), ("Content-Length", "3")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"bye")

    def log_message(self, *_: object) -> None:
        """Quiet."""


HOSTILE = (
    "<img src=x onerror=\"document.title='pwned'\">\u202e\x1b[31m</code></pre>"
    "<script>document.title='pwned'</script>'\""
)


def test_g5_what_a_website_writes_is_text_on_its_page(platform: Platform, bob: User, bobs_window: Window) -> None:
    """In its command and on stderr. Positive control: the same text in a page that does not escape it runs."""
    command = f"cat odd.txt >&2; : {shlex.quote(HOSTILE)}; exit 3"
    platform.hostel("shell", "bob", "--", "bash", "-c", "cat > odd.txt", stdin=HOSTILE * 3)
    created = platform.create(bob, "odd-bob", command)
    assert created.json()["webapp"]["state"] == "failed", created.text
    page = bobs_window.page
    page.goto(f"{platform.panel_url}user/bob/")
    assert page.title() != "pwned"
    page.goto(f"{platform.panel_url}user/bob/websites/odd-bob.{platform.domain}/")
    expect(page.locator("pre").get_by_text("onerror=").first).to_be_visible()
    assert page.title() != "pwned"
    assert page.locator("main img, main script").count() == 0
    page.goto("about:blank")
    page.set_content(f"<p>{HOSTILE}</p>")
    page.wait_for_function("document.title === 'pwned'")
    platform.delete(bob, "odd-bob")
