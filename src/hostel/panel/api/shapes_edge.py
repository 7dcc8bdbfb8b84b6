"""Shapes of what the edge does for a website by itself: static mappings, passwords."""

from typing import Any

from rest_framework import serializers

from hostel.panel.accounts.models import User
from hostel.panel.api.shapes_webapp import checked
from hostel.wire.http_users import check_http_password, check_http_username
from hostel.wire.static_files import check_path, check_url


class MappingChange(serializers.Serializer[Any]):
    url = serializers.CharField(
        required=False,
        trim_whitespace=False,
        help_text="Where addresses begin that are answered with files: `/static/`.",
    )
    path = serializers.CharField(
        required=False, trim_whitespace=False, help_text="A directory or a single file in your home, absolute."
    )

    def validate_url(self, url: str) -> str:
        return checked(check_url, url)

    def validate_path(self, path: str) -> str:
        owner: User = self.context["owner"]
        return checked(lambda path: check_path(path, username=owner.username), path)


class MappingRequest(MappingChange):
    url = serializers.CharField(trim_whitespace=False, help_text="Where addresses begin that are answered with files.")
    path = serializers.CharField(
        trim_whitespace=False, help_text="A directory or a single file in your home, absolute."
    )


class MappingShown(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    url = serializers.CharField()
    path = serializers.CharField()


class HttpUserChange(serializers.Serializer[Any]):
    password = serializers.CharField(trim_whitespace=False, help_text="Kept as a hash, and never shown.")

    def validate_password(self, password: str) -> str:
        return checked(check_http_password, password)


class HttpUserCreation(HttpUserChange):
    username = serializers.CharField(trim_whitespace=False)

    def validate_username(self, username: str) -> str:
        return checked(check_http_username, username)


class HttpUserShown(serializers.Serializer[Any]):
    username = serializers.CharField()
