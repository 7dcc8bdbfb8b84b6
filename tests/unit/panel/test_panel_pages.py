"""The pages as a browser without JavaScript meets them."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import django_htmx
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from hostel.panel.accounts.models import ApiToken, Login
from hostel.panel.domains.models import Domain
from hostel.wire.certificate import DnsElsewhere
from hostel.wire.console import ConsoleReport, ConsoleRequest
from hostel.wire.website import Phase

HOST = "www.hostel.localhost:8443"
ORIGIN = f"https://{HOST}"
PASSWORD = "correct horse battery"


def log_in(client, username, password, **headers):
    return client.post("/login/", {"username": username, "password": password}, secure=True, headers=headers)


def token_in(page):
    (token,) = re.findall(r'<code class="api_token">([0-9a-f]{40})</code>', page.content.decode())
    return token


def works(token):
    headers = {"host": HOST, "authorization": f"Token {token}"}
    return Client().get("/api/v1/user/xanthippe/websites/", headers=headers, secure=True).status_code == 200


def test_somebody_logs_in_sees_the_dashboard_and_logs_out(owner, stranger):
    assert stranger.get("/", secure=True).headers["Location"] == "/login/"
    first = stranger.get("/user/xanthippe/account/", secure=True)
    assert first.headers["Location"] == "/login/?next=/user/xanthippe/account/"
    page = stranger.get(first.headers["Location"], secure=True)
    assert b'name="next" value="/user/xanthippe/account/"' in page.content
    answer = log_in(stranger, "xanthippe", PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    assert stranger.get("/", secure=True).headers["Location"] == "/user/xanthippe/"
    assert b"Nothing here yet" in stranger.get("/user/xanthippe/", secure=True).content
    assert stranger.get("/logout/", secure=True).status_code == 405, "an image on another site must not log out"
    stranger.post("/logout/", secure=True)
    assert stranger.get("/user/xanthippe/", secure=True).status_code == 302


def test_g7_cookies_belong_to_this_host_alone(owner, stranger):
    stranger.get("/login/", secure=True)
    log_in(stranger, "xanthippe", PASSWORD)
    assert set(stranger.cookies) == {"__Host-csrf", "__Host-session", "__Host-device"}
    for cookie in stranger.cookies.values():
        assert (cookie["secure"], cookie["httponly"], cookie["path"], cookie["domain"]) == (True, True, "/", "")
        assert cookie["samesite"] == "Lax"


def test_after_login_nobody_is_sent_to_another_host(owner, stranger):
    form = {"username": "xanthippe", "password": PASSWORD, "next": "https://evil.example/"}
    assert stranger.post("/login/", form, secure=True).headers["Location"] == "/"


def test_wrong_password_and_unknown_user_get_the_same_answer(owner, stranger):
    pages = [log_in(stranger, name, "wrong") for name in ("xanthippe", "nobodyatall")]
    texts = [
        re.sub(r'name="csrfmiddlewaretoken" value="\w+"|value="(xanthippe|nobodyatall)"', "", page.content.decode())
        for page in pages
    ]
    assert texts[0] == texts[1]
    assert "That user name and password do not match." in texts[0]
    assert [page.status_code for page in pages] == [200, 200]


def test_logins_are_throttled_by_address_and_by_name(owner, stranger, limit):
    limit(logins_per_minute=2)
    for name in ("xanthippe", "nobody"):
        for number in range(20):  # a name, from as many addresses as it takes
            assert log_in(stranger, name, "wrong", **{"x-real-ip": f"192.0.2.{number}"}).status_code == 200
    by_name = log_in(stranger, "Xanthippe ", PASSWORD, **{"x-real-ip": "192.0.2.109"})
    unknown = log_in(stranger, "nobody", PASSWORD, **{"x-real-ip": "192.0.2.110"})
    by_address = log_in(stranger, "somebody", "wrong", **{"x-real-ip": "192.0.2.1"})
    for page in (by_name, unknown, by_address):
        assert page.status_code == 429
        assert 0 < int(page.headers["Retry-After"]) <= 30
        assert b"Too many attempts. Try again in" in page.content
    assert log_in(stranger, "sokrates", "wrong", **{"x-real-ip": "192.0.2.111"}).status_code == 200


def flood(name):
    """From many addresses, until the name is not let in any more; says how many tries that took."""
    for number in range(100):
        browser = Client(headers={"host": HOST})
        if log_in(browser, name, "wrong", **{"x-real-ip": f"198.51.100.{number}"}).status_code == 429:
            return number
    raise AssertionError("it is never stopped")


def test_g15_strangers_lock_nobody_out_of_a_known_browser(owner, stranger, limit):
    limit(logins_per_minute=2)
    assert log_in(stranger, "xanthippe", PASSWORD, **{"x-real-ip": "192.0.2.1"}).status_code == 302
    stranger.post("/logout/", secure=True)
    cookie = stranger.cookies["__Host-device"]
    assert (cookie["httponly"], cookie["secure"], cookie["samesite"], cookie["path"]) == (True, True, "Lax", "/")
    assert flood("xanthippe") == 19, "one was used to log in"
    new = Client(headers={"host": HOST})
    assert log_in(new, "xanthippe", PASSWORD, **{"x-real-ip": "203.0.113.1"}).status_code == 429, "control"
    assert log_in(stranger, "Xanthippe", "wrong", **{"x-real-ip": "198.51.100.1"}).status_code == 200
    assert log_in(stranger, "xanthippe", PASSWORD, **{"x-real-ip": "198.51.100.1"}).status_code == 302


def test_g15_one_address_alone_locks_no_name(owner, stranger, limit):
    limit(logins_per_minute=2)
    tries = [log_in(stranger, "xanthippe", "wrong", **{"x-real-ip": "192.0.2.1"}).status_code for _ in range(30)]
    assert tries == [200] * 2 + [429] * 28
    other = Client(headers={"host": HOST})
    assert log_in(other, "xanthippe", PASSWORD, **{"x-real-ip": "192.0.2.2"}).status_code == 302


def test_g15_a_device_is_limited_by_itself_and_known_for_its_user_alone(owner, other, stranger, limit):
    limit(logins_per_minute=2)
    assert log_in(stranger, "xanthippe", PASSWORD, **{"x-real-ip": "192.0.2.1"}).status_code == 302
    stranger.post("/logout/", secure=True)
    tries = [
        log_in(stranger, "xanthippe", "wrong", **{"x-real-ip": f"192.0.2.{number}"}).status_code
        for number in range(10, 14)
    ]
    assert tries == [200, 200, 429, 429]
    flood("sokrates")
    assert log_in(stranger, "sokrates", "correct horse battery", **{"x-real-ip": "192.0.2.50"}).status_code == 429
    forged = Client(headers={"host": HOST})
    flood("xanthippe")
    for text in ("", "x", "a:b:c", stranger.cookies["__Host-device"].value[:-1] + "-"):
        forged.cookies["__Host-device"] = text
        assert log_in(forged, "xanthippe", PASSWORD, **{"x-real-ip": "192.0.2.51"}).status_code == 429


def test_g6_a_form_from_another_origin_is_refused(owner):
    browser = Client(enforce_csrf_checks=True, headers={"host": HOST})
    page = browser.get("/login/", secure=True)
    (secret,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.content.decode())
    form = {"username": "xanthippe", "password": PASSWORD, "csrfmiddlewaretoken": secret}
    for origin in ("https://sokrates.hostel.localhost:8443", "https://www.hostel.localhost", "null"):
        refused = browser.post("/login/", form, secure=True, headers={"origin": origin})
        assert refused.status_code == 403
        assert b"The form was not sent from this site" in refused.content
    without = browser.post("/login/", {**form, "csrfmiddlewaretoken": ""}, secure=True, headers={"origin": ORIGIN})
    assert without.status_code == 403
    assert browser.post("/login/", form, secure=True, headers={"origin": ORIGIN}).status_code == 302


def test_the_token_page_creates_shows_once_replaces_and_revokes(owner, agent):
    ApiToken.objects.all().delete()
    browser = owner.log_in()
    page = browser.get("/user/xanthippe/account/api_token/", secure=True)
    assert b"Create a new API token" in page.content
    assert b"Revoke" not in page.content
    (action,) = re.findall(r'action="([^"]*new_token[^"]*)"', page.content.decode())

    shown = browser.post(action, secure=True)
    first = token_in(shown)
    assert works(first)
    assert agent.tenants["xanthippe"].api_token == first
    assert shown.headers["Cache-Control"] == "no-store"
    later = browser.get("/user/xanthippe/account/api_token/", secure=True)
    assert first not in later.content.decode()
    assert b"Revoke and create new token" in later.content
    assert re.search(r"created on <strong>\d+ \w+ \d{4}, \d\d:\d\d UTC", later.content.decode())

    second = token_in(browser.post(action, secure=True))
    assert second != first
    assert works(second)
    assert not works(first)
    (revoke,) = re.findall(r'action="([^"]*revoke_token[^"]*)"', later.content.decode())
    assert browser.post(revoke, secure=True).status_code == 302
    assert not works(second)
    assert agent.tenants["xanthippe"].api_token == ""
    assert browser.get(action, secure=True).status_code == 302, "looking at the address makes no token"
    assert not ApiToken.objects.exists()


def test_a_token_that_did_not_reach_the_agent_says_so(owner, agent_away):
    page = owner.log_in().post("/user/xanthippe/account/api_token/new_token/", secure=True)
    assert works(token_in(page))
    assert b"your consoles could not be given it" in page.content
    assert ApiToken.objects.get().is_in_consoles is False


def test_a_password_is_changed_and_other_browsers_are_logged_out(owner):
    browser, elsewhere = owner.log_in(), Client(headers={"host": HOST})
    elsewhere.force_login(owner.user)
    url = "/user/xanthippe/account/"
    form = {"old_password": "wrong", "new_password1": "xanthippe1", "new_password2": "xanthippe1"}
    refused = browser.post(url, form, secure=True)
    assert refused.status_code == 400
    assert b"Your old password was entered incorrectly" in refused.content
    assert b"too similar to the username" in refused.content
    form = {"old_password": PASSWORD, "new_password1": "a-better-phrase", "new_password2": "a-better-phrase"}
    changed = browser.post(url, form, secure=True, follow=True)
    assert b"Your password was changed" in changed.content
    assert elsewhere.get(url, secure=True).status_code == 302
    assert log_in(Client(headers={"host": HOST}), "xanthippe", "a-better-phrase").status_code == 302


def test_owner_other_and_stranger_meet_their_own_pages_only(owner, other, stranger):
    paths = ["", "account/", "account/api_token/", "account/api_token/new_token/"]
    for path in paths:
        for name in ("xanthippe", "nobody"):
            assert other.log_in().get(f"/user/{name}/{path}", secure=True).status_code == 404
            answer = stranger.get(f"/user/{name}/{path}", secure=True)
            assert (answer.status_code, answer.headers["Location"][:7]) == (302, "/login/")
    for path in paths[:3]:
        assert owner.log_in().get(f"/user/xanthippe/{path}", secure=True).status_code == 200
    for verb in ("new_token", "revoke_token"):
        assert other.log_in().post(f"/user/xanthippe/account/api_token/{verb}/", secure=True).status_code == 404
    assert works(owner.token)


def test_the_dashboard_shows_websites_at_a_glance_and_what_needs_attention(owner, other, agent, failed):
    owner.create(command="<script>alert(1)</script>")
    other.create()
    page = owner.log_in().get("/user/xanthippe/", secure=True).content.decode()
    assert '<a href="/user/xanthippe/websites/xanthippe.hostel.localhost/">xanthippe.hostel.localhost</a>' in page
    assert '<span class="state running">running</span>' in page
    assert "1 running" in page
    assert "What needs attention" not in page
    assert "<script>" not in page
    assert "sokrates" not in page
    agent.failure = replace(failed, detail="It said <script>alert(2)</script>.")
    agent.memory_bytes = 2000 << 20
    agent.certificates = {"www.shop.example": DnsElsewhere()}
    Domain.objects.create(
        website=owner.user.websites.get(), domain_name="Not.Proven.example", canonical_name="not.proven.example"
    )
    page = owner.log_in().get("/user/xanthippe/", secure=True).content.decode()
    assert '<span class="state failed">failed</span>' in page
    assert "It said &lt;script&gt;alert(2)&lt;/script&gt;." in page
    assert "All that runs takes 98% of your memory" in page
    assert "It got no certificate: The DNS for the domain points to another machine." in page
    assert "websites/xanthippe.hostel.localhost/domains/Not.Proven.example/" in page
    part = owner.browser.get("/user/xanthippe/at_a_glance/", secure=True).content.decode()
    assert part.lstrip().startswith("<div")
    assert "98% of your memory" in part


def test_the_dashboard_leads_to_the_consoles_that_were_opened_last(owner, agent):
    browser = owner.log_in()
    assert b"Open consoles" not in browser.get("/user/xanthippe/", secure=True).content
    agent.consoles = tuple(
        ConsoleReport(id=number, wanted=ConsoleRequest(), started_at=f"2026-11-23T0{number}:00:00+00:00")
        for number in range(1, 8)
    )
    page = browser.get("/user/xanthippe/", secure=True).content.decode()
    found = re.findall(r'<a href="/user/xanthippe/consoles/(\d)/">', page)
    assert found == ["7", "6", "5", "4", "3"]


def test_the_dashboard_of_many_websites_asks_no_more_than_that_of_one(owner, agent):
    browser = owner.log_in()
    owner.create()
    browser.get("/user/xanthippe/", secure=True)
    with CaptureQueriesContext(connection) as few:
        browser.get("/user/xanthippe/", secure=True)
    for number in range(15):
        owner.create(domain=f"w{number}-{owner.domain}")
    agent.calls.clear()
    with CaptureQueriesContext(connection) as many:
        page = browser.get("/user/xanthippe/", secure=True).content.decode()
    assert len(many) <= len(few) + 1 <= 7, "one more: to count those that are not shown"
    assert agent.calls == ["GET /tenants/xanthippe/overview"]
    assert "All 16 websites" in page
    assert "16 running" in page


def test_the_dashboard_stands_while_the_agent_is_away(owner, agent_away, agent):
    owner.create()
    page = owner.log_in().get("/user/xanthippe/", secure=True)
    assert page.status_code == 200
    assert b'<span class="state starting">starting</span>' in page.content
    assert b"The agent does not answer" in page.content
    assert agent.phase is Phase.DONE


@pytest.mark.parametrize(
    "path",
    [
        "/login/",
        "/api/docs/",
        "/nonsense/",
        "/user/xanthippe/",
        "/user/xanthippe/account/",
        "/user/xanthippe/websites/",
    ],
)
def test_every_page_has_the_navigation_and_strict_headers(owner, path):
    browser = owner.log_in() if path.startswith("/user/") else Client(headers={"host": HOST})
    page = browser.get(path, secure=True)
    assert b'<nav aria-label="Main">' in page.content
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert path == "/api/docs/" or f"script-src {ORIGIN}/static/;" in policy, "scripts lie at no address of users'"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Content-Length"] == str(len(page.content))
    text = page.content.decode()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)
    assert " style=" not in text
    assert "<style" not in text


def test_a_part_of_a_page_that_is_asked_for_after_the_session_loads_the_page_anew(owner, stranger):
    part = stranger.get("/user/xanthippe/websites/", secure=True, headers={"hx-request": "true"})
    assert (part.status_code, part.headers["HX-Refresh"], part.content) == (200, "true", b"")
    assert stranger.get("/user/xanthippe/websites/", secure=True).status_code == 302


def test_htmx_is_served_from_the_package_that_brings_it(owner):
    from django_htmx.jinja import htmx_script

    (path,) = re.findall(r'src="/static/([^"]+)"', htmx_script())
    assert (Path(django_htmx.__file__).parent / "static" / path).is_file()


def test_pages_over_plain_http_go_to_the_public_https_port(stranger):
    answer = stranger.get("/login/?next=/")
    assert (answer.status_code, answer.headers["Location"]) == (301, f"{ORIGIN}/login/?next=/")


def test_g2_a_dump_of_the_database_holds_no_usable_token(owner, stranger):
    shown = owner.log_in().post("/user/xanthippe/account/api_token/new_token/", secure=True)
    token = token_in(shown)
    dump = "\n".join(connection.connection.iterdump())
    assert ApiToken.objects.get().digest in dump
    assert token not in dump
    assert PASSWORD not in dump
    for word in set(re.findall(r"[0-9a-f]{40,}", dump)):
        assert not works(word)
        assert not works(word[:40])


def test_sessions_end(owner):
    owner.log_in()
    assert Login.objects.get().expire_date < timezone.now() + timedelta(days=15)
