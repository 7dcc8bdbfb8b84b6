#!/usr/bin/env python3
"""Write docs/reference/openapi.yaml anew, from the code: `make openapi`.

Refused where something that clients may rely on would change or go: the API changes by addition only. Nothing is
written then.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs/reference/openapi.yaml"
_HEAD = "# Made by `make openapi`; do not edit.\n"
_FIXED = ("type", "format", "pattern")
# Bounds of what may be sent, and whether a larger number is the narrower one.
_BOUNDS = {
    "minimum": True,
    "minLength": True,
    "minItems": True,
    "maximum": False,
    "maxLength": False,
    "maxItems": False,
}


def generate() -> str:
    """The description of the code as it is. Django is set up."""
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.renderers import OpenApiYamlRenderer

    schema = SchemaGenerator().get_schema(request=None, public=True)
    return _HEAD + OpenApiYamlRenderer().render(schema, renderer_context={}).decode()


def broken_promises(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What a client of `old` would miss in `new`, a line each. Additions are none."""
    return list(_Comparison(old, new).operations())


class _Comparison:
    def __init__(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        self._old, self._new = old, new

    def operations(self) -> Iterator[str]:
        for path, verbs in self._old["paths"].items():
            for verb, old in verbs.items():
                new = self._new["paths"].get(path, {}).get(verb)
                place = f"{verb.upper()} {path}"
                if new is None:
                    yield f"{place}: is gone"
                elif new["operationId"] != old["operationId"]:
                    yield f"{place}: has another operationId"
                else:
                    yield from self._parameters(old, new, place)
                    yield from self._request(old, new, place)
                    yield from self._responses(old, new, place)

    def _parameters(self, old: dict[str, Any], new: dict[str, Any], place: str) -> Iterator[str]:
        before = {(each["in"], each["name"]): each for each in old.get("parameters", ())}
        now = {(each["in"], each["name"]): each for each in new.get("parameters", ())}
        for key, parameter in before.items():
            if key not in now:
                yield f"{place}: parameter {key[1]} is gone"
            else:
                yield from self._schema(parameter["schema"], now[key]["schema"], f"{place} {key[1]}", is_sent=True)
        for key, parameter in now.items():
            was_required = key in before and before[key].get("required", False)
            if parameter.get("required", False) and not was_required:
                yield f"{place}: parameter {key[1]} is required now"

    def _request(self, old: dict[str, Any], new: dict[str, Any], place: str) -> Iterator[str]:
        before, now = old.get("requestBody", {}), new.get("requestBody", {})
        if now.get("required", False) and not before.get("required", False):
            yield f"{place}: a body is required now"
        yield from self._contents(before.get("content", {}), now.get("content", {}), f"{place} body", is_sent=True)

    def _responses(self, old: dict[str, Any], new: dict[str, Any], place: str) -> Iterator[str]:
        for status, before in old["responses"].items():
            now = new["responses"].get(status)
            if now is None:
                yield f"{place}: answer {status} is gone"
                continue
            contents = before.get("content", {}), now.get("content", {})
            yield from self._contents(*contents, f"{place} {status}", is_sent=False)

    def _contents(self, old: dict[str, Any], new: dict[str, Any], place: str, *, is_sent: bool) -> Iterator[str]:
        for kind, before in old.items():
            if kind not in new:
                yield f"{place}: {kind} is gone"
            else:
                yield from self._schema(before.get("schema", {}), new[kind].get("schema", {}), place, is_sent=is_sent)

    def _schema(self, old: dict[str, Any], new: dict[str, Any], place: str, *, is_sent: bool) -> Iterator[str]:
        old, new = _resolved(self._old, old), _resolved(self._new, new)
        for key in _FIXED:
            if old.get(key) != new.get(key):
                yield f"{place}: {key} was {old.get(key)}, is {new.get(key)}"
        yield from _values(old, new, place)
        yield from _narrowed(old, new, place) if is_sent else _loosened(old, new, place)
        for name, before in old.get("properties", {}).items():
            now = new.get("properties", {}).get(name)
            if now is None:
                yield f"{place}.{name}: is gone"
            else:
                yield from self._schema(before, now, f"{place}.{name}", is_sent=is_sent)
        if "items" in old:
            yield from self._schema(old["items"], new.get("items", {}), f"{place}[]", is_sent=is_sent)
        for key in ("allOf", "oneOf", "anyOf"):
            for number, before in enumerate(old.get(key, ())):
                now = (new.get(key, ())[number : number + 1] or [{}])[0]
                yield from self._schema(before, now, place, is_sent=is_sent)


def _values(old: dict[str, Any], new: dict[str, Any], place: str) -> Iterator[str]:
    if "enum" in old and "enum" in new:
        for value in old["enum"]:
            if value not in new["enum"]:
                yield f"{place}: the value {value!r} is gone"
    elif "enum" in new:
        yield f"{place}: has only certain values now"


def _narrowed(old: dict[str, Any], new: dict[str, Any], place: str) -> Iterator[str]:
    """What could be sent, and cannot any more."""
    for name in new.get("required", ()):
        if name not in old.get("required", ()):
            yield f"{place}.{name}: is required now"
    if old.get("nullable", False) and not new.get("nullable", False):
        yield f"{place}: cannot be null any more"
    for key, is_least in _BOUNDS.items():
        before, now = old.get(key), new.get(key)
        if now is not None and (before is None or ((now > before) == is_least and now != before)):
            yield f"{place}: {key} was {before}, is {now}"


def _loosened(old: dict[str, Any], new: dict[str, Any], place: str) -> Iterator[str]:
    """What was answered for certain, and is not any more."""
    for name in old.get("required", ()):
        if name not in new.get("required", ()):
            yield f"{place}.{name}: may be missing now"
    if new.get("nullable", False) and not old.get("nullable", False):
        yield f"{place}: may be null now"


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def main() -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "hostel.panel.settings"
    os.environ["HOSTEL_ROOT"] = os.devnull  # no installation: nothing is read or written there
    import django

    django.setup()
    text = generate()
    if FILE.exists():
        broken = broken_promises(yaml.safe_load(FILE.read_text()), yaml.safe_load(text))
        if broken:
            print("Not written: the API changes by addition only.", *broken, sep="\n  ", file=sys.stderr)
            print("hint: keep what was there beside the new", file=sys.stderr)
            return 1
    FILE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
