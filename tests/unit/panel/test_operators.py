"""The operators' pages: there for nobody else; and what is done there, the agent hears of."""

import re

import pytest

from hostel.panel.accounts.models import User
from hostel.panel.audit.models import Entry
from hostel.panel.wanted.models import Tombstone

PASSWORD = "correct horse battery"
ORIGIN = "https://www.hostel.localhost:8443"
USERS = "/operator/accounts/user/"


@pytest.fixture
def operator(owner):
    """xanthippe's browser, and she is an operator."""
    assert owner.user.set_operator(True)
    return owner.log_in()


def send(browser, path, **fields):
    """Commits what the pages do, so that what follows a commit happens."""
    answer = browser.post(f"{USERS}{path}", fields, secure=True)
    assert answer.status_code == 302, re.findall(r"errorlist[^>]*>(.*?)</ul>", answer.content.decode(), re.DOTALL)
    return answer


@pytest.mark.parametrize("path", ["/operator/", USERS, f"{USERS}add/", "/operator/login/", "/operator/nonsense/"])
def test_for_everybody_else_there_is_no_such_page(owner, other, stranger, path):
    for browser in (stranger, other.log_in()):
        answer = browser.get(path, secure=True)
        assert answer.status_code == 404
        assert b"There is no such page" in answer.content
    owner.user.set_operator(True)
    expected = 404 if path.endswith(("login/", "nonsense/")) else 200
    assert owner.log_in().get(path, secure=True).status_code == expected, "positive control"
    assert owner.user.set_operator(False)
    assert owner.log_in().get(path, secure=True).status_code == 404


def test_only_operators_are_led_there(operator, other):
    assert b'href="/operator/"' in operator.get("/user/xanthippe/", secure=True).content
    assert b"operator" not in other.log_in().get("/user/sokrates/", secure=True).content


def test_pages_keep_the_strict_rules(operator):
    page = operator.get(f"{USERS}add/", secure=True)
    rules = page.headers["Content-Security-Policy"]
    assert (
        "script-src https://www.hostel.localhost:8443/static/ https://www.hostel.localhost:8443/operator/jsi18n/;"
        in rules
    )
    assert "unsafe" not in rules
    assert not re.findall(r"<script(?![^>]*src=)[^>]*>|\son\w+=| style=", page.content.decode())


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_user_is_added_suspended_limited_and_removed(agent, owner):
    owner.user.set_operator(True)
    browser = owner.log_in()
    send(browser, "add/", username="platon", password="cave and shadows 7")
    user = User.objects.get(username="platon")
    assert user.check_password("cave and shadows 7")
    assert agent.tenants["platon"].limits == user.plan.user()
    send(browser, f"{user.pk}/change/", memory_mb="4096", websites="", new_password="light outside 77")
    user.refresh_from_db()
    assert user.own_limits == {"user_memory_mb": 4096}
    assert user.check_password("light outside 77")
    assert agent.tenants["platon"].limits.memory_bytes == 4096 << 20
    send(browser, f"{user.pk}/change/", memory_mb="")
    user.refresh_from_db()
    assert user.own_limits == {}
    for action, is_suspended in (("suspend", True), ("resume", False)):
        send(browser, "", action=action, _selected_action=[user.pk])
        assert agent.tenants["platon"].suspended is is_suspended
    send(browser, f"{user.pk}/delete/", post="yes")
    assert not User.objects.filter(username="platon").exists()
    assert "platon" not in agent.tenants
    assert Tombstone.objects.filter(name="platon").exists()
    deeds = [(entry.deed, entry.user_name, entry.via) for entry in Entry.objects.filter(account_name="platon")]
    expected = ["add", "limits", "limits", "suspend", "resume", "remove"]
    assert [deed for deed, *_ in deeds if deed.startswith("user.")] == [f"user.{word}" for word in expected]
    assert {who[1:] for who in deeds} == {("xanthippe", "page")}


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_what_the_agent_did_not_hear_is_said(agent, owner, agent_away):
    owner.user.set_operator(True)
    browser = owner.log_in()
    send(browser, "add/", username="aristoteles", password="cave and shadows 7")
    page = browser.get(USERS, secure=True)
    assert b"It will be so when the agent has seen this." in page.content
    agent_away()


def test_what_cannot_be_is_refused_beside_its_field(operator, owner):
    for fields, words in (
        ({"username": "www", "password": "cave and shadows 7"}, "www"),
        ({"username": "Ä", "password": "cave and shadows 7"}, "name"),
        ({"username": "platon", "password": "short"}, "too short"),
        ({"username": "xanthippe", "password": "cave and shadows 7"}, "already exists"),
    ):
        answer = operator.post(f"{USERS}add/", fields, secure=True)
        assert answer.status_code == 200
        assert words in answer.content.decode()
    answer = operator.post(f"{USERS}{owner.user.pk}/change/", {"memory_mb": "-5"}, secure=True)
    assert "expected a whole number above 0" in answer.content.decode()
    operator.post(USERS, {"action": "suspend", "_selected_action": [owner.user.pk]}, secure=True)
    assert User.objects.get(pk=owner.user.pk).is_active, "nobody locks himself out"
    operator.post(f"{USERS}{owner.user.pk}/change/", {"is_superuser": "", "is_active": ""}, secure=True)
    assert User.objects.get(pk=owner.user.pk).is_superuser


def test_an_operator_removes_everybody_but_himself_and_has_one_place_for_the_password(operator, owner, other):
    assert operator.post(f"{USERS}{owner.user.pk}/delete/", {"post": "yes"}, secure=True).status_code == 403
    both = [owner.user.pk, other.user.pk]
    fields = {"action": "delete_selected", "_selected_action": both, "post": "yes"}
    assert operator.post(USERS, fields, secure=True).status_code == 302
    assert list(User.objects.values_list("username", flat=True)) == ["xanthippe"]
    changed = operator.get("/operator/password_change/", secure=True)
    assert changed.headers["Location"] == "/user/xanthippe/account/"
