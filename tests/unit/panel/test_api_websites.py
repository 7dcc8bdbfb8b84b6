"""The websites API: what real clients send, and the bodies they get, to the byte."""

import json
import socket
import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from hostel.panel.wanted.models import Tombstone
from hostel.panel.websites.models import Website
from hostel.wire.codec import to_jsonable
from hostel.wire.errors import (
    AgentUnreachable,
    DomainTaken,
    MalformedMessage,
    StaleSpec,
    UnknownWebsite,
    WebsiteDisabled,
)
from hostel.wire.website import Phase

COMMAND = "/home/xanthippe/.virtualenvs/v/bin/uvicorn --uds $DOMAIN_SOCKET asyncdjango.asgi:application "


def body_of(website: Website, **differences: Any) -> dict[str, Any]:
    nothing = {"reason": None, "detail": "", "stderr": []}
    name = website.domain_name
    webapp = {
        "id": website.pk,
        "command": website.command,
        "domains": [{"domain_name": name, "enabled": website.enabled}],
        "working_directory": "",
        "listens_on": "socket",
        "reload_strategy": "overlap",
        "start_deadline_s": 60.0,
        "drain_s": 30.0,
        "websocket_drain_s": 30.0,
        "grace_s": 10.0,
        "ws_spread_s": 10.0,
        "read_timeout_s": 300,
        "websocket_timeout_s": 3600,
        "buffer_requests": True,
        "buffer_responses": False,
        "max_body_mb": 100,
        "always_on": False,
        "expose_token": False,
        "force_https": False,
        "hsts_s": 0,
        "monitors_wake": False,
        "memory_mb": 512,
        "pids": 256,
        "cpu": 1.0,
        "sleep": "off",
        "sleep_after_s": 900,
        "state": "running",
        **nothing,
        "deploy": {"revision": website.revision, "phase": "done", **nothing},
    }
    return {
        "id": website.pk,
        "user": website.owner.username,
        "domain_name": name,
        "enabled": website.enabled,
        "webapp": {**webapp, **differences},
        "logfiles": {
            "access": f"/var/log/{name}.access.log",
            "error": f"/var/log/{name}.error.log",
            "server": f"/var/log/{name}.server.log",
        },
    }


def as_sent(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def test_create_answers_201_with_the_live_website_to_the_byte(owner, agent):
    response = owner.create(command=COMMAND)
    assert response.status_code == 201
    assert response.headers["Content-Type"] == "application/json"
    assert response.content == as_sent(body_of(Website.objects.get()))
    spec = agent.websites[owner.domain]
    assert (spec.command, spec.enabled, spec.tenant) == (COMMAND, True, "xanthippe")
    assert spec.version.revision == Website.objects.get().revision


def test_list_get_patch_reload_and_delete_answer_as_documented(owner):
    assert owner.call("GET", owner.websites_url).content == b"[]"
    owner.create(command=COMMAND)
    website = Website.objects.get()
    one = owner.websites_url + owner.domain + "/"
    assert owner.call("GET", owner.websites_url).content == as_sent([body_of(website)])
    assert owner.call("GET", one).content == as_sent(body_of(website))

    disabled = owner.call("PATCH", one, {"enabled": False})
    website.refresh_from_db()
    assert disabled.status_code == 200
    assert disabled.content == as_sent(body_of(website, state="disabled"))
    enabled = owner.call("PATCH", one, {"enabled": True})
    website.refresh_from_db()
    assert enabled.content == as_sent(body_of(website))

    reloaded = owner.call("POST", one + "reload/")
    assert (reloaded.status_code, reloaded.content) == (200, b'{"status":"OK"}')
    deleted = owner.call("DELETE", one)
    assert (deleted.status_code, deleted.content) == (204, b"")
    missing = owner.call("GET", one)
    assert (missing.status_code, missing.content) == (404, b'{"detail":"Not found."}')


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", '{"domain_name": "xanthippe.hostel.localhost", "webapp": {"command": "serve  "}}'),
        ("application/x-www-form-urlencoded", "domain_name=xanthippe.hostel.localhost&webapp.command=serve++"),
        (
            "multipart/form-data; boundary=B",
            (
                '--B\r\nContent-Disposition: form-data; name="domain_name"\r\n\r\nxanthippe.hostel.localhost\r\n'
                '--B\r\nContent-Disposition: form-data; name="webapp.command"\r\n\r\nserve  \r\n--B--\r\n'
            ),
        ),
    ],
)
def test_every_encoding_of_a_body_is_read(owner, content_type, body):
    response = owner.call("POST", owner.websites_url, body, content_type=content_type)
    assert response.status_code == 201, response.content
    assert response.json()["enabled"] is True
    assert response.json()["webapp"]["command"] == "serve  "
    changed = owner.call(
        "PATCH", owner.websites_url + owner.domain, "enabled=False", content_type="application/x-www-form-urlencoded"
    )
    assert changed.json()["enabled"] is False


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/user/xanthippe/websites/{}/reload",
        "/api/v1/user/xanthippe/websites//{}/reload//",
        "//api/v1//user/xanthippe/websites/{}/reload/",
    ],
)
def test_slashes_never_matter_and_never_redirect(owner, path):
    owner.create()
    response = owner.call("POST", "/", PATH_INFO=path.format(owner.domain))
    assert (response.status_code, response.content) == (200, b'{"status":"OK"}')


def test_names_keep_their_letter_case_and_are_found_in_any(owner, agent):
    created = owner.create(domain="Xanthippe.Hostel.localhost")
    assert created.json()["domain_name"] == "Xanthippe.Hostel.localhost"
    assert created.json()["logfiles"]["error"] == "/var/log/Xanthippe.Hostel.localhost.error.log"
    assert agent.websites[owner.domain].domain_name == "Xanthippe.Hostel.localhost"
    assert owner.call("GET", owner.websites_url + "XANTHIPPE.hostel.localhost/").status_code == 200
    assert owner.create().content == b'{"domain_name":["domain with this domain name already exists."]}'


def test_a_duplicate_is_refused_in_any_letter_case_and_changes_nothing(owner, agent):
    owner.create()
    version = agent.websites[owner.domain].version
    for domain in (owner.domain, owner.domain.upper(), owner.domain.title()):
        response = owner.create(domain=domain)
        assert response.status_code == 400
        assert response.content == b'{"domain_name":["domain with this domain name already exists."]}'
        assert response.headers["Hostel-Error-Code"] == "domain_exists"
    assert agent.websites[owner.domain].version == version
    assert agent.calls.count(f"PUT /websites/{owner.domain}") == 1


def test_unknown_keys_are_ignored_and_the_whole_object_may_be_patched_back(owner, agent):
    created = owner.create(surprise={"a": 1}).json()
    created["enabled"] = False
    created["webapp"]["command"] = "another"
    changed = owner.call("PATCH", owner.websites_url + owner.domain + "/", created)
    assert changed.status_code == 200
    assert (changed.json()["enabled"], changed.json()["webapp"]["command"]) == (False, "another")
    assert agent.websites[owner.domain].command == "another"


def test_a_patch_that_changes_nothing_starts_nothing(owner, agent):
    created = owner.create().json()
    again = owner.call("PATCH", owner.websites_url + owner.domain + "/", created)
    assert again.json() == created
    assert agent.calls.count(f"PUT /websites/{owner.domain}") == 1


def test_the_domain_of_a_website_cannot_be_patched(owner):
    owner.create()
    response = owner.call("PATCH", owner.websites_url + owner.domain, {"domain_name": "a-" + owner.domain})
    assert response.status_code == 400
    assert response.json() == {
        "domain_name": ["The domain of a website cannot be changed. Delete it and create another one."]
    }


def test_a_command_that_fails_is_a_201_that_says_why(owner, agent, failed):
    agent.failure = failed
    response = owner.create()
    trouble = {"reason": "exited", "detail": failed.detail, "stderr": list(failed.stderr)}
    website = Website.objects.get()
    assert response.status_code == 201
    assert response.json() == body_of(
        website, state="failed", **trouble, deploy={"revision": website.revision, "phase": "failed", **trouble}
    )


def test_a_reload_that_fails_is_a_409_that_says_why(owner, agent, failed):
    owner.create()
    agent.failure = failed
    response = owner.call("POST", owner.websites_url + owner.domain + "/reload/")
    assert response.status_code == 409
    assert list(response.json().items()) == [
        ("status", "error"),
        ("code", "deploy_failed"),
        ("error", failed.detail),
        ("reason", "exited"),
        ("stderr", list(failed.stderr)),
    ]


def test_a_disabled_website_cannot_be_reloaded(owner):
    owner.create(enabled=False)
    response = owner.call("POST", owner.websites_url + owner.domain + "/reload/")
    assert response.status_code == 409
    assert response.json()["error"] == "The website is disabled; enable it first."
    assert response.headers["Hostel-Error-Code"] == "website_disabled"


def test_a_reload_that_takes_longer_is_a_202(owner, agent):
    owner.create()
    agent.phase = Phase.STARTING
    response = owner.call("POST", owner.websites_url + owner.domain + "/reload/")
    assert (response.status_code, response.json()) == (202, {"status": "starting"})


def test_without_the_agent_everything_but_a_reload_is_kept_for_later(owner, agent_away, agent):
    created = owner.create()
    assert created.status_code == 201
    assert created.json()["webapp"]["state"] == "starting"
    assert created.json()["webapp"]["reason"] == "agent_unreachable"
    one = owner.websites_url + owner.domain + "/"
    assert owner.call("GET", owner.websites_url).json()[0]["webapp"]["state"] == "starting"
    assert owner.call("PATCH", one, {"enabled": False}).json()["webapp"]["state"] == "disabled"
    owner.call("PATCH", one, {"enabled": True})
    reload = owner.call("POST", one + "reload/")
    assert (reload.status_code, reload.json()["code"]) == (503, "agent_unreachable")
    assert int(reload.headers["Retry-After"]) > 0
    agent_away()
    assert agent.websites == {}
    assert owner.call("POST", one + "reload/").json() == {"status": "OK"}
    assert agent.websites[owner.domain].enabled is True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpcore leaves closing to Python
def test_a_socket_that_nobody_listens_at_counts_as_no_agent(owner, agent_away, agent_socket):
    with socket.socket(socket.AF_UNIX) as forsaken:
        forsaken.bind(str(agent_socket))
    try:
        assert owner.create().json()["webapp"]["reason"] == "agent_unreachable"
    finally:
        agent_socket.unlink()


def test_deleting_without_the_agent_leaves_a_tombstone(owner, agent_away, agent):
    owner.create()
    assert owner.call("DELETE", owner.websites_url + owner.domain).status_code == 204
    assert owner.call("DELETE", owner.websites_url + owner.domain).status_code == 404
    assert agent.deleted == []


def test_an_agent_that_has_not_heard_of_the_owner_is_told(owner, agent):
    agent.tenants.clear()
    assert owner.create().json()["webapp"]["state"] == "running"
    assert agent.tenants["xanthippe"].api_token is None


def test_a_refusal_by_the_agent_shows_as_failed(owner, agent):
    agent.refusal = MalformedMessage()
    webapp = owner.create().json()["webapp"]
    assert (webapp["state"], webapp["reason"]) == ("failed", "malformed_message")
    assert webapp["detail"] == "The message is not of the form this version of Hostel reads."


def test_a_domain_that_only_the_agent_knows_to_be_taken_is_refused_without_a_trace(owner, agent):
    """After a restore of the database. A tombstone would take down the website of whoever has it."""
    agent.refusal = DomainTaken()
    response = owner.create()
    assert (response.status_code, response.headers["Hostel-Error-Code"]) == (400, "domain_exists")
    assert response.content == b'{"domain_name":["domain with this domain name already exists."]}'
    assert not Website.objects.exists()
    assert not Tombstone.objects.exists()


@pytest.mark.parametrize("refusal", [UnknownWebsite, StaleSpec])
def test_a_website_deleted_while_its_change_waits_is_not_found(owner, agent, refusal):
    """The agent has seen the tombstone: it refuses what is older."""
    owner.create()
    one = owner.websites_url + owner.domain + "/"
    agent.refusal = refusal()
    changed = owner.call("PATCH", one, {"webapp": {"command": "another"}})
    assert (changed.status_code, changed.content) == (404, b'{"detail":"Not found."}')


def test_a_website_deleted_while_its_reload_waits_is_not_put_back(owner, agent, monkeypatch):
    owner.create()
    one = owner.websites_url + owner.domain + "/"

    def delete_meanwhile(name, **_):
        Website.objects.get(canonical_name=name).remove()
        raise UnknownWebsite

    monkeypatch.setattr("hostel.panel.agent.reload_website", delete_meanwhile)
    calls = len(agent.calls)
    reloaded = owner.call("POST", one + "reload/")
    assert (reloaded.status_code, reloaded.content) == (404, b'{"detail":"Not found."}')
    assert agent.calls[calls:] == []


def test_a_reload_reaches_an_agent_that_was_away_when_the_website_was_enabled(owner, agent):
    owner.create(enabled=False)
    one = owner.websites_url + owner.domain + "/"
    agent.refusal = AgentUnreachable()
    assert owner.call("PATCH", one, {"enabled": True}).status_code == 200
    agent.refusal = None
    assert agent.websites[owner.domain].enabled is False
    reloaded = owner.call("POST", one + "reload/")
    assert (reloaded.status_code, reloaded.content) == (200, b'{"status":"OK"}')
    assert agent.websites[owner.domain].enabled is True


def test_a_website_disabled_while_its_reload_waits_stays_disabled(owner, agent, monkeypatch):
    owner.create()
    one = owner.websites_url + owner.domain + "/"

    def disable_meanwhile(name, **_):
        Website.objects.get(canonical_name=name).change({"enabled": False})
        raise WebsiteDisabled

    monkeypatch.setattr("hostel.panel.agent.reload_website", disable_meanwhile)
    calls = len(agent.calls)
    reloaded = owner.call("POST", one + "reload/")
    assert (reloaded.status_code, reloaded.headers["Hostel-Error-Code"]) == (409, "website_disabled")
    assert agent.calls[calls:] == []


SETTINGS = {
    "reload_strategy": "replace",
    "start_deadline_s": 90.5,
    "drain_s": 0.0,
    "websocket_drain_s": 86_400.0,
    "grace_s": 1.0,
    "ws_spread_s": 600.0,
    "read_timeout_s": 3_600,
    "websocket_timeout_s": 1,
    "always_on": True,
    "expose_token": True,
    "force_https": True,
    "hsts_s": 600,
}


def test_settings_are_taken_shown_and_told_to_the_agent(owner, agent):
    created = owner.create(webapp={"command": "serve", **SETTINGS}).json()["webapp"]
    assert {name: created[name] for name in SETTINGS} == SETTINGS
    assert {name: to_jsonable(getattr(agent.websites[owner.domain], name)) for name in SETTINGS} == SETTINGS
    one = owner.websites_url + owner.domain + "/"
    changed = owner.call("PATCH", one, {"webapp": {"drain_s": 7, "always_on": False}}).json()["webapp"]
    assert {name: changed[name] for name in SETTINGS} == {**SETTINGS, "drain_s": 7.0, "always_on": False}
    assert changed["command"] == "serve"
    assert agent.websites[owner.domain].drain_s == 7.0
    form = owner.call("PATCH", one, "webapp.grace_s=2.5", content_type="application/x-www-form-urlencoded")
    assert (form.json()["webapp"]["grace_s"], form.json()["webapp"]["expose_token"]) == (2.5, True)


def test_the_operators_deadline_holds_where_the_owner_sets_none(owner, agent, settings):
    owner.create()
    limits = replace(settings.HOSTEL_CONFIG.limits, start_deadline_s=12.0)
    settings.HOSTEL_CONFIG = replace(settings.HOSTEL_CONFIG, limits=limits)
    one = owner.websites_url + owner.domain + "/"
    assert owner.call("GET", one).json()["webapp"]["start_deadline_s"] == 12.0
    owner.call("PATCH", one, {"webapp": {"start_deadline_s": 20}})
    assert agent.websites[owner.domain].start_deadline_s == 20.0


def _seconds(least: str, most: str, *, whole: bool = False) -> str:
    return f"Give a {'whole ' if whole else ''}number of seconds from {least} to {most}."


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("reload_strategy", ["both", "", 1], 'Give "overlap" or "replace".'),
        ("start_deadline_s", [0.9, 600.1, "soon", True, "nan", "9" * 1001, "inf", [], {}], _seconds("1", "600")),
        ("drain_s", [-1, 601, "-0.1", False], _seconds("0", "600")),
        ("websocket_drain_s", [-1, 86_401], _seconds("0", "86400")),
        ("grace_s", [0, 61, -1], _seconds("1", "60")),
        ("ws_spread_s", [-0.5, 601], _seconds("0", "600")),
        ("read_timeout_s", [0, 3_601, 1.5, "1.5", True, "9" * 1001], _seconds("1", "3600", whole=True)),
        ("websocket_timeout_s", [0, 86_401, "NoneType"], _seconds("1", "86400", whole=True)),
        ("always_on", ["perhaps", 7], "Must be a valid boolean."),
        ("expose_token", ["perhaps"], "Must be a valid boolean."),
        ("force_https", ["perhaps"], "Must be a valid boolean."),
        ("hsts_s", [-1, 63_072_001, 0.5], _seconds("0", "63072000", whole=True)),
    ],
)
def test_a_setting_out_of_bounds_is_told_what_is_accepted_and_nothing_changes(owner, agent, name, values, sentence):
    before = owner.create().json()
    one = owner.websites_url + owner.domain + "/"
    for value in values:
        response = owner.call("PATCH", one, {"enabled": False, "webapp": {"command": "other", name: value}})
        assert (response.status_code, response.json()) == (400, {"webapp": {name: [sentence]}}), value
    empty = owner.call("PATCH", one, {"webapp": {name: None}})
    assert (empty.status_code, empty.json()) == (400, {"webapp": {name: ["This field may not be null."]}})
    assert owner.call("GET", one).json() == before
    assert agent.calls.count(f"PUT /websites/{owner.domain}") == 1


def test_a_patch_with_a_bad_command_changes_nothing_else_either(owner, agent):
    before = owner.create().json()
    one = owner.websites_url + owner.domain + "/"
    response = owner.call("PATCH", one, {"enabled": False, "webapp": {"command": "two\nlines", "drain_s": 1}})
    assert response.status_code == 400
    assert list(response.json()["webapp"]) == ["command"]
    assert owner.call("GET", one).json() == before


def test_a_report_about_an_older_revision_counts_as_starting(owner, agent):
    owner.create()
    spec = agent.websites[owner.domain]
    Website.objects.update(revision=spec.version.revision + 1)
    webapp = owner.call("GET", owner.websites_url + owner.domain).json()["webapp"]
    assert (webapp["state"], webapp["deploy"]["phase"]) == ("running", "starting")


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_row_is_committed_before_the_agent_hears_of_it(owner, agent):
    seen: list[tuple[str, int]] = []

    def look(spec):
        with sqlite3.connect(settings.DATABASES["default"]["NAME"], timeout=0) as database:
            database.execute("BEGIN IMMEDIATE")  # fails where the panel still holds its transaction
            seen.extend(database.execute("SELECT canonical_name, revision FROM websites_website"))

    agent.on_put = look
    assert owner.create().json()["webapp"]["state"] == "running"
    assert seen == [(owner.domain, Website.objects.get().revision)]


def test_the_number_of_queries_does_not_grow_with_the_websites(owner, django_assert_num_queries):
    for prefix in ("", "a-", "b-"):
        owner.create(domain=prefix + owner.domain)
    with django_assert_num_queries(3):
        assert len(owner.call("GET", owner.websites_url).json()) == 3
    with django_assert_num_queries(3):
        owner.call("GET", owner.websites_url + owner.domain)


def test_owner_other_and_stranger_see_what_is_theirs(owner, other, stranger):
    owner.create()
    other.create()
    assert [site["user"] for site in owner.call("GET", owner.websites_url).json()] == ["xanthippe"]
    for path in (owner.websites_url, owner.websites_url + owner.domain, owner.websites_url + owner.domain + "/reload"):
        for method in ("GET", "POST", "PATCH", "DELETE"):
            foreign = other.call(method, path)
            assert foreign.status_code == 403
            assert foreign.content == b'{"detail":"You do not have permission to perform this action."}'
            nobody = stranger.generic(method, path, secure=True)
            assert nobody.status_code == 401
            assert nobody.content == b'{"detail":"Authentication credentials were not provided."}'
    assert other.call("GET", other.websites_url + owner.domain).status_code == 404
    assert owner.call("GET", owner.websites_url + owner.domain).status_code == 200


def test_an_account_that_does_not_exist_looks_like_anybody_elses(owner, other):
    for path in ("/api/v1/user/nobody/websites/", "/api/v1/user/sokrates/nonsense", "/api/v0/user/sokrates/files/"):
        response = owner.call("GET", path)
        assert response.status_code == 403
        assert response.content == b'{"detail":"You do not have permission to perform this action."}'


def test_a_browser_session_is_no_key_to_the_api(owner):
    browser: Client = owner.log_in()
    assert browser.get(f"/user/{owner.name}/", secure=True).status_code == 200
    assert browser.get(owner.websites_url, secure=True).status_code == 401
