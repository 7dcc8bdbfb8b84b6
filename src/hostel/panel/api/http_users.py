"""Who may visit a website: names and passwords that the edge asks for. A password goes in and never comes out again."""

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel.api import schema_edge as schema
from hostel.panel.api.errors import refused_as
from hostel.panel.api.shapes_edge import HttpUserChange, HttpUserCreation
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
        sent = self.sent(HttpUserCreation)
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
        sent = self.sent(HttpUserChange)
        with refused_as("username", InvalidHttpUser):
            check_http_username(name)
        return _set(website, name, sent["password"])

    @schema.delete_http_user
    def delete(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        website = self.get_website(domain_name)
        if name not in website.http_users:
            raise Http404
        deploy.change_http_users(website, {name: None})
        return Response(status=204)


def _set(website: Website, name: str, password: str) -> Response:
    is_new = name not in website.http_users
    with refused_as("non_field_errors", InvalidHttpUser):
        deploy.change_http_users(website, {name: hash_password(password)})
    return Response({"username": name}, status=201 if is_new else 200)
