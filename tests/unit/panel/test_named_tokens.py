"""Tokens of limited power: made, shown once, held to their scopes and their end."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from hostel.panel.accounts.models import NAMED_TOKENS_MOST, NamedToken, Scope, User, digest_of
from hostel.panel.accounts.uses import Uses, uses
from hostel.panel.audit.models import Entry
from hostel.panel.websites.models import Website

URL = "/api/v1/user/xanthippe/tokens/"
SCOPES = [scope.value for scope in Scope]


def make(person: Any, name: str = "ci", **extra: Any) -> Any:
    return person.call("POST", URL, {"name": name, "scopes": ["websites:read"], **extra})


def call_with(person: Any, text: str, method: str, path: str, data: Any = None) -> Any:
    return person.call(method, path, data, headers={"authorization": f"Token {text}"})


def test_a_token_is_made_shown_once_and_stored_as_a_digest(owner):
    made = make(owner, expires_at="2999-01-31T12:00:00+01:00", scopes=["files", "websites:read", "files"])
    assert made.status_code == 201
    body = made.json()
    text = body.pop("token")
    assert len(text) == 40
    row = NamedToken.objects.get()
    assert body == {
        "id": row.pk,
        "name": "ci",
        "scopes": ["files", "websites:read"],
        "created_at": body["created_at"],
        "expires_at": "2999-01-31T11:00:00Z",
        "last_used_at": None,
    }
    assert row.digest == digest_of(text)
    assert owner.call("GET", URL).json() == [body]
    with connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names() if cursor.execute(f"SELECT * FROM {name}")]
        rows = [str(cursor.execute(f"SELECT * FROM {name}").fetchall()) for name in tables]
    assert row.digest in "".join(rows)
    assert text not in "".join(rows)


def test_a_deleted_token_is_refused_at_once(owner, other):
    made = make(owner).json()
    websites = owner.websites_url
    assert call_with(owner, made["token"], "GET", websites).status_code == 200
    assert other.call("DELETE", f"/api/v1/user/sokrates/tokens/{made['id']}/").status_code == 404
    assert owner.call("DELETE", f"{URL}{made['id']}/").status_code == 204
    assert owner.call("DELETE", f"{URL}{made['id']}/").status_code == 404
    refused = call_with(owner, made["token"], "GET", websites)
    assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (401, "invalid_token")


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [("websites:read", {"read"}), ("websites:write", {"read", "write"}), ("files", {"files"})],
)
def test_a_token_does_what_its_scopes_say_and_is_told_what_it_lacks(owner, scope, allowed):
    owner.create()
    text = make(owner, scopes=[scope]).json()["token"]
    one = f"{owner.websites_url}{owner.domain}/"
    calls = {
        "read": ("websites:read", [("GET", owner.websites_url), ("GET", one), ("GET", f"{one}environment/")]),
        "write": ("websites:write", [("PATCH", one), ("POST", f"{one}reload/"), ("POST", f"{one}environment/")]),
        "files": ("files", [("GET", "/api/v0/user/xanthippe/files/tree/")]),
    }
    for kind, (needed, of_kind) in calls.items():
        for method, path in of_kind:
            answer = call_with(owner, text, method, path, {})
            if kind in allowed:
                assert answer.status_code in (200, 400), (method, path, answer.content)
            else:
                assert answer.status_code == 403
                assert answer.json() == {"detail": f"This token lacks the scope `{needed}`; it has `{scope}`."}
                assert answer.headers["Hostel-Error-Code"] == "scope_missing"


def test_no_named_token_makes_tokens_or_reads_the_trail(owner):
    text = make(owner, scopes=SCOPES).json()["token"]
    for method, path in (("GET", URL), ("POST", URL), ("DELETE", f"{URL}1/"), ("GET", "/api/v1/user/xanthippe/audit/")):
        answer = call_with(owner, text, method, path, {})
        assert (answer.status_code, answer.headers["Hostel-Error-Code"]) == (403, "scope_missing")
        assert answer.json()["detail"].startswith("Only your account's full token may do this; this one has `files`, ")
    assert NamedToken.objects.count() == 1


def test_each_address_asks_for_the_scope_of_its_place(db):
    """The list is read from urls.py: a new address is sorted here, or reserved for the full token."""
    found: dict[str, Any] = {}
    for each in get_resolver().url_patterns:
        view = getattr(getattr(each, "callback", None), "cls", None)
        if isinstance(each, URLPattern) and "<str:username>" in str(each.pattern) and view:
            found[str(each.pattern)] = view.scopes
    for pattern, scopes in found.items():
        if "/websites/" in pattern or "/domains/" in pattern:
            assert scopes == (Scope.WEBSITES_READ, Scope.WEBSITES_WRITE), pattern
        elif "/files/" in pattern:
            assert scopes == (Scope.FILES, Scope.FILES), pattern
        elif "<path:rest>" not in pattern:
            assert scopes is None, pattern
    assert len(found) >= 13


def test_an_expired_token_is_refused_in_words(owner):
    text = make(owner, expires_at=(timezone.now() + timedelta(hours=1)).isoformat()).json()["token"]
    assert call_with(owner, text, "GET", owner.websites_url).status_code == 200
    NamedToken.objects.update(expires_at=datetime(2026, 1, 31, 12, tzinfo=UTC))
    refused = call_with(owner, text, "GET", owner.websites_url)
    assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (401, "token_expired")
    assert refused.json() == {"detail": "The token 'ci' expired at 2026-01-31T12:00:00Z; make another one."}


def test_a_use_is_noted_without_a_write_and_written_later(owner, django_assert_num_queries):
    made = make(owner).json()
    row = NamedToken.objects.get()
    with django_assert_num_queries(3):  # two look-ups of the token, the list
        assert call_with(owner, made["token"], "GET", owner.websites_url).status_code == 200
    row.refresh_from_db()
    assert row.last_used_at is None
    shown = owner.call("GET", URL).json()[0]["last_used_at"]
    assert shown is not None
    uses.write()
    row.refresh_from_db()
    assert row.last_used_at is not None
    assert uses.last(row.pk, row.last_used_at) == row.last_used_at
    assert row.last_used_at.isoformat().startswith(shown[:19])


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_use_is_written_by_a_thread_of_its_own(monkeypatch):
    user = User.objects.add("xanthippe", password="x")
    token, _ = user.add_token("ci", scopes=[Scope.FILES], expires_at=None)
    monkeypatch.setattr("hostel.panel.accounts.uses.WRITE_AFTER_S", 0.0)
    at = timezone.now()
    Uses(NamedToken).note(token.pk, at)
    for thread in [each for each in threading.enumerate() if isinstance(each, threading.Timer) and each.interval == 0]:
        thread.join(10)
    token.refresh_from_db()
    assert token.last_used_at == at


def test_the_full_token_goes_on_as_ever(owner):
    make(owner, scopes=["files"])
    assert owner.call("GET", owner.websites_url).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "key", "words"),
    [
        ({"name": "-x"}, "name", "Give 1 to 50 letters, digits,"),
        ({"name": "x" * 51}, "name", "Give 1 to 50 letters, digits,"),
        ({"scopes": []}, "scopes", "may not be empty"),
        ({"scopes": ["all"]}, "scopes", "is not a valid choice"),
        ({"scopes": "files"}, "scopes", "Expected a list"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at", "Give a time in the future with its zone"),
        ({"expires_at": "tomorrow"}, "expires_at", "Give a time in the future with its zone"),
        ({"expires_at": "9999-12-31T23:59:59-23:00"}, "expires_at", "Give a time in the future with its zone"),
        ({"expire_at": None}, "expire_at", "There is no such key here"),
    ],
)
def test_what_no_token_can_be_is_refused_in_words(owner, wrong, key, words):
    refused = make(owner, **wrong)
    assert refused.status_code == 400
    assert words in str(refused.json()[key])
    assert not NamedToken.objects.exists()


def test_names_are_ones_own_and_their_number_is_limited(owner, other):
    assert make(owner).status_code == 201
    taken = make(owner)
    assert (taken.status_code, taken.headers["Hostel-Error-Code"]) == (400, "token_exists")
    assert taken.json() == {"name": ["You have a token 'ci' already."]}
    url = "/api/v1/user/sokrates/tokens/"
    assert other.call("POST", url, {"name": "ci", "scopes": ["files"]}).status_code == 201
    for number in range(NAMED_TOKENS_MOST - 1):
        owner.user.add_token(f"n{number}", scopes=[Scope.FILES], expires_at=None)
    one_more = make(owner, "last")
    assert (one_more.status_code, one_more.headers["Hostel-Error-Code"]) == (403, "limit_tokens")
    assert Entry.objects.filter(subject="last").count() == 0


def test_a_named_token_cannot_have_the_full_one_handed_out(owner):
    """Whoever may set a command would read it. Control: the full token may, and what is so already may be sent."""
    owner.create()
    one = f"{owner.websites_url}{owner.domain}/"
    text = make(owner, scopes=["websites:write"]).json()["token"]
    exposing = {"webapp": {"expose_token": True, "command": "env >out"}}
    refused = call_with(owner, text, "PATCH", one, exposing)
    assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (403, "scope_missing")
    new = {"domain_name": f"a-{owner.domain}", "enabled": True, **exposing}
    assert call_with(owner, text, "POST", owner.websites_url, new).status_code == 403
    assert not Website.objects.filter(expose_token=True).exists()
    assert owner.call("PATCH", one, {"webapp": {"expose_token": True}}).status_code == 200
    assert call_with(owner, text, "PATCH", one, {"webapp": {"expose_token": True, "drain_s": 3}}).status_code == 200
