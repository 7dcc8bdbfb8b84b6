"""Group H, domains of users' own and their certificates: H4, and what a certificate must not do to neighbours.

The challenge path, H6, is tried in tests/contract/test_edge_domains.py, H7 in tests/integration/test_acme.py.
"""

import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from edge_fixtures import make_certificate

from certificate_fixtures import FakeDns, give_domain, served_certificate
from live import Platform, User, answering, send_signal

NAME = "bank.example"
SPELLINGS = (NAME, NAME.upper(), "Bank.Example", "\uff42\uff41\uff4e\uff4b.example", f"{NAME}.", f" {NAME}")


@pytest.fixture
def sites(certified: Platform, dora: User, emil: User) -> "object":
    for user in (dora, emil):
        assert certified.create(user, f"h4-{user.name}", answering(user.name)).status_code == 201
    yield {user.name: f"websites/h4-{user.name}.{certified.domain}/domains/" for user in (dora, emil)}
    for user in (dora, emil):
        certified.delete(user, f"h4-{user.name}")


def shown_at(platform: Platform, name: str) -> str:
    with httpx.Client(trust_env=False, timeout=60) as client:
        answer = client.get(f"http://127.0.0.1:{platform.http_port}/", headers={"Host": name})
        return str(answer.json()["word"]) if answer.status_code == 200 else ""


def test_h4_a_domain_goes_to_whom_its_dns_names_and_to_nobody_else(
    certified: Platform, dora: User, emil: User, sites: dict[str, str], fake_dns: FakeDns
) -> None:
    """Positive control: the owner of the DNS gets it, although the other asked first."""
    with certified.api(emil) as thief, certified.api(dora) as owner:
        claimed = thief.post(sites["emil"], json={"domain_name": NAME})
        assert claimed.json()["is_proven"] is False
        fake_dns.set_cname(NAME, owner.post(sites["dora"], json={"domain_name": NAME}).json()["cname"])
        assert thief.post(f"{sites['emil']}{NAME}/check/").headers["Hostel-Error-Code"] == "domain_unproven"
        assert shown_at(certified, NAME) == ""
        assert owner.post(f"{sites['dora']}{NAME}/check/").json()["is_proven"] is True
        assert shown_at(certified, NAME) == "dora"

        body = {"enabled": True, "webapp": {"command": answering("thief")}}
        for spelling in SPELLINGS:
            for path in (sites["emil"], "websites/"):
                refused = thief.post(path, json={"domain_name": spelling, **body})
                assert refused.status_code == 400, spelling
        assert thief.post(f"{sites['emil']}{NAME}/check/").status_code == 409
        assert shown_at(certified, NAME) == "dora"

        # Its records still lead here when the owner lets go of it: neither those nor the hold are the thief's.
        assert owner.delete(f"{sites['dora']}{NAME}/").status_code == 204
        assert shown_at(certified, NAME) == ""
        assert thief.post(f"{sites['emil']}{NAME}/check/").status_code in (400, 409)
        assert thief.post("websites/", json={"domain_name": NAME, **body}).status_code == 400
        assert owner.post(sites["dora"], json={"domain_name": NAME}).json()["is_proven"] is True
        assert shown_at(certified, NAME) == "dora"


def test_h4_the_agent_gives_no_domain_to_a_second_website_whatever_the_panel_says(
    certified: Platform, dora: User, emil: User, sites: dict[str, str], fake_dns: FakeDns
) -> None:
    """As a panel that somebody has taken over might ask."""
    name = "other-bank.example"
    with certified.api(dora) as owner:
        added = owner.post(sites["dora"], json={"domain_name": name}).json()
        fake_dns.set_cname(name, added["cname"])
        assert owner.post(f"{sites['dora']}{name}/check/").status_code == 200
    site = f"h4-emil.{certified.domain}"
    spec = {
        "domain_name": site,
        "tenant": "emil",
        "version": {"epoch": 1 << 50, "revision": 1},
        "enabled": True,
        "command": answering("emil"),
        "domains": [{"name": name}],
    }
    taken = certified.ask_agent("PUT", f"/websites/{site}?wait_s=5", spec)
    assert (taken.status_code, taken.json()["code"]) == (409, "domain_taken")
    assert shown_at(certified, name) == "dora"


def test_h4_a_certificate_made_out_for_a_neighbour_too_is_served_for_its_own_domain_alone(
    certified: Platform, dora: User, emil: User, sites: dict[str, str], fake_dns: FakeDns, tmp_path: Path
) -> None:
    """Anybody can make such a certificate; the edge must not go by its names. Also after a restart of nginx."""
    name, victim = "mine.example", f"h4-dora.{certified.domain}"
    path = give_domain(certified, emil, fake_dns, name, label="h4-emil")
    make_certificate(
        tmp_path, "wide", name, victim, f"*.{certified.domain}", f"www.{certified.domain}", "theirs.example"
    )
    sent = {"cert": (tmp_path / "wide.pem").read_text(), "private_key": (tmp_path / "wide.key").read_text()}
    before = {
        host: served_certificate(certified, host) for host in (victim, f"www.{certified.domain}", "theirs.example")
    }
    with certified.api(emil) as api:
        assert api.post(path, json=sent).status_code == 200
        wide = served_certificate(certified, name)
        assert wide == x509.load_pem_x509_certificate(sent["cert"].encode()), "positive control"
        restart_edge(certified)
        assert served_certificate(certified, name) == wide
        assert {host: served_certificate(certified, host) for host in before} == before
        for other in ("h4-dora", "www"):
            refused = api.post(f"domains/{other}.{certified.domain}/ssl/", json=sent)
            assert refused.status_code == 404
    with certified.api(dora) as api:
        assert api.get(path).status_code == 404


def test_h4_nobody_but_root_reads_a_key(
    certified: Platform, dora: User, sites: dict[str, str], fake_dns: FakeDns, tmp_path: Path
) -> None:
    """Positive control: root finds them all."""
    name = "keys.example"
    path = give_domain(certified, dora, fake_dns, name, label="h4-dora")
    make_certificate(tmp_path, "keys", name)
    sent = {"cert": (tmp_path / "keys.pem").read_text(), "private_key": (tmp_path / "keys.key").read_text()}
    with certified.api(dora) as api:
        assert api.post(path, json=sent).status_code == 200
    ordered = certified.paths.certificates / "orders.json"
    looked_in = (certified.paths.state, certified.paths.run, certified.paths.log)
    argv = ["grep", "-rlE", "--", "PRIVATE KEY", *(str(each) for each in looked_in)]
    as_root = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()
    assert {f"{certified.paths.certificates}/{file}" for file in (f"{name}.pem", "sites.key", "ca.key")} <= set(as_root)
    account = certified.paths.certificates / "acme-account.json"
    for file in [Path(found) for found in as_root] + [each for each in (ordered, account) if each.exists()]:
        assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, 0), file
    worker = {"user": "www-data", "group": "www-data", "extra_groups": []}
    found = subprocess.run(argv, capture_output=True, text=True, check=False, **worker)
    assert found.stdout == ""


def restart_edge(platform: Platform) -> None:
    edge = platform.part_pid("edge")
    send_signal(edge, signal.SIGKILL)
    give_up = time.monotonic() + 30
    while platform.part_pid("edge") in (0, edge) or not platform.is_up():
        assert time.monotonic() < give_up, "no nginx came back"
        time.sleep(0.05)
