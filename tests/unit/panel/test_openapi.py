"""The checked-in description of the API: true of the code, with examples that fit it, and grown by addition only."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
import yaml

import openapi
from openapi import FILE, broken_promises, generate

Schema = dict[str, Any]
RENEW = "run `make openapi`, and look at the difference"


@pytest.fixture(scope="module")
def kept() -> Schema:
    return dict(yaml.safe_load(FILE.read_text()))


@pytest.fixture(scope="module")
def built() -> str:
    return generate()


def operations(schema: Schema) -> Iterator[tuple[str, Schema]]:
    for path, verbs in schema["paths"].items():
        for verb, operation in verbs.items():
            yield f"{verb.upper()} {path}", operation


def contents(operation: Schema) -> Iterator[tuple[str, Schema]]:
    """Each body that an operation takes or gives, as JSON."""
    for words, part in (("body", operation.get("requestBody", {})), *operation["responses"].items()):
        for kind, content in part.get("content", {}).items():
            if kind == "application/json":
                yield words, content


def test_the_api_changes_by_addition_only(kept, built):
    assert broken_promises(kept, yaml.safe_load(built)) == []


def test_the_api_does_not_change_unannounced(built):
    assert FILE.read_text() == built, RENEW


def test_the_panel_shows_the_same(kept, stranger):
    assert json.loads(stranger.get("/api/schema/", secure=True).content)["paths"] == kept["paths"]


def test_each_operation_has_examples_that_fit(kept):
    """Of what is sent, and of each good answer with a body; errors have them where they say something of their own."""
    missing, wrong = [], []
    for name, operation in operations(kept):
        for words, content in contents(operation):
            examples = [each["value"] for each in content.get("examples", {}).values()]
            if not examples and (words == "body" or words.startswith("2")):
                missing.append(f"{name} {words}")
            for example in examples:
                found = jsonschema.Draft202012Validator(_as_json_schema(content["schema"], kept)).iter_errors(example)
                wrong += [f"{name} {words}: {each.json_path} {each.message}" for each in found]
    assert missing == []
    assert wrong == []


def _as_json_schema(schema: Any, document: Schema) -> Any:
    """OpenAPI 3.0 writes null in a way of its own."""
    if isinstance(schema, list):
        return [_as_json_schema(each, document) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _as_json_schema(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    own = {key: _as_json_schema(value, document) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [own, {"type": "null"}]} if schema.get("nullable") is True else own


@pytest.mark.parametrize(
    "operation", ["websites_create", "websites_status", "tokens_create", "audit_read", "logs_read"]
)
def test_what_the_api_promises_is_described(kept, operation):
    assert operation in {each["operationId"] for _, each in operations(kept)}


def test_the_log_is_described_with_its_follow(kept):
    log = kept["paths"]["/api/v1/user/{username}/websites/{domain_name}/logs/{kind}/"]["get"]
    assert {each["name"] for each in log["parameters"]} >= {"kind", "tail", "follow"}
    assert set(log["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}


ONE = "/api/v1/user/{username}/websites/{domain_name}/"


BREAKING: dict[str, tuple[Callable[[Schema], object], str]] = {
    "an operation": (lambda new: new["paths"][ONE].pop("patch"), f"PATCH {ONE}: is gone"),
    "an address": (lambda new: new["paths"].pop(ONE), f"GET {ONE}: is gone"),
    "an answer": (lambda new: new["paths"][ONE]["get"]["responses"].pop("404"), f"GET {ONE}: answer 404 is gone"),
    "a field": (
        lambda new: new["components"]["schemas"]["WebsiteShown"]["properties"].pop("enabled"),
        f"GET {ONE} 200.enabled: is gone",
    ),
    "a certainty": (
        lambda new: new["components"]["schemas"]["WebsiteShown"]["required"].remove("enabled"),
        f"GET {ONE} 200.enabled: may be missing now",
    ),
    "a field's type": (
        lambda new: new["components"]["schemas"]["WebsiteShown"]["properties"]["id"].update(type="string"),
        f"GET {ONE} 200.id: type was integer, is string",
    ),
    "an answer without null": (
        lambda new: new["components"]["schemas"]["WebsiteShown"]["properties"]["id"].update(nullable=True),
        f"GET {ONE} 200.id: may be null now",
    ),
    "freedom to leave out": (
        lambda new: new["components"]["schemas"]["WebsiteCreation"].update(
            required=["domain_name", "enabled", "webapp"]
        ),
        "POST /api/v1/user/{username}/websites/ body.enabled: is required now",
    ),
    "room in a bound": (
        lambda new: new["components"]["schemas"]["WebappRequest"]["properties"]["drain_s"].update(maximum=5),
        "POST /api/v1/user/{username}/websites/ body.webapp.drain_s: maximum was 600, is 5",
    ),
    "a parameter": (
        lambda new: new["paths"]["/api/v1/user/{username}/audit/"]["get"]["parameters"].pop(0),
        "GET /api/v1/user/{username}/audit/: parameter before is gone",
    ),
}


@pytest.mark.parametrize("what", BREAKING)
def test_what_goes_is_noticed(kept, what):
    new = copy.deepcopy(kept)
    take, line = BREAKING[what]
    take(new)
    assert line in broken_promises(kept, new)


def test_a_value_that_goes_is_noticed_and_one_that_comes_is_none(kept):
    new = copy.deepcopy(kept)
    lists = [each["enum"] for each in new["components"]["schemas"].values() if "running" in each.get("enum", ())]
    assert lists
    for values in lists:
        values.append("dreaming")
    assert broken_promises(kept, new) == []
    for values in lists:
        values.remove("asleep")
    assert any("the value 'asleep' is gone" in line for line in broken_promises(kept, new))


def test_additions_are_none(kept):
    new = copy.deepcopy(kept)
    new["paths"]["/api/v1/more/"] = copy.deepcopy(new["paths"][ONE])
    new["components"]["schemas"]["WebsiteShown"]["properties"]["more"] = {"type": "string"}
    new["components"]["schemas"]["WebappRequest"]["properties"]["drain_s"]["maximum"] = 10_000
    new["paths"][ONE]["get"]["responses"]["418"] = {"description": "Tea"}
    assert broken_promises(kept, new) == []
    assert broken_promises(new, kept) != []


def test_the_command_writes_what_was_added_and_refuses_what_would_go(kept, monkeypatch, tmp_path, capsys):
    for name in ("HOSTEL_ROOT", "DJANGO_SETTINGS_MODULE"):
        monkeypatch.setenv(name, "")  # it sets its own; they are as they were after the test
    file = tmp_path / "openapi.yaml"
    monkeypatch.setattr(openapi, "FILE", file)
    less, more = copy.deepcopy(kept), copy.deepcopy(kept)
    less["paths"].pop(ONE)
    more["paths"]["/api/v1/more/"] = more["paths"][ONE]
    file.write_text(yaml.safe_dump(less))
    assert openapi.main() == 0
    assert file.read_text() == FILE.read_text()
    file.write_text(yaml.safe_dump(more))
    assert openapi.main() == 1
    assert yaml.safe_load(file.read_text()) == more
    assert "GET /api/v1/more/: is gone" in capsys.readouterr().err
