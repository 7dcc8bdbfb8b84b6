"""Environment variables of a website. A secret value goes in and never comes out again."""

from collections.abc import Mapping
from typing import Any

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel.api import schema_environment as schema
from hostel.panel.api.errors import refused_as
from hostel.panel.api.shapes_environment import FileImport, VariableChange, VariableCreation
from hostel.panel.api.views import OwnersView
from hostel.panel.websites import deploy
from hostel.panel.websites.environment import UnreadableFile, read_file
from hostel.panel.websites.models import Website
from hostel.wire.environment import InvalidVariable, check_name


class Environment(OwnersView):
    @schema.list_environment
    def get(self, request: Request, username: str, domain_name: str) -> Response:
        return Response(_shown(self.get_website(domain_name)))

    @schema.create_variable
    def post(self, request: Request, username: str, domain_name: str) -> Response:
        website = self.get_website(domain_name)
        sent = self.sent(VariableCreation)
        is_new = sent["name"] not in website.variables
        _set(website, {sent["name"]: sent["value"]}, sent)
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
        _set(website, {name: sent["value"]}, sent)
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
        with refused_as("content", UnreadableFile, InvalidVariable):
            values = read_file(sent["content"])
        _set(website, values, sent)
        return Response(_shown(website))


def _set(website: Website, values: Mapping[str, str], sent: Mapping[str, Any]) -> None:
    with refused_as("non_field_errors", InvalidVariable):
        deploy.set_variables(website, values, is_secret=sent.get("is_secret"))


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
