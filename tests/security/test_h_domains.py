"""Group H, domains of users' own: H4. The challenge path, H6, is tried in tests/contract/test_edge_domains.py."""

import httpx
import pytest

from certificate_fixtures import FakeDns
from live import Platform, User, answering

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
