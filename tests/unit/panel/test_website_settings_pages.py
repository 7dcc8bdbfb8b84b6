"""Environment, static files, password and settings of a website, as a browser without JavaScript meets them."""

import html

import pytest

from hostel.panel.audit.models import Entry
from hostel.panel.websites.models import LIMITS, RESTS, SETTINGS, Variable, Website
from hostel.panel.websites.settings_form import GROUPS

SITE = "/user/xanthippe/websites/xanthippe.hostel.localhost/"
NASTY = "</textarea><script>alert(1)</script>"


@pytest.fixture
def browser(owner):
    owner.create()
    return owner.log_in()


def show(browser, path):
    page = browser.get(f"{SITE}{path}", secure=True)
    assert page.status_code == 200, path
    return page.content.decode()


def send(browser, page, **form):
    """Status and text of the page that a form leads to."""
    answer = browser.post(f"{SITE}{page}", form, secure=True)
    if answer.status_code == 302:
        answer = browser.get(answer.headers["Location"], secure=True)
    return answer.status_code, answer.content.decode()


def website():
    return Website.objects.get()


def test_variables_are_set_shown_changed_and_removed(browser, agent):
    assert "None yet." in show(browser, "environment/")
    _, page = send(browser, "environment/", name=" DEBUG ", value="a\r\nb")
    assert "DEBUG is set. The command gets it when the website is reloaded." in page
    assert website().variables == {"DEBUG": Variable("a\nb")}
    assert agent.websites["xanthippe.hostel.localhost"].environment == {"DEBUG": "a\nb"}
    assert '<textarea name="value"' in show(browser, "environment/?name=DEBUG")
    assert "a\nb</textarea>" in show(browser, "environment/?name=DEBUG")
    _, page = send(browser, "environment/remove/", name="DEBUG")
    assert "DEBUG is removed." in page
    assert website().variables == {}


def test_a_hidden_value_is_shown_nowhere(browser):
    send(browser, "environment/", name="KEY", value="s3cret", is_secret="on")
    assert website().variables == {"KEY": Variable("s3cret", is_secret=True)}
    for path in ("environment/", "environment/?name=KEY", ""):
        assert "s3cret" not in show(browser, path)
    assert "s3cret" not in str(list(Entry.objects.values()))


def test_save_and_reload_gives_the_variable_to_the_command(browser, agent):
    status, page = send(browser, "environment/", name="A", value="1", then="reload")
    assert "A is set. Reloading, so that the command gets it." in page
    assert status == 200
    assert agent.calls[-2:] == [
        "POST /websites/xanthippe.hostel.localhost/reload",
        "GET /websites/xanthippe.hostel.localhost/status",
    ]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"name": "1A", "value": ""}, "does not begin with a digit"),
        ({"name": "HOME", "value": "x"}, "HOME is set by the platform"),
        ({"name": "", "value": "x"}, "This field may not be blank."),
        ({"name": "A", "value": "x" * 20_000}, "A value has at most 16,384 bytes."),
    ],
)
def test_a_wrong_variable_is_refused_beside_its_field(browser, form, words):
    status, page = send(browser, "environment/", **form)
    assert status == 400
    assert words in html.unescape(page)
    assert 'class="field-error"' in page
    assert website().variables == {}


def test_a_file_is_imported_whole_or_not_at_all(browser):
    status, page = send(browser, "environment/import/", content="A=1\nB")
    assert (status, website().variables) == (400, {})
    assert "Line 2: B has no value." in page
    send(browser, "environment/", name="A", value="0", is_secret="on")
    _, page = send(browser, "environment/import/", content="A=1\nB='two words'\n# a comment\n")
    assert "2 variables set." in page
    assert website().variables == {"A": Variable("1", is_secret=True), "B": Variable("two words")}


def test_static_mappings_are_added_changed_and_removed(browser, agent):
    home = "/home/xanthippe/"
    assert "None yet." in show(browser, "static_files/")
    _, page = send(browser, "static_files/", url="/static/", path=f"{home}static")
    assert "<code>/static/</code>" in page
    number = website().static_files.get().pk
    assert f'value="{home}static"' in show(browser, f"static_files/?id={number}")
    send(browser, f"static_files/?id={number}", url="/media/", path=f"{home}media")
    assert [(each.url, each.path) for each in website().static_files.all()] == [("/media/", f"{home}media")]
    assert agent.websites["xanthippe.hostel.localhost"].static_files == website().mappings
    status, page = send(browser, "static_files/", url="static", path="/etc")
    assert status == 400
    assert page.count('class="field-error"') == 2
    assert "A URL begins with a slash" in page
    _, page = send(browser, "static_files/remove/", id=number)
    assert "the website itself answers /media/ now" in page
    for path in (f"static_files/?id={number}", "static_files/?id=x", f"static_files/?id={'9' * 30}"):
        assert browser.get(f"{SITE}{path}", secure=True).status_code == 404


def test_a_password_is_asked_for_once_there_is_one(browser, agent):
    assert "Everybody may visit this website." in show(browser, "password/")
    _, page = send(browser, "password/", username="friend", password="open sesame")
    assert "friend gets in with that password" in page
    assert set(agent.websites["xanthippe.hostel.localhost"].http_users) == {"friend"}
    assert "open sesame" not in page
    status, page = send(browser, "password/", username="a:b", password="")
    assert status == 400
    assert page.count('class="field-error"') == 2
    _, page = send(browser, "password/remove/", username="friend")
    assert "everybody gets in now" in page
    assert website().http_users == {}


def fields_of(page_form):
    """What a browser would send of a form that nobody has touched."""
    from html.parser import HTMLParser

    found = {}

    class Reader(HTMLParser):
        select = ""

        def handle_starttag(self, tag, attributes):
            of = dict(attributes)
            if tag == "select":
                self.select = of["name"]
            elif tag == "option" and "selected" in of:
                found[self.select] = of["value"]
            elif tag == "input" and of.get("type") != "hidden" and (of.get("type") != "checkbox" or "checked" in of):
                found[of["name"]] = of.get("value", "on" if of.get("type") == "checkbox" else "")

    Reader().feed(page_form)
    return found


def test_every_setting_of_the_api_is_on_the_page(browser):
    assert {name for group in GROUPS.values() for name in group} == {*SETTINGS, *LIMITS, *RESTS}
    page = show(browser, "settings/")
    for name in (*SETTINGS, *LIMITS, *RESTS):
        assert f'name="{name}"' in page


def test_saving_untouched_settings_changes_nothing(browser):
    before = website()
    sent = fields_of(show(browser, "settings/"))
    status, page = send(browser, "settings/", **sent)
    assert "Saved." in page, status
    assert website().revision == before.revision


def test_settings_are_saved_or_refused_as_the_api_does(browser, agent):
    sent = fields_of(show(browser, "settings/"))
    send(browser, "settings/", **{**sent, "force_https": "on", "drain_s": "7.5", "reload_strategy": "replace"})
    assert (website().force_https, website().drain_s, website().reload_strategy) == (True, 7.5, "replace")
    status, page = send(browser, "settings/", **{**sent, "drain_s": "a while", "memory_mb": "999999"})
    page = html.unescape(page)
    assert status == 400
    assert "Give a number of seconds from 0 to 600." in page
    assert page.count('class="field-error"') == 2
    assert (website().force_https, website().drain_s) == (True, 7.5)
    sent = fields_of(show(browser, "settings/"))
    assert sent.pop("force_https") == "on"
    send(browser, "settings/", **{**sent, "memory_mb": "64"})
    assert (website().force_https, website().memory_mb) == (False, 64)
    send(browser, "settings/", **{**sent, "memory_mb": ""})
    assert website().memory_mb is None


def test_g5_markup_in_what_a_user_sets_stays_text(browser):
    send(browser, "environment/", name="A", value=NASTY)
    send(browser, "command/", command=NASTY)
    send(browser, "static_files/", url=f"/{NASTY}", path=f"/home/xanthippe/{NASTY}")
    assert website().variables["A"].value == NASTY == website().command
    assert website().static_files.get().url == f"/{NASTY}"
    for path in ("", "environment/", "environment/?name=A", "static_files/", "settings/"):
        page = show(browser, path)
        assert "alert(1)" in page or path == "settings/"
        assert "<script>" not in page


@pytest.mark.parametrize(
    "path", ["environment/", "static_files/", "password/", "settings/", "environment/import/", "environment/remove/"]
)
def test_settings_of_others_are_not_there(browser, other, path):
    theirs = other.log_in()
    for address in (f"{SITE}{path}", f"/user/sokrates/websites/xanthippe.hostel.localhost/{path}"):
        assert theirs.get(address, secure=True).status_code in (404, 405)
        assert theirs.post(address, {"name": "A", "value": "1"}, secure=True).status_code == 404
    assert website().variables == {}
