"""Shapes of refusals."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


class ErrorShown(serializers.Serializer[Any]):
    detail = serializers.CharField()
    code = serializers.CharField(required=False, help_text="The same as in the header `Hostel-Error-Code`.")


@extend_schema_field(
    {
        "oneOf": [
            {"type": "object", "additionalProperties": {}},
            {"type": "array", "items": {"type": "string"}},
        ],
        "description": "By key what is wrong with it, or sentences about the whole.",
    }
)
class WebappErrors(serializers.JSONField):
    """Only described: DRF makes these answers."""


class FieldErrors(serializers.Serializer[Any]):
    """One list of sentences for each field that was refused."""

    domain_name = serializers.ListField(child=serializers.CharField(), required=False)
    enabled = serializers.ListField(child=serializers.CharField(), required=False)
    webapp = WebappErrors(required=False)
    non_field_errors = serializers.ListField(child=serializers.CharField(), required=False)
