"""Static mappings over the API: shapes, what is refused, and what the agent is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.panel.websites.models import StaticMapping as Row
from hostel.panel.websites.models import Website
from hostel.wire.static_files import (
    MAPPINGS_MOST,
    InvalidMapping,
    StaticMapping,
    check_mappings,
    check_path,
    check_url,
)


@pytest.fixture
def url(owner: Any) -> str:
    assert owner.create().status_code == 201
    return f"{owner.websites_url}{owner.domain}/static_files/"


def test_mappings_are_made_shown_changed_and_removed_and_the_agent_is_told(owner, agent, url):
    home = "/home/xanthippe"
    created = owner.call("POST", url, {"url": "/static/", "path": f"{home}/site/static"})
    assert created.status_code == 201
    first = created.json()
    assert first == {"id": first["id"], "url": "/static/", "path": f"{home}/site/static"}
    second = owner.call("POST", url, {"url": "/robots.txt", "path": f"{home}/robots.txt", "more": 1}).json()
    assert owner.call("GET", url).json() == [first, second]
    assert owner.call("GET", f"{url}{second['id']}/").json() == second
    assert owner.call("PATCH", f"{url}{first['id']}/", {"path": f"{home}/static/"}).json()["path"] == f"{home}/static/"
    assert owner.call("PUT", f"{url}{first['id']}/", {"url": "/s/"}).json() == {"path": ["This field is required."]}
    put = owner.call("PUT", f"{url}{first['id']}/", {"url": "/s/", "path": home})
    assert (put.status_code, put.json()) == (200, {"id": first["id"], "url": "/s/", "path": home})
    told = [StaticMapping(url="/s/", path=home), StaticMapping(url="/robots.txt", path=f"{home}/robots.txt")]
    assert list(agent.websites[owner.domain].static_files) == told
    assert owner.call("DELETE", f"{url}{first['id']}/").status_code == 204
    assert owner.call("DELETE", f"{url}{first['id']}/").status_code == 404
    assert list(agent.websites[owner.domain].static_files) == told[1:]


def test_a_change_to_what_is_so_already_changes_nothing(owner, agent, url):
    sent = {"url": "/static/", "path": "/home/xanthippe/x"}
    one = f"{url}{owner.call('POST', url, sent).json()['id']}/"
    revision, calls = Website.objects.get().revision, len(agent.calls)
    assert owner.call("PUT", one, sent).status_code == 200
    assert (Website.objects.get().revision, len(agent.calls)) == (revision, calls)


def test_a_mapping_of_another_website_is_not_found(owner, url):
    other = "x-xanthippe.hostel.localhost"
    assert owner.create(domain_name=other).status_code == 201
    sent = {"url": "/static/", "path": "/home/xanthippe/x"}
    number = owner.call("POST", url, sent).json()["id"]
    for wrong in (number, 10**30):
        assert owner.call("GET", f"{owner.websites_url}{other}/static_files/{wrong}/").status_code == 404


def test_there_are_so_many_at_most(owner, url):
    sent = {"url": "/static/", "path": "/home/xanthippe/x"}
    website = Website.objects.get()
    Row.objects.bulk_create(Row(website=website, **sent) for _ in range(MAPPINGS_MOST - 1))
    assert owner.call("POST", url, sent).status_code == 201
    refused = owner.call("POST", url, sent)
    assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (400, "invalid_mapping")
    assert str(MAPPINGS_MOST) in refused.json()["non_field_errors"][0]
    assert Website.objects.get().static_files.count() == MAPPINGS_MOST


OUTSIDE = [
    "/etc",
    "/home/other",
    "/home",
    "/",
    "//",
    "",
    "~/../alice",
    "static",
    "/home/xanthippe/../alice",
    "/home/xanthippe/./static",
    "/home/xanthippe//static",
    "/home/xanthippe2/x",
    "/home/xanthippe/\0",
    "/home/xanthippe/a\nb",
    "/home/xanthippe/..",
    "/proc/self/root",
    "/home/xanthippe/" + "x" * 2000,
    "/home/xanthippe/\ud800",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_c4_a_path_outside_the_home_is_refused(owner, agent, url, path):
    with pytest.raises(InvalidMapping):
        check_path(path, username="xanthippe")
    refused = owner.call("POST", url, {"url": "/static/", "path": path})
    assert refused.status_code == 400
    assert list(refused.json()) == ["path"] or "\ud800" in path
    assert agent.websites[owner.domain].static_files == ()


@pytest.mark.parametrize("wrong", ["static/", "", "/a?b", "/a#b", "/a/../b", "/./", "//x", "/a\tb", "/" + "x" * 600])
def test_a_url_that_no_request_could_have_is_refused(owner, url, wrong):
    refused = owner.call("POST", url, {"url": wrong, "path": "/home/xanthippe/x"})
    assert refused.status_code == 400
    assert list(refused.json()) == ["url"]


@pytest.mark.parametrize("accepted", ["/", "/static", "/static/", "/a b/\u00fc", "/.well-known/x"])
def test_urls_that_are_accepted(accepted):
    assert check_url(accepted) == accepted


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_accepted_stays_in_the_home(url, path):
    try:
        check_mappings([StaticMapping(url=url, path=f"/home/x{path}")], username="x")
    except InvalidMapping:
        return
    assert path == "" or path.startswith("/")
    assert not {".", ".."} & set(path.split("/"))
    assert url.startswith("/")
