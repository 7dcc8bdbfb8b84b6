"""Shapes of what the edge does for a website by itself: static mappings, passwords."""

from collections.abc import Callable
from typing import Any

from rest_framework import serializers

from hostel.panel.accounts.models import User
from hostel.wire.http_users import InvalidHttpUser, check_http_password, check_http_username
from hostel.wire.static_files import InvalidMapping, check_path, check_url


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
        return _checked(lambda: check_url(url))

    def validate_path(self, path: str) -> str:
        owner: User = self.context["owner"]
        return _checked(lambda: check_path(path, username=owner.username))


class MappingRequest(MappingChange):
    url = serializers.CharField(trim_whitespace=False, help_text="Where addresses begin that are answered with files.")
    path = serializers.CharField(
        trim_whitespace=False, help_text="A directory or a single file in your home, absolute."
    )


class MappingShown(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    url = serializers.CharField()
    path = serializers.CharField()


def _checked(check: Callable[[], str]) -> str:
    """`wire`'s rule, its refusal in DRF's form."""
    try:
        return check()
    except (InvalidMapping, InvalidHttpUser) as error:
        raise serializers.ValidationError(str(error), code=error.code) from error


class HttpUserChange(serializers.Serializer[Any]):
    password = serializers.CharField(trim_whitespace=False, help_text="Kept as a hash, and never shown.")

    def validate_password(self, password: str) -> str:
        return _checked(lambda: check_http_password(password))


class HttpUserCreation(HttpUserChange):
    username = serializers.CharField(trim_whitespace=False)

    def validate_username(self, username: str) -> str:
        return checked_http_username(username)


class HttpUserShown(serializers.Serializer[Any]):
    username = serializers.CharField()


def checked_http_username(name: str) -> str:
    return _checked(lambda: check_http_username(name))
