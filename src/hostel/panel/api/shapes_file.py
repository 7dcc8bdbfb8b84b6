"""Shapes of files and logs."""

from typing import Any

from rest_framework import serializers


class FileSent(serializers.Serializer[Any]):
    content = serializers.FileField()


class DeletionRefused(serializers.Serializer[Any]):
    """Of a file: the sentence stands in `message` where the file is the reason, in `detail` otherwise."""

    message = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)
    code = serializers.CharField(required=False, help_text="The same as in the header `Hostel-Error-Code`.")


class LogShown(serializers.Serializer[Any]):
    lines = serializers.ListField(child=serializers.CharField())
    position = serializers.CharField(help_text="Where the answer ended.")


class LogEvent(serializers.Serializer[Any]):
    # DRF takes declared fields out of the class, so this one is in nobody's way.
    data = serializers.CharField(help_text="A line, as a JSON string.")  # type: ignore[assignment]
    id = serializers.CharField(required=False, help_text="The position after it; send it as `Last-Event-ID`.")
    event = serializers.CharField(required=False)
