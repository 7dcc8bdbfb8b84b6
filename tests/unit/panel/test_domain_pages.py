"""Domains of a website and their certificates, as a browser without JavaScript meets them."""

import html

import pytest

from hostel.panel.audit.models import Entry
from hostel.panel.domains.models import Domain
from hostel.wire.certificate import CertificateReport, CertType, DnsElsewhere
from hostel.wire.report import Proof

DOMAINS = "/user/xanthippe/websites/xanthippe.hostel.localhost/domains/"
NAME = "www.shop.example"
SERVED = CertificateReport(
    cert_type=CertType.ACME,
    not_after="2027-02-21T08:00:00Z",
    issuer_name="CN=<b>Authority</b>",
    subject_name=f"CN={NAME}",
    subject_alternate_names=(NAME,),
)


@pytest.fixture
def browser(owner):
    owner.create()
    return owner.log_in()


def show(browser, path=""):
    page = browser.get(f"{DOMAINS}{path}", secure=True)
    assert page.status_code == 200, path
    return html.unescape(page.content.decode())


def send(browser, page="", **form):
    answer = browser.post(f"{DOMAINS}{page}", form, secure=True)
    if answer.status_code == 302:
        answer = browser.get(answer.headers["Location"], secure=True)
    return answer.status_code, html.unescape(answer.content.decode())


@pytest.fixture
def proven(browser, agent):
    agent.proofs[NAME] = Proof.CNAME
    send(browser, domain_name=NAME)
    assert Domain.objects.get().is_proven
    return Domain.objects.get()


def test_a_domain_is_added_with_instructions_and_proven_when_the_dns_shows_it(browser, agent):
    _, page = send(browser, domain_name=f" {NAME} ")
    assert "Show that www.shop.example is yours" in page
    assert "<code>_hostel.www.shop.example</code>" in page
    assert "cname-" in page
    assert "nothing yet: show that it is yours" in show(browser)
    _, page = send(browser, f"{NAME}/check/")
    assert "Not yet. Now there is no CNAME record, and no TXT record." in page
    agent.proofs[NAME] = Proof.TXT
    _, page = send(browser, f"{NAME}/check/")
    assert "www.shop.example is yours" in page
    assert agent.websites["xanthippe.hostel.localhost"].domains[0].name == NAME


def test_the_dns_is_looked_at_live(browser, agent):
    send(browser, domain_name=NAME)
    assert f'hx-post="{DOMAINS}{NAME}/check/" hx-trigger="submit, every 15s"' in show(browser, f"{NAME}/")
    live = {"hx-request": "true"}
    part = browser.post(f"{DOMAINS}{NAME}/check/", secure=True, headers=live)
    assert part.content.decode().lstrip().startswith("<form")
    assert b"no CNAME record" in part.content
    agent.proofs[NAME] = Proof.CNAME
    assert browser.post(f"{DOMAINS}{NAME}/check/", secure=True, headers=live).headers["HX-Refresh"] == "true"


@pytest.mark.parametrize(
    ("name", "words"),
    [("", "may not be blank"), ("nonsense", "dot"), ("sokrates.hostel.localhost", "xanthippe")],
)
def test_a_domain_that_cannot_be_is_refused_beside_its_field(browser, name, words):
    status, page = send(browser, domain_name=name)
    assert status == 400
    assert 'class="field-error"' in page
    assert words in page
    assert not Domain.objects.exists()


def test_a_domain_is_switched_off_sent_on_and_removed(browser, agent, proven):
    bare = "shop.example"
    agent.proofs[bare] = Proof.TXT
    send(browser, domain_name=bare)
    _, page = send(browser, f"{bare}/change/", enabled="on", redirect_to=NAME)
    assert "Saved." in page
    assert Domain.objects.get(canonical_name=bare).redirect_to == NAME
    assert f"sent on to {NAME}" in show(browser)
    status, page = send(browser, f"{bare}/change/", enabled="on", redirect_to="elsewhere.example")
    assert status == 400
    assert "Give another domain of this website" in page
    _, page = send(browser, f"{NAME}/remove/")
    assert "Other domains of the website redirect to this one" in page, "another one sends its visitors there"
    send(browser, f"{bare}/change/", redirect_to="")
    assert "nothing: it is off" in show(browser)
    _, page = send(browser, f"{bare}/remove/")
    assert "shop.example was removed." in page
    assert [each.name for each in agent.websites["xanthippe.hostel.localhost"].domains] == [NAME]


def test_a_certificate_is_shown_with_its_end_and_its_trouble(browser, agent, proven):
    assert "This domain has no certificate of its own." in show(browser, f"{NAME}/")
    agent.certificates[NAME] = SERVED
    page = show(browser, f"{NAME}/")
    assert "21 February 2027, 08:00 UTC" in page
    assert "until 21 February 2027" in show(browser)
    assert "<b>Authority" not in browser.get(f"{DOMAINS}{NAME}/", secure=True).content.decode()
    agent.certificates[NAME] = DnsElsewhere()
    assert "none: The DNS for the domain points to another machine." in show(browser)
    agent.calls.clear()
    show(browser)
    assert agent.calls == ["GET /certificates"]


def test_a_certificate_is_ordered_uploaded_and_deleted(browser, agent, proven):
    agent.certificates[NAME] = DnsElsewhere()
    _, page = send(browser, f"{NAME}/certificate/", deed="order")
    assert "The DNS for the domain points to another machine." in page
    agent.certificates[NAME] = SERVED
    _, page = send(browser, f"{NAME}/certificate/", deed="order")
    assert "The certificate is served. It is renewed by itself." in page
    status, page = send(browser, f"{NAME}/certificate/", cert="no PEM", private_key="key")
    assert status == 400
    assert "no certificate or key in PEM form" in page
    _, page = send(browser, f"{NAME}/certificate/", cert="-----BEGIN CERTIFICATE-----", private_key="s3cret")
    assert "Your certificate is served." in page
    assert "s3cret" not in page + str(list(Entry.objects.values()))
    _, page = send(browser, f"{NAME}/certificate/", deed="delete")
    assert "The certificate was deleted." in page
    assert agent.certificates == {}


def test_a_name_below_the_platforms_has_the_platforms_certificate(browser):
    page = show(browser, "xanthippe.hostel.localhost/")
    assert "The platform's certificate covers this domain." in page
    assert "Remove this domain" not in page


def test_domains_of_others_are_not_there(browser, other, proven):
    theirs = other.log_in()
    for path in ("", f"{NAME}/", f"{NAME}/check/", f"{NAME}/change/", f"{NAME}/remove/", f"{NAME}/certificate/"):
        assert theirs.post(f"{DOMAINS}{path}", secure=True).status_code in (404, 405)
    for name in ("nobody.example", "nonsense", "xanthippe.hostel.localhost"):
        assert browser.post(f"{DOMAINS}{name}/remove/", secure=True).status_code == 404
    assert Domain.objects.get().is_routed
