"""Shapes of consoles."""

from typing import Any

from rest_framework import serializers

from hostel.wire.console import INPUT_BYTES_LIMIT, SHELL, TEXT_BYTES_LIMIT


def _text(help_text: str) -> serializers.CharField:
    return serializers.CharField(
        default="", allow_blank=True, allow_null=True, max_length=TEXT_BYTES_LIMIT, help_text=help_text
    )


class ConsoleCreation(serializers.Serializer[Any]):
    executable = serializers.CharField(
        default=SHELL,
        max_length=TEXT_BYTES_LIMIT,
        help_text="`bash`, `python`, `python3.X` as installed, or the absolute path of a program.",
    )
    arguments = _text("For the executable, quoted as in a shell.")
    working_directory = _text("Where it begins: an absolute path. Default: your home.")
    virtualenv = _text("In which virtualenv: its name, as for `workon`, or its absolute path. Default: none.")


class ConsoleInput(serializers.Serializer[Any]):
    input = serializers.CharField(
        trim_whitespace=False,
        allow_blank=True,
        max_length=INPUT_BYTES_LIMIT // 4,
        help_text="As if typed: a line is carried out when it ends in a newline; `\\u0003` is Ctrl-C.",
    )


class ConsoleShown(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    user = serializers.CharField()
    executable = serializers.CharField()
    arguments = serializers.CharField(allow_blank=True)
    working_directory = serializers.CharField(allow_null=True, help_text="`null`: the home.")
    name = serializers.CharField()
    console_url = serializers.CharField(help_text="A path: the console in a browser.")
    console_frame_url = serializers.CharField(help_text="A path: the same page.")


class OutputShown(serializers.Serializer[Any]):
    output = serializers.CharField(
        allow_blank=True,
        trim_whitespace=False,
        help_text="What the terminal has shown last, up to 64 KiB, with its escape sequences.",
    )


class InputAccepted(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["OK"])
