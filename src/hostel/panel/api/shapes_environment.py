"""Shapes of environment variables."""

from typing import Any

from rest_framework import serializers

from hostel.panel.api.shapes_webapp import Switch, checked
from hostel.wire.environment import check_name, check_value


class VariableChange(serializers.Serializer[Any]):
    value = serializers.CharField(allow_blank=True, trim_whitespace=False)
    is_secret = Switch(required=False, help_text="Never shown again. Default: as it was, or false.")

    def validate_value(self, value: str) -> str:
        return checked(check_value, value)


class VariableCreation(VariableChange):
    name = serializers.CharField()

    def validate_name(self, name: str) -> str:
        return checked(check_name, name)


class FileImport(serializers.Serializer[Any]):
    content = serializers.CharField(trim_whitespace=False, help_text="The text of a `.env` file.")
    is_secret = Switch(required=False, help_text="Of all of them. Default: as each was, or false.")


class VariableShown(serializers.Serializer[Any]):
    name = serializers.CharField()
    value = serializers.CharField(allow_null=True, help_text="`null`: it is secret.")
    is_secret = serializers.BooleanField()
