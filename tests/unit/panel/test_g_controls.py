"""Group G in the panel alone: each test has its positive control, the same probe with that one defence left out."""

import json
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework import serializers

from hostel.panel.accounts.guessing import logins
from hostel.panel.accounts.models import ApiToken, User
from hostel.panel.api import views
from hostel.panel.api.permissions import HasScope, IsThatUser
from hostel.panel.websites.models import Website

HOST = "www.hostel.localhost:8443"
PASSWORD = "correct horse battery"


# -- G4


def addresses_of_users() -> list[str]:
    """Every address of the panel with a user name in it, as a pattern."""
    return [pattern for pattern in addresses_below(get_resolver().url_patterns) if "<str:username>" in pattern]


def addresses_below(found: Iterable[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for each in found:
        if isinstance(each, URLResolver):
            yield from addresses_below(each.url_patterns, f"{prefix}{each.pattern}")
        else:
            yield f"{prefix}{each.pattern}"


def visit(pattern: str, name: str, domain: str) -> str:
    filled = {"username": name, "domain_name": domain, "version": "v1", "rest": "websites/x/y/"}
    filled |= {"path": f"home/{name}/README.txt", "name": "WORD", "token_id": "1"}
    return "/" + re.sub(r"<\w+:(\w+)>", lambda match: filled.get(match[1], "server"), pattern)


def statuses_for_another(owner: Any, other: Any) -> dict[str, set[int]]:
    """What `other`, with token and session, is answered at the addresses of `owner` and of nobody."""
    browser = other.log_in()
    found: dict[str, set[int]] = {}
    for pattern, method in product(addresses_of_users(), ("GET", "POST", "PATCH", "DELETE", "PUT")):
        for name in (owner.name, "nobodyatall"):
            url = visit(pattern, name, owner.domain)
            if url.startswith("/api/"):
                status = other.call(method, url, {}).status_code
            else:
                status = browser.generic(method, url, secure=True).status_code
            found.setdefault(url, set()).add(status)
    return found


def test_g4_every_address_with_a_user_name_is_that_users_alone(owner, other, monkeypatch):
    """Whatever views there are or will be: the addresses are read from urls.py, the rule stands in the settings."""
    owner.create()
    found = statuses_for_another(owner, other)
    assert len(found) >= 16
    assert {status for url, statuses in found.items() if url.startswith("/api/") for status in statuses} == {403}
    assert {status for url, statuses in found.items() if url.startswith("/user/") for status in statuses} <= {404, 405}
    assert Website.objects.filter(owner=owner.user).count() == 1
    assert ApiToken.objects.filter(user=owner.user).exists()
    monkeypatch.setattr(IsThatUser, "has_permission", lambda self, request, view: True)
    found = statuses_for_another(owner, other)
    assert 200 in found[f"/api/v1/user/{owner.name}/websites/"], "positive control: without the rule the view answers"


def test_g4_a_view_that_forgets_its_permissions_has_the_rule_all_the_same(owner, other):
    assert views.OwnersView.permission_classes == [IsThatUser, HasScope]
    assert IsThatUser in views.APIView.permission_classes


def test_g4_a_view_that_looks_beyond_its_owners_rows_would_be_seen(owner, other, monkeypatch):
    """Positive control of the look-up: the domain of somebody else below one's own name.
    tests/security/test_api_fuzz.py catches the same with a panel of its own.
    """
    owner.create()
    url = f"{other.websites_url}{owner.domain}/"
    assert other.call("GET", url).status_code == 404
    monkeypatch.setattr(views.OwnersView, "get_website", lambda self, domain: Website.objects.find(domain) or 1 / 0)
    assert other.call("GET", url).status_code == 200


# -- G6


def tokens_made_from(origin: str, owner: Any, **settings: object) -> bool:
    """Whether a page at `origin` makes the browser of `owner`, which sends the cookies, make a new token."""
    browser = Client(enforce_csrf_checks=True, headers={"host": HOST})
    browser.force_login(owner.user)
    before = ApiToken.objects.get(user=owner.user).digest
    page = browser.get("/login/", secure=True)
    browser.get(f"/user/{owner.name}/account/api_token/", secure=True)
    headers = {"origin": origin, "referer": f"{origin}/"}
    answer = browser.post(f"/user/{owner.name}/account/api_token/new_token/", secure=True, headers=headers)
    assert page.status_code == 302
    assert (answer.status_code == 200) == (ApiToken.objects.get(user=owner.user).digest != before)
    return answer.status_code == 200


def test_g6_a_neighbours_page_makes_no_token(owner, settings):
    for origin in ("https://sokrates.hostel.localhost:8443", "https://hostel.localhost:8443", "null", f"http://{HOST}"):
        assert not tokens_made_from(origin, owner)
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if "Csrf" not in each]
    assert tokens_made_from("https://sokrates.hostel.localhost:8443", owner), "positive control"


# -- G14


def test_g14_a_row_of_ones_own_cannot_be_given_to_somebody_else(owner, other, monkeypatch):
    owner.create()
    url = f"{owner.websites_url}{owner.domain}/"
    sent = {"owner": other.user.pk, "owner_id": other.user.pk, "revision": 10**18, "canonical_name": "www.x.y"}
    assert owner.call("PATCH", url, sent).status_code == 200
    website = Website.objects.get()
    assert (website.owner, website.canonical_name, website.revision < 10**9) == (owner.user, owner.domain, True)

    class Everything(serializers.ModelSerializer):
        class Meta:
            model = Website
            fields = "__all__"

    everything = Everything(website, data=sent, partial=True)
    assert everything.is_valid()
    assert everything.save().owner == other.user, "positive control: with all fields let in it is taken"


# -- G15


class Hasher(PBKDF2PasswordHasher):
    """Django's, with fewer rounds: 1,000 tries shall not take six minutes. Some 15 ms a try instead of 300."""

    iterations = 50_000


class Hasty(ModelBackend):
    """Without what makes an unknown name take as long as a known one."""

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **kwargs: Any) -> Any:
        user = User.objects.filter(username=username).first()
        return user if user and user.check_password(password) else None


@pytest.fixture
def slower_hash(settings: Any) -> Iterator[None]:
    settings.PASSWORD_HASHERS = [f"{__name__}.Hasher"]
    return


def seconds_apart(tries: int) -> float:
    """How far apart the medians of known and unknown names lie, in processor time. All answers are the same."""
    stranger = Client(headers={"host": HOST})
    took: dict[str, list[float]] = {"xanthippe": [], "nobodyatall": []}
    answers = set()
    for number, (name, times) in product(range(tries), took.items()):
        began = time.process_time()
        form = {"username": name, "password": f"wrong{number}"}
        page = stranger.post("/login/", form, secure=True)
        times.append(time.process_time() - began)
        text = re.sub(
            r'name="csrfmiddlewaretoken" value="\w+"|value="(xanthippe|nobodyatall)"', "", page.content.decode()
        )
        answers.add((page.status_code, text))
    assert len(answers) == 1
    return abs(statistics.median(took["xanthippe"]) - statistics.median(took["nobodyatall"]))


@pytest.mark.usefixtures("slower_hash")
def test_g15_known_and_unknown_names_take_the_same_time(db, agent, settings, limit: Callable[..., None]):
    limit(logins_per_minute=10**6)
    User.objects.add("xanthippe", password=PASSWORD)
    assert seconds_apart(70) < 0.005
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Hasty"]
    assert seconds_apart(20) > 0.005, "positive control"


@pytest.mark.parametrize("name", ["xanthippe", "nobodyatall"])
def test_g15_after_ten_tries_a_minute_there_is_a_pause(owner, limit, name):
    """Whoever is named, from wherever: a name takes ten addresses' worth. Positive control: with a higher limit as many
    tries are let in.
    """

    def tries() -> list[int]:
        logins.clear()
        strangers = [Client(headers={"host": HOST, "x-real-ip": f"192.0.2.{number}"}) for number in range(12)]
        form = {"username": name, "password": "wrong"}
        return [stranger.post("/login/", form, secure=True).status_code for stranger in strangers]

    limit(logins_per_minute=1)
    assert tries() == [200] * 10 + [429] * 2
    limit(logins_per_minute=2)
    assert tries() == [200] * 12


# -- G12, in the panel: a row that another program wrote


def test_g12_a_row_that_cannot_be_read_keeps_no_other_from_the_agent(owner, other, agent_secret, caplog):
    from django.db import connection

    owner.create()
    other.create()
    with connection.cursor() as cursor:
        for column, value in (("drain_s", "soon"), ("reload_strategy", "never"), ("command", b"\x00\xff")):
            cursor.execute(f"UPDATE websites_website SET {column} = %s WHERE owner_id = %s", [value, owner.user.pk])
            headers = {"authorization": "Agent agent-secret"}
            answer = Client().get("/agent/wanted/", headers=headers, secure=True)
            told = json.loads(answer.content)
            assert [website["tenant"] for website in told["websites"]] == ["sokrates"], column
            assert len(told["tenants"]) == 2
    assert "a row cannot be read; it is left out" in caplog.text
    assert django_settings.DEBUG is False
