"""Which names exist, and the one spelling of each."""

import re
import time

import idna
import pytest
from hypothesis import given, settings
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
     "www.hostel.localhost", "\uff42\uff4f\uff42.hostel.localhost", "x-bob。hostel.localhost",
     "xn--ww-bob.hostel.localhost", "ab--c-bob.hostel.localhost"],
)  # fmt: skip
def test_domains_of_others_and_of_nobody(domain: str) -> None:
    with pytest.raises(InvalidName):
        check_user_domain(domain, username="bob", sites_domain=DOMAIN)


@pytest.mark.parametrize(("length", "is_good"), [(85, True), (86, False)])
def test_a6_the_longest_domain_still_fits_the_socket_path(length: int, is_good: bool) -> None:
    head = f"{'x' * 50}.{'y' * 20}"
    domain = f"{head}.{'z' * (length - len(head) - 1)}"
    assert len(f"/var/sockets/{domain}/app.sock") <= 107 or not is_good
    if is_good:
        assert canonical_domain(domain) == domain
    else:
        with pytest.raises(InvalidName, match="at most 85"):
            canonical_domain(domain)


# What makes a name look like another or be spelled in two ways, beside arbitrary text.
PIECES = st.sampled_from(
    ["www", "WWW", "\uff57\uff57\uff57", "admin", "alice", "ALICE", "faß", "fass", "xn--fa-hia", "XN--FA-HIA", "xn--",
     "xn--zz99", "--", "-", ".", "..", "。", "\uff0e", "\u200d", "\u00ad", "\u202e", "é", "e\u0301", "ǅ", "\u0131", "İ",
     "Å", "Ⅳ", "①", "_", "/", "\0", "\n", " ", "a" * 63, "a" * 64, "hostel.localhost", ".com"]
)  # fmt: skip
TYPED = st.text(max_size=40) | st.lists(PIECES | st.text(max_size=3), max_size=8).map("".join)
GRAMMAR = re.compile(r"(?=.{1,85}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+")


def canonical_or_none(text: str) -> str | None:
    try:
        return canonical_domain(text)
    except InvalidName:  # the one exception that is declared: any other fails the test
        return None


@settings(max_examples=400)
@given(TYPED)
def test_h3_a_name_has_one_spelling_or_is_refused(text: str) -> None:
    canonical = canonical_or_none(text)
    if canonical is None:
        return
    assert canonical_domain(canonical) == canonical
    assert GRAMMAR.fullmatch(canonical), "the grammar of the route table, and of file names"
    assert canonical_domain(f"{canonical.upper()}.") == canonical
    assert canonical_domain(idna.decode(canonical)) == canonical, "as browsers show it"


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("faß.example", "xn--fa-hia.example"),
        ("FASS.example", "fass.example"),
        ("\uff45xample\uff0eo\uff52g", "example.org"),
        ("ex\u00adample。org.", "example.org"),
        ("Ĳ.example", "ij.example"),
        ("Äö.example", "xn--4ca0b.example"),
        ("e\u0301.example", "xn--9ca.example"),
    ],
)
def test_h3_spellings_beyond_ascii_fold_as_browsers_fold_them(typed: str, canonical: str) -> None:
    assert canonical_domain(typed) == canonical


def test_h3_the_standard_librarys_codec_would_make_two_names_one() -> None:
    """Positive control: IDNA 2003, which Python's own codec speaks, takes one's name for another's."""
    assert "faß.example".encode("idna") == b"fass.example"
    assert canonical_domain("faß.example") != canonical_domain("fass.example")


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
USERNAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)


def is_own(domain: str, username: str) -> bool:
    try:
        check_username(username)
        check_user_domain(domain, username=username, sites_domain=DOMAIN)
    except InvalidName:
        return False
    return True


@settings(max_examples=300)
@given(USERNAMES, USERNAMES, LABELS | st.none())
def test_h2_no_name_belongs_to_two_users(one: str, other: str, label: str | None) -> None:
    domain = f"{label}-{one}.{DOMAIN}" if label else f"{one}.{DOMAIN}"
    if one != other:
        assert not (is_own(domain, one) and is_own(domain, other))
        assert not (is_own(f"{label}-{other}.{DOMAIN}", one) and is_own(f"{label}-{other}.{DOMAIN}", other))


def test_h2_with_hyphens_in_user_names_one_name_would_belong_to_two() -> None:
    """Positive control: the users `x-alice` and `alice`, were the first one possible."""
    both = [check_user_domain(f"x-alice.{DOMAIN}", username=name, sites_domain=DOMAIN) for name in ("alice", "x-alice")]
    assert both[0] == both[1]
    with pytest.raises(InvalidName):
        check_username("x-alice")


def test_a_name_that_is_far_too_long_is_refused_before_it_is_mapped() -> None:
    began = time.monotonic()
    with pytest.raises(InvalidName, match="at most 85"):
        canonical_domain("ⅷ" * 1_000_000)
    assert time.monotonic() - began < 0.1


def test_a_command_is_kept_to_the_letter() -> None:
    assert check_command("uvicorn --uds ${DOMAIN_SOCKET} a:b ") == "uvicorn --uds ${DOMAIN_SOCKET} a:b "


@pytest.mark.parametrize("command", ["", "  ", "a\nb", "a\rb", "a\0b", "x" * (COMMAND_LENGTH_LIMIT + 1)])
def test_commands_that_cannot_be(command: str) -> None:
    with pytest.raises(InvalidName):
        check_command(command)
