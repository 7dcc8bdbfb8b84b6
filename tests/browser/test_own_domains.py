"""A domain of one's own and its certificate, from the page of domains to what visitors are shown: a real authority."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from edge_fixtures import make_certificate
from playwright.sync_api import Browser, Locator, Page, Playwright, expect

from certificate_fixtures import FakeDns, Pebble, is_trusted, served_certificate
from chromium import OpenWindow, Window, launch, trust
from good_looks import assert_good_looks
from live import Platform, User, answering
from quiet_network import quiet_network

pytestmark = pytest.mark.browser

LABEL, NAME = "own-dora", "www.shown.example"
LOOK_MS = 15_000  # how often an open page looks into the DNS


@pytest.fixture(scope="module")
def browser(certified: Platform, playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Another one than that of the other files: each trusts one platform, and finds it alone."""
    home = tmp_path_factory.mktemp("home")
    trust(certified.ca_file, home)
    ports = (certified.http_port, certified.https_port)
    with quiet_network(ports) as network, launch(playwright, home, network=network) as browser:
        yield browser


@pytest.fixture
def at_domains(certified: Platform, dora: User, open_window: OpenWindow) -> Iterator[Window]:
    """The page of a website's domains; the page's clock is the test's."""
    website = f"{LABEL}.{certified.domain}"
    assert certified.create(dora, LABEL, answering("own")).status_code == 201
    window = open_window()
    window.page.clock.install()
    window.log_in(certified, dora)
    window.page.goto(f"{certified.panel_url}user/dora/websites/{website}/domains/")
    yield window
    certified.delete(dora, LABEL)


def test_a_domain_of_ones_own_gets_a_certificate_and_then_another(
    certified: Platform, at_domains: Window, fake_dns: FakeDns, pebble: Pebble, tmp_path: Path
) -> None:
    page = at_domains.page
    prove(page, fake_dns)
    order(page, pebble)
    assert is_trusted(certified, NAME, pebble.root())
    issued = served_certificate(certified, NAME)

    own, key = certificate_for(NAME, tmp_path)
    upload(page, *certificate_for("www.other.example", tmp_path))
    expect(page.get_by_role("alert")).to_have_text(f"The certificate is for www.other.example, not for {NAME}.")
    expect(page.get_by_label("Certificate", exact=True)).to_be_focused()
    expect(page.get_by_label("Private key")).to_have_value("")
    expect(page.get_by_role("link", name="Domains", exact=True)).to_have_attribute("aria-current", "page")
    assert_good_looks(page)
    assert served_certificate(certified, NAME) == issued, "what was refused changes nothing"
    upload(page, own, key)
    expect(page.get_by_role("status")).to_have_text("Your certificate is served.")
    expect(facts(page)).to_contain_text(f"CN={NAME}")
    expect(facts(page)).to_contain_text("you upload the next one")
    assert_good_looks(page)
    assert served_certificate(certified, NAME) == x509.load_pem_x509_certificate(own.encode())

    page.get_by_role("button", name="Delete the certificate").click()
    expect(page.get_by_text("This domain has no certificate of its own.")).to_be_visible()
    assert not is_trusted(certified, NAME, own)
    page.get_by_role("button", name=f"Remove {NAME}").click()
    expect(page.get_by_role("status")).to_have_text(f"{NAME} was removed.")
    assert at_domains.complaints() == []
    assert at_domains.foreign_requests(certified.panel_url) == []


def facts(page: Page) -> Locator:
    return page.locator("dl.facts")


def certificate_for(name: str, directory: Path) -> tuple[str, str]:
    """The chain and the private key."""
    make_certificate(directory, name, name)
    return (directory / f"{name}.pem").read_text(), (directory / f"{name}.key").read_text()


def prove(page: Page, dns: FakeDns) -> None:
    """Nobody loads the page anew: it looks by itself."""
    page.get_by_label("Domain", exact=True).fill(NAME)
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("heading", name=f"Show that {NAME} is yours")).to_be_visible()
    record = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="CNAME")).get_by_role("cell")
    expect(record.first).to_have_text(NAME)
    page.clock.fast_forward(LOOK_MS)
    expect(page.locator("#check")).to_contain_text("Not yet. Now there is no CNAME record")
    assert_good_looks(page)
    dns.set_cname(NAME, record.last.inner_text())
    page.clock.fast_forward(LOOK_MS)
    expect(page.get_by_text(f"{NAME} is yours")).to_be_visible()
    expect(page.get_by_label("They get")).to_be_visible()


def order(page: Page, pebble: Pebble) -> None:
    """The first from an authority that takes longer than the page waits: what it issues is shown by itself."""
    expect(page.get_by_text("This domain has no certificate of its own.")).to_be_visible()
    assert_good_looks(page)
    pebble.front.may_answer.clear()
    try:
        page.get_by_role("button", name="Get a certificate").click()
        expect(page.get_by_text("The certificate authority has not finished yet")).to_be_visible()
    finally:
        pebble.front.may_answer.set()
    expect(facts(page)).to_contain_text(re.compile(r"Valid until\s*\d+ \w+ 20\d\d, \d\d:\d\d UTC"))
    expect(facts(page)).to_contain_text("Pebble Intermediate CA")
    expect(facts(page)).to_contain_text("by itself")
    page.get_by_role("button", name="Get a new one").click()
    expect(page.get_by_role("status")).to_contain_text("The certificate is served")


def upload(page: Page, chain: str, key: str) -> None:
    if not page.get_by_label("Private key").is_visible():
        page.get_by_text("Upload one of your own").click()
    page.get_by_label("Certificate", exact=True).fill(chain)
    page.get_by_label("Private key").fill(key)
    page.get_by_role("button", name="Upload").click()
