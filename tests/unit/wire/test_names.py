"""Which names exist, and the one spelling of each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.wire.names import (
    COMMAND_LENGTH_LIMIT,
    InvalidName,
    canonical_domain,
    check_command,
    check_user_domain,
    check_username,
)

DOMAIN = "hostel.localhost"


@pytest.mark.parametrize("name", ["a", "xanthippe", "a1b2", "x" * 30])
def test_good_usernames(name: str) -> None:
    assert check_username(name) == name


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "a_b", "a.b", "ä", "x" * 31, "www", "hostel", "a\n"])
def test_bad_usernames(name: str) -> None:
    with pytest.raises(InvalidName):
        check_username(name)


@pytest.mark.parametrize("domain", ["bob.hostel.localhost", "BOB.Hostel.localhost", "x-bob.hostel.localhost"])
def test_domains_of_ones_own(domain: str) -> None:
    assert check_user_domain(domain, username="bob", sites_domain=DOMAIN) == domain.lower()


@pytest.mark.parametrize(
    "domain",
    ["alice.hostel.localhost", "x-alice.hostel.localhost", "bob-x.hostel.localhost", "bob.example.org",
     "-bob.hostel.localhost", "www-bob.hostel.localhost", "bob.hostel.localhost.", "x.bob.hostel.localhost", "bob",
     "www.hostel.localhost"],
)  # fmt: skip
def test_domains_of_others_and_of_nobody(domain: str) -> None:
    with pytest.raises(InvalidName):
        check_user_domain(domain, username="bob", sites_domain=DOMAIN)


@pytest.mark.parametrize(("length", "is_good"), [(85, True), (86, False)])
def test_the_longest_domain_still_fits_the_socket_path(length: int, is_good: bool) -> None:
    head = f"{'x' * 50}.{'y' * 20}"
    domain = f"{head}.{'z' * (length - len(head) - 1)}"
    assert len(f"/var/sockets/{domain}/app.sock") <= 107 or not is_good
    if is_good:
        assert canonical_domain(domain) == domain
    else:
        with pytest.raises(InvalidName, match="at most 85"):
            canonical_domain(domain)


@given(st.text(max_size=60))
def test_a_canonical_name_is_its_own_canonical_name(text: str) -> None:
    try:
        canonical = canonical_domain(text)
    except InvalidName:
        return
    assert canonical_domain(canonical) == canonical
    assert canonical.isascii()
    assert "/" not in canonical
    assert ".." not in canonical


def test_a_command_is_kept_to_the_letter() -> None:
    assert check_command("uvicorn --uds ${DOMAIN_SOCKET} a:b ") == "uvicorn --uds ${DOMAIN_SOCKET} a:b "


@pytest.mark.parametrize("command", ["", "  ", "a\nb", "a\rb", "a\0b", "x" * (COMMAND_LENGTH_LIMIT + 1)])
def test_commands_that_cannot_be(command: str) -> None:
    with pytest.raises(InvalidName):
        check_command(command)
