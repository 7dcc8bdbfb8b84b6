"""Bad input to the API gets a clear error, and nothing is lost."""

import json

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.test import Client

from hostel.panel.faults import storage_error
from hostel.panel.websites import deploy
from hostel.panel.websites.models import Website
from hostel.wire.errors import DiskLimitReached

HOST = "www.hostel.localhost:8443"


@pytest.mark.parametrize(
    "domain",
    [
        "www.hostel.localhost",
        "API.hostel.localhost",
        "www-xanthippe.hostel.localhost",
        "sokrates.hostel.localhost",
        "a-sokrates.hostel.localhost",
        "a.xanthippe.hostel.localhost",
        "-xanthippe.hostel.localhost",
        "example.org.",
        "192.0.2.7",
        "org",
        "localhost",
        "a.www.hostel.localhost",
        "xanthippe.hostel.localhost/..",
        "xanthíppe.hostel.localhost",
        "a" * 63 + "-xanthippe.hostel.localhost",
        "x" * 5000,
        "..",
        "xanthippe.hostel.localhost.",
        "",
        7,
        None,
        ["xanthippe.hostel.localhost"],
        {"a": "b"},
        True,
        "xanthippe.hostel.localhost\0",
        "\ud800.hostel.localhost",
    ],
)
def test_a_domain_that_cannot_be_used_is_refused(owner, agent, domain):
    wanted = {"domain_name": domain, "enabled": True, "webapp": {"command": "serve"}}
    response = owner.call("POST", owner.websites_url, wanted)
    assert response.status_code == 400, response.content
    assert list(response.json()) == ["domain_name"]
    assert all(isinstance(sentence, str) for sentence in response.json()["domain_name"])
    assert response.headers["Hostel-Error-Code"]
    assert not Website.objects.exists()
    assert agent.websites == {}


@pytest.mark.parametrize("command", ["", " ", "a\nb", "a\rb", "a\0b", "x" * 16_385, None, ["serve"], "\udfff"])
def test_a_command_that_cannot_be_run_is_refused(owner, command):
    response = owner.create(webapp={"command": command})
    assert response.status_code == 400, response.content
    assert list(response.json()["webapp"]) == ["command"]
    assert not Website.objects.exists()


@pytest.mark.parametrize(
    ("wanted", "body"),
    [
        ({}, b'{"domain_name":["This field is required."],"webapp":["This field is required."]}'),
        ([], b'{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}'),
        ("null", b'{"non_field_errors":["No data provided"]}'),
        ("7", b'{"non_field_errors":["Invalid data. Expected a dictionary, but got int."]}'),
        (
            {"domain_name": "xanthippe.hostel.localhost", "webapp": {}},
            b'{"webapp":{"command":["This field is required."]}}',
        ),
        (
            {"domain_name": "xanthippe.hostel.localhost", "webapp": "serve"},
            b'{"webapp":{"non_field_errors":["Invalid data. Expected a dictionary, but got str."]}}',
        ),
        (
            {"domain_name": "xanthippe.hostel.localhost", "enabled": "perhaps", "webapp": {"command": "serve"}},
            b'{"enabled":["Must be a valid boolean."]}',
        ),
    ],
)
def test_a_body_of_the_wrong_shape_is_refused_in_drfs_words(owner, wanted, body):
    response = owner.call("POST", owner.websites_url, wanted)
    assert (response.status_code, response.content) == (400, body)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"a": NaN}', b"\xff\xfe"])
def test_what_is_no_json_is_refused(owner, text):
    response = owner.call("POST", owner.websites_url, text)
    assert response.status_code == 400
    assert response.json()["detail"].startswith("JSON parse error")
    assert response.json()["code"] == "parse_error"


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("application/x-www-form-urlencoded", "&".join(f"a{number}=1" for number in range(1100))),
        ("multipart/form-data", "no boundary"),
        ("multipart/form-data; boundary=B", "--B\r\nnonsense"),
        ("application/json; charset=nonsense", "{}"),
        ("application/x-www-form-urlencoded; charset=nonsense", "domain_name=%ff%fe"),
    ],
)
def test_strange_forms_are_refused(owner, content_type, text):
    response = owner.call("POST", owner.websites_url, text, content_type=content_type)
    assert response.status_code == 400, response.content


@pytest.mark.parametrize(
    ("authorization", "detail"),
    [
        ("", "Authentication credentials were not provided."),
        ("Bearer " + "0" * 40, "Authentication credentials were not provided."),
        ("Token", "Invalid token header. No credentials provided."),
        ("Token a b", "Invalid token header. Token string should not contain spaces."),
        ("Token " + "0" * 40, "Invalid token."),
        ("Token " + "0" * 39, "Invalid token."),
        ("Token é", None),
    ],
)
def test_only_trouble_with_the_token_is_a_401(owner, authorization, detail):
    response = owner.call("GET", owner.websites_url, headers={"authorization": authorization})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Token"
    assert list(response.json()) == ["detail"]
    if detail:
        assert response.json()["detail"] == detail


def test_other_methods_and_other_media_types_are_named(owner):
    put = owner.call("PUT", owner.websites_url, {})
    assert (put.status_code, put.json()["detail"]) == (405, 'Method "PUT" not allowed.')
    assert put.json()["code"] == put.headers["Hostel-Error-Code"] == "method_not_allowed"
    xml = owner.call("POST", owner.websites_url, "<a/>", content_type="text/xml")
    assert (xml.status_code, xml.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*", "nonsense"])
def test_the_answer_is_json_whatever_is_accepted(owner, accept):
    response = owner.call("GET", owner.websites_url + "?format=html", headers={"accept": accept})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")


def test_unknown_endpoints_are_404_in_json(owner):
    for path in ("/api/v1/user/xanthippe/nonsense/", "/api/nonsense", "/api/"):
        response = owner.call("POST", path)
        assert response.status_code == 404
        if path != "/api/":
            assert response.content == b'{"detail":"Not found."}'
        assert response.headers["Content-Type"] == "application/json"


def test_a_user_is_throttled_apart_from_others(owner, other, limit):
    limit(requests_per_minute=3)
    for _ in range(3):
        assert owner.call("GET", owner.websites_url).status_code == 200
    response = owner.call("GET", owner.websites_url)
    assert response.status_code == 429
    seconds = int(response.headers["Retry-After"])
    assert 0 < seconds <= 20
    unit = "second" if seconds == 1 else "seconds"
    assert response.json() == {"detail": f"Request was throttled. Expected available in {seconds} {unit}."}
    assert other.call("GET", other.websites_url).status_code == 200


def test_g3_tokens_cannot_be_tried_without_end(owner, limit):
    limit(requests_per_minute=3)
    wrong = {"authorization": "Token " + "0" * 40, "x-real-ip": "192.0.2.1"}
    codes = [owner.call("GET", owner.websites_url, headers=wrong).status_code for _ in range(5)]
    assert codes == [401, 401, 401, 429, 429]
    nothing = {"authorization": "", "x-real-ip": "192.0.2.1"}
    assert owner.call("GET", owner.websites_url, headers=nothing).status_code == 429
    elsewhere = {**wrong, "x-real-ip": "192.0.2.2"}
    assert owner.call("GET", owner.websites_url, headers=elsewhere).status_code == 401
    neighbour = {"x-real-ip": "192.0.2.1"}
    assert owner.call("GET", owner.websites_url, headers=neighbour).status_code == 200, "a valid token is not punished"


def test_an_ipv6_network_counts_as_one_address(owner, limit):
    limit(requests_per_minute=1)
    codes = [
        owner.call("GET", "/api/x", headers={"authorization": "Token 0", "x-real-ip": f"2001:db8::{host}"}).status_code
        for host in range(2)
    ]
    assert codes == [401, 429]


def test_a_website_more_than_the_plan_allows_is_refused_and_leaves_nothing(owner, other, agent):
    owner.user.change_limits({"user_websites": 2})
    owner.create()
    owner.create(domain="two-xanthippe.hostel.localhost")
    refused = owner.create(domain="three-xanthippe.hostel.localhost")
    assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (403, "limit_websites")
    assert refused.json()["code"] == "limit_websites"
    assert "You may have 2 websites (limit `websites`)" in refused.json()["detail"]
    assert "hostel user limits xanthippe websites=" in refused.json()["detail"]
    assert len(agent.websites) == owner.user.websites.count() == 2
    assert owner.create().json() == {"domain_name": ["domain with this domain name already exists."]}, "as ever"
    assert other.create().status_code == 201
    owner.user.change_limits({"user_websites": 3})
    assert owner.create(domain="three-xanthippe.hostel.localhost").status_code == 201


def test_a_website_refused_for_a_full_home_leaves_nothing(owner, agent):
    agent.refusal = DiskLimitReached("The home holds 6000 MiB of 5120 (limit `disk_mb`).")
    refused = owner.create()
    assert (refused.status_code, refused.json()["code"]) == (403, "limit_disk")
    assert "limit `disk_mb`" in refused.json()["detail"]
    assert owner.user.websites.count() == 0
    agent.refusal = None
    assert owner.create().status_code == 201


def test_plain_http_is_refused_in_words_and_never_redirected(owner):
    headers = {"host": HOST, "authorization": f"Token {owner.token}"}
    response = Client().post(owner.websites_url, headers=headers)
    assert response.status_code == 403
    assert response.json() == {
        "detail": f"Use HTTPS: https://{HOST}{owner.websites_url}",
        "code": "https_required",
    }
    behind_edge = Client().get(owner.websites_url, headers={**headers, "x-forwarded-proto": "https"})
    assert behind_edge.status_code == 200


def test_an_unknown_host_is_refused(owner):
    response = owner.call("GET", owner.websites_url, headers={"host": "evil.example"})
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ("database is locked", 503, "database_busy"),
        ("database or disk is full", 507, "database_full"),
        ("disk I/O error", 503, "database_unusable"),
    ],
)
def test_trouble_with_the_database_is_told_without_a_traceback(owner, monkeypatch, words, status, code):
    def fail(**values):
        raise OperationalError(words)

    monkeypatch.setattr(deploy, "create", fail)
    response = owner.create()
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["Retry-After"] == "5"
    assert words not in response.content.decode()


def test_a_full_disk_is_told_as_such_where_sqlite_speaks_of_io(owner, monkeypatch):
    monkeypatch.setattr("hostel.panel.faults._SMALLEST_ROOM", 1 << 62)
    assert storage_error(OperationalError("disk I/O error")).status == 507
    assert storage_error(OperationalError("database is locked")).status == 503


def test_trouble_with_the_database_within_a_session_is_told_on_a_page(owner, monkeypatch, settings):
    """Django answers a session that it cannot save with 400, as if the visitor had done something wrong."""

    def fail(session, must_create=False):
        raise UpdateError from OperationalError("database or disk is full")

    owner.log_in()
    monkeypatch.setattr(SessionStore, "save", fail)
    settings.SESSION_SAVE_EVERY_REQUEST = True
    page = owner.browser.get(f"/user/{owner.name}/account/", secure=True)
    assert (page.status_code, page.headers["Retry-After"]) == (507, "5")
    assert b"The disk is full" in page.content
    assert b"Traceback" not in page.content


def test_a_mistake_of_ours_is_logged_and_not_shown(owner, monkeypatch, caplog):
    def fail(**values):
        raise ZeroDivisionError("inner workings")

    monkeypatch.setattr(deploy, "create", fail)
    response = owner.create()
    assert (response.status_code, response.json()["code"]) == (500, "fault")
    assert "inner workings" not in response.content.decode()
    assert "api call failed" in caplog.text


def test_g1_tokens_never_reach_the_log(owner, caplog, agent_away):
    wrong = "f" * 40
    for token in (owner.token, wrong):
        headers = {"authorization": f"Token {token}"}
        for path in (owner.websites_url, "/api/x", owner.websites_url + "nonsense"):
            for data in ({"api_token": token}, "{" + token):
                owner.call("POST", path, data, headers=headers)
    owner.log_in().post(f"/user/{owner.name}/account/api_token/new_token/", secure=True)
    assert owner.token not in caplog.text
    assert wrong not in caplog.text


def test_the_description_and_its_pages_are_public(stranger):
    schema = stranger.get("/api/schema", secure=True)
    assert schema.status_code == 200
    description = json.loads(schema.content)
    assert description["openapi"].startswith("3.")
    reload = description["paths"]["/api/v1/user/{username}/websites/{domain_name}/reload/"]["post"]
    assert set(reload["responses"]) == {"200", "202", "401", "403", "404", "409", "429", "503"}
    docs = stranger.get("/api/docs/", secure=True)
    assert b"swagger-ui-bundle.js" in docs.content
    assert "unsafe" not in docs.headers["Content-Security-Policy"]
