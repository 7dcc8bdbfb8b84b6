"""The audit trail: every change has an entry, in its transaction, that says who, by which token, from where, what."""

import io
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError

from hostel.panel.accounts.models import User
from hostel.panel.audit import models as audit
from hostel.panel.audit.models import Deed, Entry
from hostel.panel.websites.models import Website

HOST = "www.hostel.localhost:8443"
URL = "/api/v1/user/xanthippe/audit/"
SECRET = "s3cret-" + "x" * 20


def entries(person: Any, query: str = "") -> list[dict[str, Any]]:
    return list(person.call("GET", f"/api/v1/user/{person.name}/audit/{query}").json()["entries"])


def deeds() -> list[tuple[str, str]]:
    return list(Entry.objects.order_by("pk").values_list("deed", "subject"))


def test_an_entry_says_who_by_what_from_where_and_what(owner):
    made = owner.call("POST", "/api/v1/user/xanthippe/tokens/", {"name": "ci", "scopes": ["websites:write"]}).json()
    owner.create()
    headers = {"authorization": f"Token {made['token']}", "x-real-ip": "192.0.2.7", "x-forwarded-for": "10.0.0.1"}
    sent = {"enabled": False, "webapp": {"drain_s": 5, "command": f"env A={SECRET} serve $DOMAIN_SOCKET"}}
    answer = owner.call("PATCH", f"{owner.websites_url}{owner.domain}/", sent, headers=headers)
    assert answer.status_code == 200
    entry = entries(owner, "?limit=1")[0]
    assert {**entry, "id": 0, "at": ""} == {
        "id": 0,
        "at": "",
        "by": {
            "via": "api",
            "user": "xanthippe",
            "token": {"id": made["id"], "name": "ci"},
            "address": "192.0.2.7",
        },
        "deed": "website.change",
        "subject": owner.domain,
        "details": {"enabled": False, "drain_s": 5.0, "command": None},
    }


def test_each_change_over_the_api_has_its_entry(owner):
    one, environment = f"{owner.websites_url}{owner.domain}/", f"{owner.websites_url}{owner.domain}/environment/"
    Entry.objects.all().delete()
    owner.create()
    owner.call("PATCH", one, {"webapp": {"drain_s": 1}})
    owner.call("PATCH", one, {"webapp": {"drain_s": 1}})  # changes nothing
    owner.call("POST", environment, {"name": "A", "value": SECRET, "is_secret": True})
    owner.call("DELETE", f"{environment}A/")
    owner.call("POST", f"{one}reload/")
    owner.call("DELETE", one)
    made = owner.call("POST", "/api/v1/user/xanthippe/tokens/", {"name": "ci", "scopes": ["files"]}).json()
    owner.call("DELETE", f"/api/v1/user/xanthippe/tokens/{made['id']}/")
    assert deeds() == [
        ("website.create", owner.domain),
        ("website.change", owner.domain),
        ("environment.change", owner.domain),
        ("environment.change", owner.domain),
        ("website.reload", owner.domain),
        ("website.delete", owner.domain),
        ("token.create", "ci"),
        ("token.delete", "ci"),
    ]
    rows = str(list(Entry.objects.values()))
    assert SECRET not in rows
    assert made["token"] not in rows
    assert [entry["details"] for entry in entries(owner)[-4:-2]] == [{"A": "removed"}, {"A": "set"}]


def test_what_files_are_written_and_deleted_is_noted(owner):
    url = "/api/v0/user/xanthippe/files/path/home/xanthippe/a%20b"
    Entry.objects.all().delete()
    owner.call("DELETE", url)
    assert deeds() == [("file.delete", "/home/xanthippe/a b")]


def test_pages_are_recorded(owner, small_agent):
    browser = owner.log_in()
    Entry.objects.all().delete()
    base, real = "/user/xanthippe/account/", {"x-real-ip": "2001:db8::1"}
    browser.post(f"{base}api_token/new_token/", secure=True, headers=real)
    browser.post(f"{base}api_token/revoke_token/", secure=True, headers=real)
    form = {"old_password": "correct horse battery", "new_password1": SECRET, "new_password2": SECRET}
    assert browser.post(base, form, secure=True, headers=real).status_code == 302
    assert [deed for deed, _ in deeds()] == ["full_token.create", "full_token.revoke", "password.change"]
    found = {(entry.via, entry.user_name, entry.address, entry.token_id) for entry in Entry.objects.all()}
    assert found == {("page", "xanthippe", "2001:db8::1", None)}
    assert SECRET not in str(list(Entry.objects.values()))


def test_the_operators_commands_are_recorded_and_the_user_sees_them(db, agent):
    for words in (
        ["user", "add", "xanthippe"],
        ["token", "create", "xanthippe"],
        ["user", "limits", "xanthippe", "websites=3", "memory_mb=default"],
        ["user", "suspend", "xanthippe", "--reason", "abuse"],
        ["user", "resume", "xanthippe"],
    ):
        call_command(*words, stdout=io.StringIO(), stderr=io.StringIO())
    assert [deed for deed, _ in deeds()] == [
        "user.add",
        "full_token.create",
        "user.limits",
        "user.suspend",
        "user.resume",
    ]
    assert set(Entry.objects.values_list("via", "user_name", "address")) == {("operator", "", "")}
    assert Entry.objects.get(deed=Deed.USER_LIMITS).details == {"user_websites": 3, "user_memory_mb": None}


def test_who_gets_a_removed_users_name_reads_nothing_of_the_trail(owner, agent):
    owner.create()
    call_command("user", "remove", "xanthippe", stdout=io.StringIO(), stderr=io.StringIO())
    new = type(owner)("xanthippe", agent)
    assert {entry["deed"] for entry in entries(new)} == {"user.add", "full_token.create"}
    assert Entry.objects.filter(account=None, deed="user.remove").exists(), "the operator's copy stays"


def test_others_read_nothing_and_pages_follow_each_other(owner, other):
    for number in range(5):
        owner.create(domain=f"n{number}-xanthippe.hostel.localhost")
    assert other.call("GET", URL).status_code == 403
    assert "xanthippe" not in str(entries(other))
    seen: list[dict[str, Any]] = []
    url: str | None = f"{URL}?limit=3"
    while url:
        page = owner.call("GET", url.removeprefix(f"https://{HOST}")).json()
        seen += page["entries"]
        url = page["next"]
    assert [entry["id"] for entry in seen] == sorted(
        Entry.objects.filter(account=owner.user).values_list("pk", flat=True)
    )[::-1]
    for wrong, words in (("limit=0", "1 to 200"), ("limit=x", "1 to 200"), ("before=-1", "Give the id of an entry")):
        refused = owner.call("GET", f"{URL}?{wrong}")
        assert refused.status_code == 400
        assert words in str(refused.json())


def test_a_change_that_cannot_be_recorded_is_not_made(owner, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("disk is full")

    monkeypatch.setattr(audit.Entry.objects, "create", fail)
    assert owner.create().status_code == 507
    assert not Website.objects.exists()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_an_entry_is_only_written_within_its_change():
    with pytest.raises(RuntimeError, match="transaction of the change"):
        audit.record(User(username="xanthippe"), Deed.USER_ADD)


def test_the_oldest_entries_go(owner, other):
    other.create()
    kept = Entry.objects.filter(account=other.user).count()
    for number in range(6):
        owner.create(domain=f"n{number}-xanthippe.hostel.localhost")
    Entry.objects.drop_oldest(owner.user, keep=4)
    assert [entry["subject"][:2] for entry in entries(owner)] == ["n5", "n4", "n3", "n2"]
    Entry.objects.drop_oldest(owner.user, keep=4)
    assert len(entries(owner)) == 4
    assert Entry.objects.filter(account=other.user).count() == kept
