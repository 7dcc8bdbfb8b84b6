"""What `hostel doctor` says of names and cookies."""

import pytest

from hostel.cli.prerequisites import Status, check_cookies
from hostel.wire.config import Config, PanelConfig, SitesConfig
from hostel.wire.suffixes import is_public_suffix, share_cookies


@pytest.mark.parametrize(
    ("sites", "panel", "status", "words"),
    [
        ("example.com", "", Status.WARNING, "any website below example.com can set cookies for www.example.com"),
        ("sites.example.com", "panel.example.com", Status.WARNING, "can set cookies for panel.example.com"),
        ("example.com", "panel.example.org", Status.OK, "panel.example.org lies outside example.com"),
        ("github.io", "", Status.OK, "is in the Public Suffix List"),
        ("co.uk", "www.co.uk", Status.OK, "is in the Public Suffix List"),
        ("hostel.localhost", "", Status.OK, "a name for trying things out"),
        ("hostel.test", "panel.example.com", Status.OK, "can set cookies for all others"),
    ],
)
def test_doctor_warns_where_websites_reach_the_panels_cookies(
    sites: str, panel: str, status: Status, words: str
) -> None:
    check = check_cookies(Config(sites=SitesConfig(domain=sites), panel=PanelConfig(host=panel)))
    assert (check.status, words in check.message) == (status, True), check
    assert bool(check.hint) == (status is Status.WARNING)
    assert ("for the panel" in check.message) == (sites == "hostel.localhost" or "outside" in check.message)


def test_the_list_comes_with_the_library_and_is_read_as_browsers_read_it() -> None:
    """Its three kinds of rule; without a network."""
    assert is_public_suffix("com")
    assert is_public_suffix("b.kobe.jp")  # *.kobe.jp
    assert not is_public_suffix("city.kobe.jp")  # !city.kobe.jp
    assert share_cookies("a.example.com", "b.c.example.com")
    assert not share_cookies("a.github.io", "b.github.io")
    assert not share_cookies("com", "com")
