"""Shapes of what the edge does for a website by itself: static mappings."""

from collections.abc import Callable
from typing import Any

from rest_framework import serializers

from hostel.panel.accounts.models import User
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
        return _checked_mapping(lambda: check_url(url))

    def validate_path(self, path: str) -> str:
        owner: User = self.context["owner"]
        return _checked_mapping(lambda: check_path(path, username=owner.username))


class MappingRequest(MappingChange):
    url = serializers.CharField(trim_whitespace=False, help_text="Where addresses begin that are answered with files.")
    path = serializers.CharField(
        trim_whitespace=False, help_text="A directory or a single file in your home, absolute."
    )


class MappingShown(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    url = serializers.CharField()
    path = serializers.CharField()


def _checked_mapping(check: Callable[[], str]) -> str:
    try:
        return check()
    except InvalidMapping as error:
        raise serializers.ValidationError(str(error), code=error.code) from error
