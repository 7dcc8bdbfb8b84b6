"""A website's HTTP password over the API: what is accepted, what is shown, and what the agent is told."""

from typing import Any

import pytest

from hostel.panel.websites.models import Website
from hostel.panel.websites.password_hash import hash_password
from hostel.wire.http_users import USERS_MOST, InvalidHttpUser, check_http_users

PASSWORD = "only the visitors know"


@pytest.fixture
def url(owner: Any) -> str:
    assert owner.create().status_code == 201
    return f"{owner.websites_url}{owner.domain}/http_users/"


def test_users_are_made_listed_and_removed_and_passwords_never_shown(owner, agent, url):
    made = owner.call("POST", url, {"username": "guest", "password": PASSWORD})
    assert (made.status_code, made.json()) == (201, {"username": "guest"})
    first = agent.websites[owner.domain].http_users["guest"]
    check_http_users({"guest": first})
    assert owner.call("PUT", f"{url}zo%C3%AB/", {"password": "x"}).status_code == 201
    assert owner.call("PUT", f"{url}guest/", {"password": PASSWORD}).status_code == 200
    answers = [owner.call("GET", path) for path in (url, f"{url}guest/", owner.websites_url)]
    assert answers[0].json() == [{"username": "guest"}, {"username": "zo\u00eb"}]
    shown = "".join(answer.content.decode() for answer in [made, *answers])
    assert PASSWORD not in shown
    assert "$6$" not in shown
    assert agent.websites[owner.domain].http_users["guest"] != first  # another salt
    assert owner.call("DELETE", f"{url}guest/").status_code == 204
    assert owner.call("DELETE", f"{url}guest/").status_code == 404
    assert owner.call("GET", f"{url}guest/").status_code == 404
    assert set(agent.websites[owner.domain].http_users) == {"zo\u00eb"}


WRONG = [
    ({"username": "a:b", "password": "x"}, "username"),
    ({"username": "a/b", "password": "x"}, "username"),
    ({"username": "a\nb", "password": "x"}, "username"),
    ({"username": "x" * 65, "password": "x"}, "username"),
    ({"username": "", "password": "x"}, "username"),
    ({"password": "x"}, "username"),
    ({"username": "a"}, "password"),
    ({"username": "a", "password": ""}, "password"),
    ({"username": "a", "password": "\u00e4" * 65}, "password"),
    ({"username": "a", "password": "x\0y"}, "password"),
]


@pytest.mark.parametrize(("sent", "key"), WRONG)
def test_what_cannot_be_used_is_refused_with_a_sentence(owner, url, sent, key):
    refused = owner.call("POST", url, sent)
    assert (refused.status_code, list(refused.json())) == (400, [key])
    assert Website.objects.get().http_users == {}


def test_there_are_so_many_at_most(owner, url):
    Website.objects.update(http_users={f"u{number}": hash_password("x") for number in range(USERS_MOST)})
    refused = owner.call("POST", url, {"username": "more", "password": "x"})
    assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (400, "invalid_http_user")
    assert owner.call("POST", url, {"username": "u1", "password": "y"}).status_code == 200


@pytest.mark.parametrize(
    "hash_", ["", "x", "$1$abcdefgh$" + "x" * 86, "$6$rounds=999999999$abcdefgh$" + "x" * 86, "$6$abcdefgh$" + "x" * 85]
)
def test_the_agent_takes_no_hash_that_would_keep_nginx_busy(hash_):
    with pytest.raises(InvalidHttpUser):
        check_http_users({"guest": hash_})
