"""Who may visit a website: names and passwords that the edge asks for. A password goes in and never comes out again."""

from typing import Any

from django.http import Http404
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel.api import schema_edge as schema
from hostel.panel.api.shapes_edge import HttpUserChange, HttpUserCreation
from hostel.panel.api.shapes_webapp import checked
from hostel.panel.api.views import OwnersView
from hostel.panel.websites import deploy
from hostel.panel.websites.models import Website
from hostel.panel.websites.password_hash import hash_password
from hostel.wire.http_users import InvalidHttpUser, check_http_username


class HttpUsers(OwnersView):
    @schema.list_http_users
    def get(self, request: Request, username: str, domain_name: str) -> Response:
        return Response([{"username": name} for name in self.get_website(domain_name).http_users])

    @schema.create_http_user
    def post(self, request: Request, username: str, domain_name: str) -> Response:
        website = self.get_website(domain_name)
        sent = _checked(HttpUserCreation, request)
        return _set(website, sent["username"], sent["password"])


class One(OwnersView):
    @schema.get_http_user
    def get(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        if name not in self.get_website(domain_name).http_users:
            raise Http404
        return Response({"username": name})

    @schema.put_http_user
    def put(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        website = self.get_website(domain_name)
        sent = _checked(HttpUserChange, request)
        try:
            checked(check_http_username, name)
        except exceptions.ValidationError as error:
            raise exceptions.ValidationError({"username": error.detail}) from error
        return _set(website, name, sent["password"])

    @schema.delete_http_user
    def delete(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        website = self.get_website(domain_name)
        if name not in website.http_users:
            raise Http404
        deploy.change_http_users(website, {name: None})
        return Response(status=204)


def _checked(kind: type[serializers.Serializer[Any]], request: Request) -> dict[str, str]:
    serializer = kind(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _set(website: Website, name: str, password: str) -> Response:
    is_new = name not in website.http_users
    try:
        deploy.change_http_users(website, {name: hash_password(password)})
    except InvalidHttpUser as error:
        raise exceptions.ValidationError({"non_field_errors": [str(error)]}, code=error.code) from error
    return Response({"username": name}, status=201 if is_new else 200)
