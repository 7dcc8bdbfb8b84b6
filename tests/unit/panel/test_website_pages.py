"""The pages of websites as a browser without JavaScript meets them."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hostel.panel.audit.models import Entry
from hostel.panel.websites.models import Website
from hostel.panel.websites.progress import Step, steps
from hostel.wire.report import Draining, WebsiteStatus
from hostel.wire.website import Phase, RunId, State

LIST = "/user/xanthippe/websites/"
SITE = f"{LIST}xanthippe.hostel.localhost/"


@pytest.fixture
def browser(owner):
    owner.create()
    return owner.log_in()


def show(browser, path=SITE):
    page = browser.get(path, secure=True)
    assert page.status_code == 200, path
    return page.content.decode()


def send(browser, path, **form):
    """The page that a form leads to."""
    answer = browser.post(f"{SITE}{path}", form, secure=True)
    return browser.get(answer.headers["Location"], secure=True) if answer.status_code == 302 else answer


def test_the_page_of_a_website_shows_its_state_and_its_command(browser):
    page = show(browser)
    assert '<span class="state running">running</span>' in page
    assert "serve $DOMAIN_SOCKET " in page
    assert f'href="{SITE}logs/error/"' in page
    assert "hx-get" not in page, "nothing is under way"


@pytest.mark.parametrize(
    ("command", "virtualenv"),
    [
        ("/home/xanthippe/.virtualenvs/club/bin/uvicorn --uds $DOMAIN_SOCKET x:y", "/home/xanthippe/.virtualenvs/club"),
        ("cd site && exec '/home/xanthippe/site/.venv/bin/python' serve.py", "/home/xanthippe/site/.venv"),
        ("/home/sokrates/.virtualenvs/club/bin/uvicorn", ""),
        ("python3 serve.py", ""),
    ],
)
def test_a_console_opens_in_the_virtualenv_of_the_command(owner, browser, command, virtualenv):
    website = Website.objects.get()
    website.command = command
    website.save()
    quoted = virtualenv.replace("/", "%2F")
    assert f'href="/user/xanthippe/consoles/?path=&amp;virtualenv={quoted}"' in show(browser)


def test_the_page_says_why_the_last_change_failed(browser, agent, failed):
    agent.failure = failed
    page = show(browser)
    assert "exit code 1 before it listened" in page
    assert "No module named &#x27;asyncdjango&#x27;" in page
    assert "<code>exited</code>" in page


def test_a_change_that_is_under_way_is_followed_and_then_no_more(browser, agent):
    agent.phase = Phase.STARTING
    page = send(browser, "reload/").content.decode()
    assert 'hx-get="/user/xanthippe/websites/xanthippe.hostel.localhost/progress/" hx-trigger="every 1s"' in page
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in page
    assert '<li class="now">Starting the command</li>' in page
    part = show(browser, f"{SITE}progress/")
    assert part.lstrip().startswith('<div class="condition"')
    assert "every 1s" in part
    agent.phase = Phase.DONE
    assert "hx-get" not in show(browser, f"{SITE}progress/")


def test_reload_says_when_it_is_done_and_why_it_cannot_be(browser, agent, agent_away):
    assert b"The agent does not answer" in send(browser, "reload/").content
    agent_away()
    assert b"Reloaded: visitors get the new run." in send(browser, "reload/").content


def test_disable_and_enable(browser, agent):
    page = send(browser, "switch/", enabled="false").content.decode()
    assert '<span class="state disabled">disabled</span>' in page
    assert not Website.objects.get().enabled
    assert b"The website is disabled; enable it first." in send(browser, "reload/").content
    assert b"Enabled." in send(browser, "switch/", enabled="true").content
    assert Website.objects.get().enabled


def test_a_command_is_changed_as_it_was_typed_and_refused_beside_its_field(browser, agent):
    send(browser, "command/", command=" serve  $DOMAIN_SOCKET \r\n")
    assert Website.objects.get().command == " serve  $DOMAIN_SOCKET "
    assert b"The command is one line" in send(browser, "command/", command="cd x &&\r\nserve").content
    refused = send(browser, "command/", command="")
    assert refused.status_code == 400
    page = refused.content.decode()
    assert 'aria-invalid="true"' in page
    assert '<p class="field-error" id="id_command_error" role="alert">This field may not be blank.</p>' in page
    assert 'aria-describedby="id_command_helptext id_command_error"' in page


def test_a_website_is_deleted_by_whoever_types_its_name(browser, agent):
    assert "Type the website&#x27;s domain to delete it" in show(browser, f"{SITE}delete/")
    refused = send(browser, "delete/", domain_name="another.hostel.localhost")
    assert refused.status_code == 400
    assert b"That is not xanthippe.hostel.localhost." in refused.content
    assert Website.objects.exists()
    page = send(browser, "delete/", domain_name=" Xanthippe.hostel.localhost")
    assert b"xanthippe.hostel.localhost was deleted." in page.content
    assert not Website.objects.exists()
    assert [tombstone.name for tombstone in agent.deleted] == ["xanthippe.hostel.localhost"]


def test_what_pages_do_stands_in_the_audit_trail(browser):
    send(browser, "reload/")
    assert (Entry.objects.latest("pk").via, Entry.objects.latest("pk").deed) == ("page", "website.reload")


def test_pages_of_others_websites_are_not_there(browser, other):
    theirs = other.log_in()
    for path in ("", "progress/", "delete/"):
        assert theirs.get(f"{SITE}{path}", secure=True).status_code == 404
        assert theirs.get(f"/user/sokrates/websites/xanthippe.hostel.localhost/{path}", secure=True).status_code == 404
    for path in ("reload/", "switch/", "command/", "delete/"):
        assert theirs.post(f"{SITE}{path}", secure=True).status_code == 404
        assert browser.get(f"{SITE}{path}", secure=True).status_code in (405, 200)
    assert Website.objects.get().enabled


def test_a_thousand_websites_need_no_more_queries_than_one_and_one_question(owner, agent):
    browser = owner.log_in()
    owner.create()
    show(browser, LIST)
    with CaptureQueriesContext(
        connection,
    ) as few:
        show(browser, LIST)
    Website.objects.bulk_create(
        Website(
            owner=owner.user,
            domain_name=f"w{number:03}-{owner.domain}",
            canonical_name=f"w{number:03}-{owner.domain}",
            command="serve",
            revision=1,
        )
        for number in range(250)
    )
    agent.calls.clear()
    with CaptureQueriesContext(connection) as many:
        page = show(browser, LIST)
    assert len(many) == len(few) <= 5
    assert agent.calls == ["GET /websites"]
    assert "251 websites" in page
    assert page.count("<tr>") == 101
    assert "w000-" in page
    assert "w249-" in show(browser, f"{LIST}?page=3")
    assert "Page 3 of 3" in show(browser, f"{LIST}?page=9999")


@pytest.fixture
def condition(browser):
    from hostel.panel.websites import deploy

    return deploy.look_at(Website.objects.get())


def changed(condition, **fields):
    from dataclasses import replace

    return replace(condition, **fields)


def told(agent, **fields):
    (spec,) = agent.websites.values()
    return WebsiteStatus(report=agent.report(spec), **fields)


def test_steps_of_a_change(condition, agent):
    starting = changed(condition, phase=Phase.STARTING)
    now = [
        [step.text for step in found if step.mark == "now"]
        for found in (
            steps(starting, None),
            steps(starting, told(agent, starting=RunId("r1"))),
            steps(changed(starting, state=State.STARTING), told(agent, draining=Draining(requests=1, websockets=0))),
            steps(changed(condition, phase=Phase.DRAINING), told(agent, draining=Draining(requests=3, websockets=12))),
            steps(changed(condition, phase=Phase.DRAINING), told(agent, draining=Draining(requests=0, websockets=1))),
            steps(changed(condition, phase=Phase.DRAINING), None),
            steps(condition, None),
        )
    ]
    assert now == [
        ["Starting the command"],
        ["Waiting until it listens"],
        ["The old run ends: draining 1 request"],
        ["The old run ends: draining 3 requests and 12 WebSockets"],
        ["The old run ends: draining 1 WebSocket"],
        ["The old run ends"],
        [],
    ]
    assert steps(starting, told(agent, starting=RunId("r1")))[0] == Step("The command was started", "done")
