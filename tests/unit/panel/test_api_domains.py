"""Further domains: proof before anything is routed, one website a domain, kept for who had it."""

import pytest
from django.utils import timezone

from hostel.panel.domains.models import HeldDomain
from hostel.panel.domains.proof import records_for
from hostel.wire.report import Proof
from hostel.wire.website import DomainSpec

NAME = "www.example.org"


@pytest.fixture
def url(owner):
    assert owner.create().status_code == 201
    return f"{owner.websites_url}{owner.domain}/domains/"


def code_of(response):
    return response.status_code, response.headers.get("Hostel-Error-Code")


def test_nothing_is_routed_before_the_proof_and_the_answer_has_the_records(owner, url, agent):
    added = owner.call("POST", url, {"domain_name": "WWW.Example.org"})
    assert added.status_code == 201
    shown = added.json()
    assert (shown["is_proven"], shown["domain_name"]) == (False, "WWW.Example.org")
    assert [record["type"] for record in shown["records"]] == ["CNAME", "TXT"]
    assert shown["records"][0]["value"] == shown["cname"]
    assert agent.websites[owner.domain].domains == ()
    webapp = owner.call("GET", f"{owner.websites_url}{owner.domain}/").json()["webapp"]
    assert webapp["domains"][1] == {"domain_name": "WWW.Example.org", "enabled": False, "cname": shown["cname"]}

    check = f"{url}{NAME}/check/"
    refused = owner.call("POST", check)
    assert code_of(refused) == (409, "domain_unproven")
    assert all(record["value"] in refused.json()["detail"] for record in shown["records"])

    agent.proofs[NAME] = Proof.TXT
    assert owner.call("POST", check).json()["is_proven"] is True
    assert agent.websites[owner.domain].domains == (DomainSpec(name=NAME),)
    assert owner.call("PATCH", f"{url}{NAME}/", {"enabled": False}).status_code == 200
    assert agent.websites[owner.domain].domains == ()


def test_a_domain_is_one_websites_and_only_the_proven_one_counts(owner, other, url, agent):
    assert other.create().status_code == 201
    theirs = f"{other.websites_url}{other.domain}/domains/"
    assert owner.call("POST", url, {"domain_name": NAME}).json()["is_proven"] is False
    agent.proofs[NAME] = Proof.CNAME
    assert other.call("POST", theirs, {"domain_name": NAME}).json()["is_proven"] is True
    for answer in (
        owner.call("POST", f"{url}{NAME}/check/"),
        owner.call("POST", url, {"domain_name": NAME.upper()}),
        owner.create(domain=NAME),
    ):
        assert code_of(answer) == (400, "domain_exists")
        assert "domain with this domain name already exists" in answer.content.decode()


def test_a_deleted_domain_is_kept_for_who_had_it(owner, other, url, agent):
    agent.proofs[NAME] = Proof.TXT
    assert owner.call("POST", url, {"domain_name": NAME}).status_code == 201
    assert owner.call("DELETE", f"{url}{NAME}/").status_code == 204
    assert agent.websites[owner.domain].domains == ()
    assert code_of(other.create(domain=NAME)) == (400, "domain_exists")
    assert owner.call("POST", url, {"domain_name": NAME}).status_code == 201
    assert not HeldDomain.objects.exists()
    owner.call("DELETE", f"{owner.websites_url}{owner.domain}/")
    assert code_of(other.create(domain=NAME)) == (400, "domain_exists")
    HeldDomain.objects.update(until=timezone.now())
    assert other.create(domain=NAME).status_code == 201


def test_held_domains_are_limited_and_forgotten(owner, db, monkeypatch):
    monkeypatch.setattr("hostel.panel.domains.models.HELD_MOST", 3)
    for number in range(5):
        HeldDomain.objects.hold(f"n{number}.example.org", owner=owner.user)
    assert HeldDomain.objects.count() == 3
    HeldDomain.objects.update(until=timezone.now())
    HeldDomain.objects.hold("last.example.org", owner=owner.user)
    assert [held.canonical_name for held in HeldDomain.objects.all()] == ["last.example.org"]


def test_a_website_of_an_own_domain_needs_its_proof_first(owner, agent, settings):
    refused = owner.create(domain=NAME)
    assert code_of(refused) == (400, "domain_unproven")
    assert all(record.value in refused.json()["domain_name"][0] for record in records_for(NAME, owner=owner.user))
    agent.proofs[NAME] = Proof.CNAME
    created = owner.create(domain=NAME)
    assert created.status_code == 201
    assert created.json()["webapp"]["domains"][0]["cname"].startswith("cname-")


def test_the_operator_may_do_without_proof(owner, url, agent, settings):
    from dataclasses import replace

    config = settings.HOSTEL_CONFIG
    settings.HOSTEL_CONFIG = replace(config, domains=replace(config.domains, proof=False))
    assert owner.call("POST", url, {"domain_name": NAME}).json()["is_proven"] is True
    assert "POST /proof" not in agent.calls


def test_a_redirect_leads_to_another_domain_of_the_same_website(owner, url, agent):
    agent.proofs = {NAME: Proof.TXT, "example.org": Proof.TXT}
    assert owner.call("POST", url, {"domain_name": NAME}).status_code == 201
    sent = {"domain_name": "example.org", "redirect_to": NAME}
    assert owner.call("POST", url, sent).json()["redirect_to"] == NAME
    assert agent.websites[owner.domain].domains[1] == DomainSpec(name="example.org", redirect_to=NAME)
    assert code_of(owner.call("DELETE", f"{url}{NAME}/")) == (409, "domain_in_use")
    for target in ("www.example.net", "example.org", "-", "hostel.localhost"):
        refused = owner.call("PATCH", f"{url}example.org/", {"redirect_to": target})
        assert refused.status_code == 400, target
    assert owner.call("PATCH", f"{url}example.org/", {"redirect_to": None}).json()["redirect_to"] is None


@pytest.mark.parametrize(
    "name",
    ["hostel.localhost", "localhost", "www.hostel.localhost", "sokrates.hostel.localhost", "com", "co.uk", "192.0.2.7",
     "*.example.org", "example.org.", "_dmarc.example.org", "bücher.example", "a" * 90 + ".example.org", "", None, 7,
     "www.example.org/x", "www.example.org:80", "www.example.org\0"],
)  # fmt: skip
def test_a_name_that_cannot_be_used_is_refused(owner, url, name):
    refused = owner.call("POST", url, {"domain_name": name})
    assert refused.status_code == 400
    assert refused.json()["domain_name"][0]


def test_no_two_accounts_have_the_same_record(owner, other):
    assert records_for(NAME, owner=owner.user) != records_for(NAME, owner=other.user)
