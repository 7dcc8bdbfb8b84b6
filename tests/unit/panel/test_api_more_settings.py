"""Working directory, limits within the plan, bodies and buffering, over the API."""

import pytest

from hostel.panel.accounts.models import User
from hostel.panel.websites.models import Website
from hostel.wire.website import MIB, Limits


@pytest.fixture
def url(owner):
    assert owner.create().status_code == 201
    return f"{owner.websites_url}{owner.domain}/"


def test_settings_are_shown_and_reach_the_agent(owner, agent, url):
    sent = {
        "working_directory": "/home/xanthippe/my site",
        "buffer_requests": False,
        "buffer_responses": True,
        "max_body_mb": 5,
        "memory_mb": 64,
        "pids": 32,
        "cpu": 0.5,
    }
    shown = owner.call("PATCH", url, {"webapp": sent}).json()["webapp"]
    assert {name: shown[name] for name in sent} == sent
    spec = agent.websites[owner.domain]
    assert spec.limits == Limits(memory_bytes=64 * MIB, pids=32, cpu=0.5)
    assert (spec.working_directory, spec.max_body_mb) == ("/home/xanthippe/my site", 5)
    assert (spec.buffer_requests, spec.buffer_responses) == (False, True)
    calls = len(agent.calls)
    whole = owner.call("GET", url).json()
    assert owner.call("PATCH", url, whole).status_code == 200
    assert [call for call in agent.calls[calls:] if call.startswith("PUT")] == []


def test_a_limit_is_the_plans_unless_it_is_lower(owner, agent, url):
    plan = User.objects.get(username="xanthippe").plan.site()
    assert owner.call("PATCH", url, {"webapp": {"memory_mb": 64, "pids": 9, "cpu": 0.1}}).status_code == 200
    User.objects.filter(username="xanthippe").update(own_limits={"site_memory_mb": 32})
    assert {"memory_mb": 32, "pids": 9, "cpu": 0.1}.items() <= Website.objects.get().in_force.items()
    User.objects.filter(username="xanthippe").update(own_limits={})
    assert owner.call("PATCH", url, {"webapp": {"memory_mb": None, "pids": None, "cpu": None}}).status_code == 200
    assert agent.websites[owner.domain].limits == plan


def test_a_website_sleeps_as_the_plan_has_it_or_more(owner, agent, url):
    def spec():
        return agent.websites[owner.domain].sleep.value, agent.websites[owner.domain].sleep_after_s

    assert owner.call("PATCH", url, {"webapp": {"sleep": "hibernate", "sleep_after_s": 300}}).status_code == 200
    assert spec() == ("hibernate", 300)
    user = User.objects.get(username="xanthippe")
    user.change_limits({"site_sleep": "stop", "site_sleep_after_s": 120})
    assert {"sleep": "stop", "sleep_after_s": 120}.items() <= Website.objects.get().in_force.items()
    refused = owner.call("PATCH", url, {"webapp": {"sleep": "hibernate", "sleep_after_s": 121}})
    assert refused.json()["webapp"] == {
        "sleep": ['Your plan lets websites sleep that nobody uses: give "stop", or null.'],
        "sleep_after_s": ["Your plan lets websites sleep after 120 seconds at most: give less, or null."],
    }
    assert owner.call("PATCH", url, {"webapp": {"sleep": None, "sleep_after_s": None}}).status_code == 200
    assert spec() == ("stop", 120)
    user.change_limits({"site_sleep": "stop", "site_sleep_after_s": 5})
    whole = owner.call("GET", url).json()
    assert whole["webapp"]["sleep_after_s"] == 5
    assert owner.call("PATCH", url, whole).status_code == 200, "what is shown may be sent back"
    user.change_limits({"site_sleep": None, "site_sleep_after_s": None})
    assert owner.call("PATCH", url, {"webapp": {"monitors_wake": True}}).status_code == 200
    assert (*spec(), agent.websites[owner.domain].monitors_wake) == ("off", 900, True)


WRONG = {
    "sleep": ["deeply", "", 7, True],
    "sleep_after_s": [0, 59, 86_401, "long", 60.5, True],
    "monitors_wake": ["perhaps", None],
    "working_directory": ["/etc", "site", "/home/alice", "/home/xanthippe/../x", "/home/xanthippe/a\nb", None],
    "max_body_mb": [0, 101, "x", 1.5, None],
    "memory_mb": [0, 15, 513, 10**9, "much", 1.5],
    "pids": [0, 257, -1],
    "cpu": [0, 1.5, "NaN", "inf", True],
    "buffer_requests": ["perhaps", None],
    "buffer_responses": [7],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_cannot_be_is_refused_with_a_sentence(owner, url, name, value):
    refused = owner.call("PATCH", url, {"webapp": {name: value}})
    assert refused.status_code == 400
    (sentence,) = refused.json()["webapp"][name]
    assert sentence.endswith(".")
    assert owner.call("POST", owner.websites_url, _other(name, value)).status_code == 400


def _other(name, value):
    return {"domain_name": "x-xanthippe.hostel.localhost", "webapp": {"command": "x", name: value}}


def test_null_is_no_value_of_what_has_no_plan(owner, url):
    assert owner.call("PATCH", url, {"webapp": {"buffer_requests": None}}).status_code == 400
