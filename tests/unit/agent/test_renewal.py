"""When certificates are renewed, how failures are put off, and how the authority's limits are counted."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from hostel.agent.ratelimits import FAILURES, OF_DOMAIN, OF_NAMES, OF_TENANT, Ledger, find_wait, with_order
from hostel.agent.renewal import BACK_OFF_MOST, plan_renewal, plan_retry
from hostel.wire.codec import parse, to_jsonable

NOW = datetime(2026, 11, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(lifetime: timedelta) -> x509.Certificate:
    return (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), KEY.public_key(), x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + lifetime)
        .sign(KEY, hashes.SHA256())
    )


def test_a_certificate_is_renewed_at_two_thirds_of_its_life_and_not_all_in_one_hour() -> None:
    for days in (90, 45, 6):
        lifetime = timedelta(days=days)
        shares = [(plan_renewal(certificate(lifetime), suggested=None) - NOW) / lifetime for _ in range(50)]
        assert all(0.64 < share < 0.69 for share in shares)
        assert max(shares) - min(shares) > 0.02
    same = certificate(lifetime)
    assert plan_renewal(same, suggested=None) == plan_renewal(same, suggested=None)


def test_what_the_authority_suggests_goes_first() -> None:
    at = NOW - timedelta(days=1)
    assert plan_renewal(certificate(timedelta(days=45)), suggested=at) == at
    late = plan_renewal(certificate(timedelta(days=60)), suggested=NOW + timedelta(days=400))
    assert late == NOW + timedelta(days=55), "never past the end"


@given(failures=st.integers(1, 100_000), jitter=st.floats(0, 1))
def test_failures_are_put_off_longer_each_time_and_never_for_good(failures: int, jitter: float) -> None:
    wait = plan_retry(failures, now=NOW, jitter=jitter) - NOW
    assert timedelta(minutes=12) <= wait <= BACK_OFF_MOST * 1.2
    assert plan_retry(failures + 4, now=NOW, jitter=0) - NOW >= wait * (0.66 if failures > 6 else 1)


def filled(count: int, *names: str, is_issued: bool = True, every: timedelta = timedelta(0)) -> Ledger:
    ledger = Ledger()
    for number in range(count):
        ledger = with_order(ledger, [names[number % len(names)]], NOW + every * number, is_issued=is_issued)
    return ledger


def test_each_limit_is_met_before_the_authority_says_so() -> None:
    many = [f"n{number}.example.org" for number in range(60)]
    at, limit = find_wait(filled(50, *many), ["www.example.org"], NOW) or (None, None)
    assert (at, limit) == (NOW + timedelta(days=7), OF_DOMAIN)
    assert find_wait(filled(50, *many), ["www.example.net"], NOW) is None
    assert find_wait(filled(50, *many), ["www.example.org"], NOW + timedelta(days=7, seconds=1)) is None
    assert find_wait(filled(49, *many), ["www.example.org"], NOW) is None

    _, limit = find_wait(filled(5, "www.example.org"), ["www.example.org"], NOW) or (None, None)
    assert limit is OF_NAMES
    assert find_wait(filled(4, "www.example.org"), ["www.example.org"], NOW) is None

    failed = filled(5, "www.example.org", is_issued=False, every=timedelta(minutes=1))
    at, limit = find_wait(failed, ["www.example.org"], NOW + timedelta(minutes=10)) or (None, None)
    assert (at, limit) == (NOW + timedelta(hours=1), FAILURES), "free again when the first is an hour old"
    assert find_wait(filled(300, *[f"a.x{n}.net" for n in range(300)]), ["www.example.com"], NOW) is not None


def test_one_user_leaves_orders_for_the_others() -> None:
    ledger = Ledger()
    for number in range(OF_TENANT.most):
        ledger = with_order(ledger, [f"a.x{number}.net"], NOW, is_issued=True, tenant="greedy")
    at, limit = find_wait(ledger, ["b.example"], NOW, tenant="greedy") or (None, None)
    assert (at, limit) == (NOW + timedelta(hours=3), OF_TENANT)
    assert find_wait(ledger, ["b.example"], NOW, tenant="other") is None


def test_the_ledger_keeps_only_what_counts_and_can_be_read_again() -> None:
    old = with_order(filled(20, "www.example.org"), ["b.example"], NOW + timedelta(days=8), is_issued=True)
    assert len(old.orders) == 1
    assert parse(Ledger, to_jsonable(old)) == old


def test_what_reaches_no_authority_says_so_in_time(tmp_path: Path) -> None:
    import time

    import pytest

    from hostel.agent.acme import Authority
    from hostel.wire.certificate import CaUnreachable

    authority = Authority("http://127.0.0.1:1/dir", account_file=tmp_path / "account.json")
    began = time.monotonic()
    with pytest.raises(CaUnreachable, match="did not answer"):
        authority.issue(["www.example.org"], lambda question: lambda: None)
    assert time.monotonic() - began < 5
    assert not (tmp_path / "account.json").exists()
