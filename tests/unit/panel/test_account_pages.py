"""The Account pages beyond the full token: tokens of limited power, logins, history; and the first visit of all."""

import re

import pytest
from django.test import Client

from hostel.panel.accounts.browsers import describe_browser
from hostel.panel.accounts.models import NAMED_TOKENS_MOST, Login, NamedToken, User
from hostel.panel.audit.models import Entry

HOST = "www.hostel.localhost:8443"
PASSWORD = "correct horse battery"
ACCOUNT = "/user/xanthippe/account/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def visit(browser, path):
    return browser.get(f"{ACCOUNT}{path}", secure=True)


def send(browser, path, **fields):
    return browser.post(f"{ACCOUNT}{path}", fields, secure=True)


def text_of(page):
    return " ".join(re.sub(r"<[^>]*>", " ", page.content.decode()).split())


def somewhere(name="xanthippe", user_agent=FIREFOX):
    """A browser that has logged in by the form."""
    browser = Client(headers={"host": HOST, "user-agent": user_agent})
    answer = browser.post("/login/", {"username": name, "password": PASSWORD}, secure=True)
    assert answer.status_code == 302
    return browser


# -- Tokens


def test_a_named_token_is_made_shown_once_and_revoked(owner):
    browser = owner.log_in()
    made = send(browser, "tokens/new/", name="CI of mysite", scopes=["files", "websites:read"], days="30")
    (token,) = re.findall(r'<code class="api_token">([0-9a-f]{40})</code>', made.content.decode())
    row = NamedToken.objects.get()
    assert (row.name, row.scopes) == ("CI of mysite", ["files", "websites:read"])
    assert 29 < (row.expires_at - row.created_at).days + 1 < 31
    headers = {"host": HOST, "authorization": f"Token {token}"}
    assert Client().get("/api/v1/user/xanthippe/websites/", headers=headers, secure=True).status_code == 200
    later = visit(browser, "api_token/")
    assert token not in later.content.decode()
    assert "CI of mysite Look at websites" not in text_of(later)
    assert "Read and write files" in text_of(later)
    assert send(browser, f"tokens/{row.pk}/revoke/").status_code == 302
    assert Client().get("/api/v1/user/xanthippe/websites/", headers=headers, secure=True).status_code == 401
    assert "Revoked CI of mysite" in text_of(visit(browser, "api_token/"))
    assert [entry.deed for entry in Entry.objects.order_by("pk")][-2:] == ["token.create", "token.delete"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "", "scopes": ["files"]}, "This field is required."),
        ({"name": "<b>", "scopes": ["files"]}, "Give 1 to 50 letters"),
        ({"name": "x"}, "Tick at least one."),
        ({"name": "x", "scopes": ["everything"]}, "There is no such choice."),
        ({"name": "x", "scopes": ["files"], "days": "1000"}, "Select a valid choice"),
        ({"name": "taken", "scopes": ["files"]}, "You have a token"),
    ],
)
def test_a_token_that_cannot_be_is_refused_beside_its_field(owner, fields, words):
    owner.user.add_token("taken", scopes=[], expires_at=None)
    refused = send(owner.log_in(), "tokens/new/", **fields)
    assert refused.status_code == 400
    assert words in text_of(refused)
    assert NamedToken.objects.count() == 1


def test_tokens_are_limited_in_number_and_nobody_elses_can_be_revoked(owner, other):
    foreign, _ = other.user.add_token("theirs", scopes=[], expires_at=None)
    assert send(owner.log_in(), f"tokens/{foreign.pk}/revoke/").status_code == 404
    for number in range(NAMED_TOKENS_MOST):
        owner.user.add_token(f"t{number}", scopes=[], expires_at=None)
    refused = send(owner.log_in(), "tokens/new/", name="more", scopes=["files"], days="")
    assert (refused.status_code, "as many named tokens" in text_of(refused)) == (400, True)


# -- Logins


def test_logins_are_listed_and_ended(owner):
    here, phone, desk = somewhere(), somewhere(user_agent="X (iPhone; Z) Safari/600"), somewhere(user_agent="?<b>")
    page = visit(here, "logins/")
    for words in ("Firefox on Linux (this one)", "Safari on iPhone", "an unknown browser", "127.0.0.1"):
        assert words in text_of(page)
    for login in Login.objects.all():
        assert login.session_key not in page.content.decode(), "a key is as good as the password"
    ids = re.findall(r'name="id" value="([0-9a-f]{16})"', page.content.decode())
    assert len(ids) == 2
    send(here, "logins/end/", id=ids[0])
    alive = [visit(each, "").status_code for each in (phone, desk)]
    assert sorted(alive) == [200, 302]
    send(here, "logins/end/", id="others")
    assert [visit(each, "").status_code for each in (here, phone, desk)] == [200, 302, 302]
    assert "Nowhere else." in text_of(visit(here, "logins/"))
    assert Entry.objects.filter(deed="login.end").count() == 2


def test_nobody_ends_anothers_login(owner, other):
    mine, theirs = somewhere(), somewhere("sokrates")
    (id_,) = {each["id"] for each in theirs.get("/user/sokrates/account/logins/", secure=True).context["logins"]}
    send(mine, "logins/end/", id=id_)
    send(mine, "logins/end/", id="others")
    assert theirs.get("/user/sokrates/account/", secure=True).status_code == 200


def test_a_new_password_ends_the_other_logins_and_keeps_this_one(owner):
    here, other_browser = somewhere(), somewhere()
    fields = {"old_password": PASSWORD, "new_password1": "another long one 7", "new_password2": "another long one 7"}
    assert send(here, "", **fields).status_code == 302
    assert [visit(each, "logins/").status_code for each in (here, other_browser)] == [200, 302]
    assert "Nowhere else." in text_of(visit(here, "logins/"))
    assert "Firefox on Linux (this one)" in text_of(visit(here, "logins/"))


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; x64) Chrome/140.0 Safari/537.36 Edg/140", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18 Safari/605.1.15", "Safari on macOS"),
        ("Mozilla/5.0 (Linux; Android 10; K) Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("", "an unknown browser"),
    ],
)  # fmt: skip
def test_a_browser_is_named_as_people_know_it(user_agent, words):
    assert describe_browser(user_agent) == words


# -- History


def test_the_history_shows_what_was_done_page_by_page(owner):
    for number in range(60):
        token, _ = owner.user.add_token(f"t{number}", scopes=[], expires_at=None)
        if number != 59:
            token.revoke()
    browser = owner.log_in()
    first = visit(browser, "history/")
    assert "token.create t59 the operator" in text_of(first)
    assert len(re.findall("<tr>", first.content.decode())) == 51
    (older,) = re.findall(r"\?before=(\d+)", first.content.decode())
    second = visit(browser, f"history/?before={older}")
    assert "token.create t20 the operator" in text_of(second)
    assert "Newest" in text_of(second)
    for odd in ("x", "-1", "9" * 40):
        assert visit(browser, f"history/?before={odd}").status_code == 200


def test_the_history_is_ones_own(owner, other):
    other.user.add_token("theirs", scopes=[], expires_at=None)
    assert "theirs" not in text_of(visit(owner.log_in(), "history/"))
    assert other.log_in().get(f"{ACCOUNT}history/", secure=True).status_code == 404


# -- The first visit


@pytest.mark.django_db
def test_the_first_visitor_learns_how_the_first_user_is_made_and_no_secret():
    browser = Client(headers={"host": HOST})
    page = browser.get("/login/", secure=True)
    assert "hostel user add NAME hostel user operator NAME" in text_of(page)
    User.objects.add("first", password=PASSWORD)
    assert "hostel user add" not in text_of(browser.get("/login/", secure=True))


# -- While the agent is away


@pytest.mark.parametrize(
    "path", ["files/home/xanthippe/", "files/home/xanthippe/x.py/", "websites/{domain}/logs/error/"]
)
def test_pages_that_need_the_agent_say_that_it_is_away(owner, agent_away, path):
    owner.create()
    answer = owner.log_in().get(f"/user/xanthippe/{path.format(domain=owner.domain)}", secure=True)
    assert (answer.status_code, "The agent does not answer" in text_of(answer)) == (503, True)
