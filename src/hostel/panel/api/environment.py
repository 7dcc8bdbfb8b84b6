"""Environment variables of a website. A secret value goes in and never comes out again."""

from io import StringIO
from typing import Any

from django.http import Http404
from dotenv.parser import parse_stream
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel.api import schema
from hostel.panel.api.errors import refused_as
from hostel.panel.api.serializers import FileImport, VariableChange, VariableCreation
from hostel.panel.api.views import OwnersView
from hostel.panel.websites import deploy
from hostel.panel.websites.models import Variable, Website
from hostel.wire.environment import InvalidVariable, check_name, check_value

_FILE_BYTES = 128 << 10


class Environment(OwnersView):
    @schema.list_environment
    def get(self, request: Request, username: str, domain_name: str) -> Response:
        return Response(_shown(self.get_website(domain_name)))

    @schema.create_variable
    def post(self, request: Request, username: str, domain_name: str) -> Response:
        website = self.get_website(domain_name)
        sent = self.sent(VariableCreation)
        is_new = sent["name"] not in website.variables
        _set(website, {sent["name"]: sent["value"]}, sent.get("is_secret"))
        return Response(_one(website, sent["name"]), status=201 if is_new else 200)


class One(OwnersView):
    @schema.get_variable
    def get(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        return Response(_one(self.get_website(domain_name), name))

    @schema.put_variable
    def put(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        website = self.get_website(domain_name)
        sent = self.sent(VariableChange)
        with refused_as("name", InvalidVariable):
            is_new = check_name(name) not in website.variables
        _set(website, {name: sent["value"]}, sent.get("is_secret"))
        return Response(_one(website, name), status=201 if is_new else 200)

    @schema.delete_variable
    def delete(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        website = self.get_website(domain_name)
        _one(website, name)
        deploy.change_environment(website, {name: None})
        return Response(status=204)


class Import(OwnersView):
    @schema.import_environment
    def post(self, request: Request, username: str, domain_name: str) -> Response:
        website = self.get_website(domain_name)
        sent = self.sent(FileImport)
        _set(website, _read(sent["content"]), sent.get("is_secret"))
        return Response(_shown(website))


def _read(content: str) -> dict[str, str]:
    """All or nothing: a line that cannot be read names itself. `$NAME` stays as it is."""
    if len(content) > _FILE_BYTES:
        raise exceptions.ValidationError({"content": [f"Give at most {_FILE_BYTES >> 10} KiB."]})
    found: dict[str, str] = {}
    for binding in parse_stream(StringIO(content)):
        line = f"Line {binding.original.line}"
        if binding.error:
            raise exceptions.ValidationError({"content": [f"{line} cannot be read: expected NAME=value."]})
        if binding.key is None:
            continue  # a comment, an empty line
        if binding.value is None:
            raise exceptions.ValidationError({"content": [f"{line}: {binding.key} has no value."]})
        try:
            found[check_name(binding.key)] = check_value(binding.value)
        except InvalidVariable as error:
            raise exceptions.ValidationError({"content": [f"{line}: {error}"]}, code=error.code) from error
    return found


def _set(website: Website, values: dict[str, str], is_secret: bool | None) -> None:
    known = website.variables
    changes: dict[str, Variable | None] = {
        name: Variable(value, known[name].is_secret if is_secret is None and name in known else bool(is_secret))
        for name, value in values.items()
    }
    with refused_as("non_field_errors", InvalidVariable):
        deploy.change_environment(website, changes)


def _one(website: Website, name: str) -> dict[str, Any]:
    for shown in _shown(website):
        if shown["name"] == name:
            return shown
    raise Http404


def _shown(website: Website) -> list[dict[str, Any]]:
    return [
        {"name": name, "value": None if each.is_secret else each.value, "is_secret": each.is_secret}
        for name, each in sorted(website.variables.items())
    ]
