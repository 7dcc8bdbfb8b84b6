"""Certificates from a real ACME server: obtained, served at once, renewed, and why not."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from edge_fixtures import make_certificate

from certificate_fixtures import FakeDns, Pebble, give_domain, is_trusted, kill_agent, served_certificate
from hostel.agent.acme import Authority
from hostel.wire.certificate import CaUnreachable, ChallengeBlocked
from live import Platform, User, answering, send_signal
from waiting import until

CLIENTS = Path(__file__).parents[2] / ".venv-clients/bin"


ORDER = {"cert_type": "letsencrypt-auto-renew"}


@pytest.fixture(scope="module")
def site(certified: Platform, dora: User) -> Iterator[str]:
    assert certified.create(dora, "acme-dora", answering("acme")).status_code == 201
    yield "acme-dora"
    assert list(certified.paths.certificates.glob("*.acme.example.*"))
    doctor = certified.hostel("doctor", check=False).stdout
    assert "1 could not be renewed: renewed.acme.example" in " ".join(doctor.split())
    certified.delete(dora, "acme-dora")
    assert list(certified.paths.certificates.glob("*.acme.example.*")) == [], "they go with their domains"


def test_a_certificate_is_obtained_and_served_at_once(
    certified: Platform, dora: User, site: str, fake_dns: FakeDns, pebble: Pebble
) -> None:
    name = "www.acme.example"
    path = give_domain(certified, dora, fake_dns, name, label=site)
    with certified.api(dora) as api:
        none = api.get(path)
        assert (none.status_code, none.headers["Hostel-Error-Code"]) == (404, "no_certificate")
        answer = api.post(path, json=ORDER)
        assert (answer.status_code, answer.json()) == (200, {"status": "OK"}), answer.text
        assert is_trusted(certified, name, pebble.root())
        shown = api.get(path).json()
        assert shown["cert_type"] == "letsencrypt-auto-renew"
        assert shown["subject_alternate_names"] == [name]
        assert "Pebble" in shown["issuer_name"]
        assert shown["renewal_at"] < shown["not_after"]
        assert api.delete(path).status_code == 204
        assert api.get(path).status_code == 404
        assert not is_trusted(certified, name, pebble.root())
    assert list(certified.paths.challenges.iterdir()) == []
    assert list(certified.paths.certificates.glob(f"{name}*")) == []


def test_pa_obtains_a_certificate(
    certified: Platform, dora: User, site: str, fake_dns: FakeDns, pebble: Pebble
) -> None:
    name = "pa.acme.example"
    give_domain(certified, dora, fake_dns, name, label=site)
    environment = {
        "PATH": f"{CLIENTS}:{os.environ['PATH']}",
        "PYTHONANYWHERE_SITE": f"www.{certified.domain}:{certified.https_port}",
        "PYTHONANYWHERE_DOMAIN": certified.domain,
        "PYTHONANYWHERE_USERNAME": dora.name,
        "API_TOKEN": dora.token,
        "REQUESTS_CA_BUNDLE": str(certified.ca_file),
        "COLUMNS": "200",
    }

    def pa(*arguments: str) -> str:
        argv = ["pa", "website", *arguments]
        done = subprocess.run(argv, env=environment, text=True, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "Applied auto-renewing SSL certificate" in pa("create-autorenew-cert", "-d", name)
    assert is_trusted(certified, name, pebble.root())
    own = f"{site}.{certified.domain}"
    assert "Applied" in pa("create-autorenew-cert", "-d", own), "which the platform's certificate covers"
    with certified.api(dora) as api:
        assert api.get(f"domains/{own}/ssl/").json()["cert_type"] == "platform"


def test_h7_a_domain_that_leads_elsewhere_is_not_even_ordered(
    certified: Platform, dora: User, site: str, fake_dns: FakeDns
) -> None:
    ledger = certified.paths.certificates / "orders.json"
    with certified.api(dora) as api:
        for name, addresses in (("both.acme.example", ["127.0.0.1", "192.0.2.7"]),):
            path = give_domain(certified, dora, fake_dns, name, label=site)
            fake_dns.set_addresses(name, *addresses)
            before = ledger.read_text() if ledger.exists() else ""
            refused = api.post(path, json=ORDER)
            assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (409, "dns_elsewhere")
            assert f"DNS for {name} points to 192.0.2.7, not here" in refused.json()["detail"]
            assert "192.0.2.7" in api.get(path).json()["detail"]
            assert (ledger.read_text() if ledger.exists() else "") == before


def test_h7_an_authority_that_is_down_costs_nothing_that_is_served(
    certified: Platform, dora: User, site: str, fake_dns: FakeDns, pebble: Pebble
) -> None:
    name = "down.acme.example"
    path = give_domain(certified, dora, fake_dns, name, label=site)
    with certified.api(dora) as api:
        assert api.post(path, json=ORDER).status_code == 200
        before = api.get(path).json()["not_after"]
        root = pebble.root()
        pebble.stop()
        try:
            refused = api.post(path, json=ORDER)
            assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (503, "ca_unreachable")
            assert is_trusted(certified, name, root)
            assert api.get(path).json()["not_after"] == before
        finally:
            pebble.start()
        # It has forgotten the account as well: another is made.
        assert api.post(path, json=ORDER).status_code == 200
        assert is_trusted(certified, name, pebble.root())


def test_h7_an_authority_that_issues_no_more_is_heard(
    certified: Platform, dora: User, site: str, fake_dns: FakeDns, pebble: Pebble
) -> None:
    path = give_domain(certified, dora, fake_dns, "limited.acme.example", label=site)
    pebble.front.is_limited = True
    try:
        with certified.api(dora) as api:
            refused = api.post(path, json=ORDER)
        assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (503, "ca_rate_limited")
        assert "too many certificates" in refused.json()["detail"]
    finally:
        pebble.front.is_limited = False


def authority(pebble: Pebble, tmp_path: Path) -> Authority:
    return Authority(pebble.url, account_file=tmp_path / "account.json", ca_file=str(pebble.ca_file))


def test_who_blocks_the_question_gets_no_certificate_and_hears_why(
    certified: Platform, pebble: Pebble, tmp_path: Path
) -> None:
    with pytest.raises(ChallengeBlocked, match=r"unseen\.acme\.example"):
        authority(pebble, tmp_path).issue(["unseen.acme.example"], lambda question: lambda: None)


def test_an_authority_that_is_too_slow_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostel.agent.acme.REQUEST_DEADLINE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = Authority(f"http://127.0.0.1:{silent.getsockname()[1]}/dir", account_file=tmp_path / "account.json")
        with pytest.raises(CaUnreachable, match="did not answer"):
            slow.issue(["slow.acme.example"], lambda question: lambda: None)


def test_a_certificate_is_renewed_when_the_authority_says_so(
    certified: Platform, dora: User, site: str, fake_dns: FakeDns, pebble: Pebble
) -> None:
    """And while that fails, the old one serves and the reason is shown; both without anybody's call."""
    name = "renewed.acme.example"
    path = give_domain(certified, dora, fake_dns, name, label=site)
    front = pebble.front
    with certified.api(dora) as api:
        assert api.post(path, json=ORDER).status_code == 200
        first = served_certificate(certified, name)
        front.due |= set(front.asked)
        until(lambda: served_certificate(certified, name).serial_number != first.serial_number)
        second = served_certificate(certified, name)
        assert api.get(path).json()["reason"] is None

        fake_dns.tell("clear-a", host=f"{name}.")
        fake_dns.set_addresses(name, "192.0.2.9")
        front.due |= set(front.asked)
        until(lambda: api.get(path).json()["reason"] == "dns_elsewhere")
        shown = api.get(path).json()
        assert "points to 192.0.2.9, not here" in shown["detail"]
        assert shown["renewal_at"] > datetime.now(UTC).isoformat()
        assert served_certificate(certified, name).serial_number == second.serial_number


def test_a_certificate_that_became_due_while_no_agent_lived_is_renewed(
    certified: Platform, dora: User, site: str, fake_dns: FakeDns, pebble: Pebble
) -> None:
    """Also: handshakes go on with the agent dead and a worker killed, and after nginx was started anew."""
    name = "due.acme.example"
    path = give_domain(certified, dora, fake_dns, name, label=site)
    with certified.api(dora) as api:
        assert api.post(path, json=ORDER).status_code == 200
    first = served_certificate(certified, name).serial_number
    file = certified.paths.certificates / f"{name}.json"

    agent = certified.part_pid("agent")
    send_signal(agent, signal.SIGSTOP)
    for worker in (
        Path(f"/proc/{certified.part_pid('edge')}/task/{certified.part_pid('edge')}/children").read_text().split()
    ):
        send_signal(int(worker), signal.SIGKILL)
    until(lambda: is_answered(certified, name))
    assert {served_certificate(certified, name).serial_number for _ in range(8)} == {first}

    keeping = json.loads(file.read_text())
    file.write_text(json.dumps({**keeping, "renewal_at": "2026-01-01T00:00:00Z"}))
    kill_agent(certified)
    until(lambda: served_certificate(certified, name).serial_number != first)
    edge = certified.part_pid("edge")
    second = served_certificate(certified, name).serial_number
    send_signal(edge, signal.SIGKILL)
    until(lambda: certified.part_pid("edge") not in (0, edge) and is_answered(certified, name))
    assert served_certificate(certified, name).serial_number == second


def is_answered(platform: Platform, name: str) -> bool:
    try:
        served_certificate(platform, name)
    except OSError:
        return False
    return True


WRONG: tuple[dict[str, object], ...] = (
    {},
    {"cert_type": "other"},
    {"cert_type": "custom"},
    {"cert": "x"},
    {"private_key": "x"},
    {"cert": "", "private_key": ""},
    {**ORDER, "cert": "x", "private_key": "y"},
    {"cert": ["x"], "private_key": 7},
)


def test_what_is_no_request_for_a_certificate_is_refused(certified: Platform, dora: User, site: str) -> None:
    with certified.api(dora) as api:
        for sent in WRONG:
            assert api.post(f"domains/{site}.{certified.domain}/ssl/", json=sent).status_code == 400, sent
        own = {"cert": "x", "private_key": "y"}
        covered = api.post(f"domains/{site}.{certified.domain}/ssl/", json=own)
        assert covered.headers["Hostel-Error-Code"] == "covered_by_platform"


def test_an_own_certificate_is_served_within_a_second(
    certified: Platform, dora: User, site: str, fake_dns: FakeDns, tmp_path: Path
) -> None:
    name = "own.acme.example"
    path = give_domain(certified, dora, fake_dns, name, label=site)
    for number in range(2):
        make_certificate(tmp_path, f"own-{number}", name)
        pem = (tmp_path / f"own-{number}.pem").read_text()
        sent = {"cert": pem, "private_key": (tmp_path / f"own-{number}.key").read_text()}
        with certified.api(dora) as api:
            assert api.post(path, json=sent).json() == {"status": "OK"}
            answered = time.monotonic()
            assert served_certificate(certified, name) == x509.load_pem_x509_certificate(pem.encode())
            assert time.monotonic() - answered < 1
            assert api.get(path).json()["cert_type"] == "custom"
            refused = api.post(path, json={**sent, "private_key": sent["cert"]})
            assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (400, "certificate_unreadable")
    assert served_certificate(certified, name) == x509.load_pem_x509_certificate(pem.encode()), "as before the refusal"
