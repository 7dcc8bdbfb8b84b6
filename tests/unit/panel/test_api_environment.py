"""Environment variables over the API: what is accepted, what is shown, and what the agent is told."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.panel.websites.models import Website
from hostel.wire.environment import (
    RESERVED,
    VALUE_BYTES_LIMIT,
    VARIABLES_MOST,
    InvalidVariable,
    check_environment,
    check_name,
)


@pytest.fixture
def url(owner: Any) -> str:
    assert owner.create().status_code == 201
    return f"{owner.websites_url}{owner.domain}/environment/"


def test_a_variable_is_set_shown_and_removed_and_the_agent_is_told(owner, agent, url):
    created = owner.call("POST", url, {"name": "DEBUG", "value": " 1\n2 "})
    assert (created.status_code, created.json()) == (201, {"name": "DEBUG", "value": " 1\n2 ", "is_secret": False})
    assert agent.websites[owner.domain].environment == {"DEBUG": " 1\n2 "}
    assert owner.call("PUT", f"{url}DEBUG/", {"value": ""}).status_code == 200
    assert owner.call("PUT", f"{url}OTHER/", {"value": "x"}).status_code == 201
    assert [each["name"] for each in owner.call("GET", url).json()] == ["DEBUG", "OTHER"]
    assert owner.call("DELETE", f"{url}DEBUG/").status_code == 204
    assert owner.call("GET", f"{url}DEBUG/").status_code == 404
    assert owner.call("DELETE", f"{url}DEBUG/").status_code == 404
    assert agent.websites[owner.domain].environment == {"OTHER": "x"}


def test_a_secret_goes_in_and_never_comes_out(owner, agent, url):
    assert owner.call("POST", url, {"name": "KEY", "value": "s3cret-value", "is_secret": True}).json()["value"] is None
    answers = [owner.call("GET", f"{url}{path}") for path in ("", "KEY/", "../")]
    answers += [owner.call("PUT", f"{url}KEY/", {"value": "s3cret-value-2"})]  # stays secret
    answers += [owner.call("GET", owner.websites_url)]
    assert all("s3cret" not in answer.content.decode() for answer in answers)
    assert agent.websites[owner.domain].environment == {"KEY": "s3cret-value-2"}


def test_setting_what_is_so_already_changes_nothing(owner, agent, url):
    owner.call("POST", url, {"name": "A", "value": "1"})
    revision, calls = Website.objects.get().revision, len(agent.calls)
    assert owner.call("POST", url, {"name": "A", "value": "1"}).status_code == 200
    assert (Website.objects.get().revision, len(agent.calls)) == (revision, calls)


def test_a_file_is_imported_whole_or_not_at_all(owner, agent, url):
    text = "# comment\nexport A=1\nB='two words' # more\nC=\"x\\ny\"\nD=$A\n\nE=\n"
    imported = owner.call("POST", f"{url}import/", {"content": text, "is_secret": False})
    assert imported.status_code == 200
    wanted = {"A": "1", "B": "two words", "C": "x\ny", "D": "$A", "E": ""}
    assert agent.websites[owner.domain].environment == wanted
    for bad, line in (("F=1\nHOME=/x", "Line 2: HOME"), ("F=1\nG", "Line 2: G has no value"), ("F=1\n=x", "Line 2 ")):
        refused = owner.call("POST", f"{url}import/", {"content": bad})
        assert refused.status_code == 400
        assert refused.json()["content"][0].startswith(line)
    assert agent.websites[owner.domain].environment == wanted


@pytest.mark.parametrize("name", ["", "1A", "A-B", "Ä", "A=B", "A B", "x" * 129, *RESERVED, "PYTHONANYWHERE_SITE"])
def test_a_name_that_cannot_be_is_refused_in_words(owner, url, name):
    refused = owner.call("POST", url, {"name": name, "value": "x"})
    assert refused.status_code == 400
    assert list(refused.json()) == ["name"]
    assert owner.call("GET", url).json() == []


@pytest.mark.parametrize("value", ["a\0b", "x" * (VALUE_BYTES_LIMIT + 1), None, 5.5, ["x"]])
def test_a_value_that_cannot_be_is_refused(owner, url, value):
    refused = owner.call("POST", url, {"name": "A", "value": value})
    assert refused.status_code in (400, 201)
    assert (refused.status_code == 201) == (value == 5.5)  # DRF takes a number for its text


def test_all_together_have_a_limit(owner, url):
    text = "\n".join(f"A{number}=x" for number in range(VARIABLES_MOST + 1))
    refused = owner.call("POST", f"{url}import/", {"content": text})
    assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (400, "invalid_variable")
    text = "\n".join(f"A{number}={'x' * 16_000}" for number in range(5))
    assert "65,536" in json.dumps(owner.call("POST", f"{url}import/", {"content": text}).json())


def test_a_stranger_gets_nothing(owner, other, url):
    owner.call("POST", url, {"name": "A", "value": "1"})
    for method, path in (
        ("GET", ""),
        ("POST", ""),
        ("GET", "A/"),
        ("PUT", "A/"),
        ("DELETE", "A/"),
        ("POST", "import/"),
    ):
        assert other.call(method, f"{url}{path}", {}).status_code == 403
        own = f"{other.websites_url}{owner.domain}/environment/{path}"
        assert other.call(method, own, {"name": "A", "value": "2", "content": "A=2"}).status_code == 404


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=50), max_size=5))
def test_what_passes_can_be_given_to_a_program(environment):
    try:
        check_environment(environment)
    except InvalidVariable:
        return
    for name, value in environment.items():
        assert check_name(name) == name
        assert "=" not in name
        assert "\0" not in name + value
        assert name not in RESERVED
