"""Forms of the pages of a website. What is accepted is what the API accepts: its shapes check what was entered."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from rest_framework import serializers

from hostel.panel.api.shapes_edge import HttpUserCreation, MappingRequest
from hostel.panel.api.shapes_environment import FileImport, VariableCreation
from hostel.panel.api.shapes_webapp import WebappRequest
from hostel.panel.websites.models import Website


class ShapedForm(forms.Form):
    """A form that asks for what a serializer takes. `wanted` is what that made of it, once the form is valid."""

    shape: ClassVar[type[serializers.Serializer[Any]]]

    def __init__(self, *args: Any, context: Mapping[str, Any], **options: Any) -> None:
        super().__init__(*args, **options)
        self._context = dict(context)
        self.wanted: dict[str, Any] = {}

    def sent(self) -> dict[str, Any]:
        """What the serializer is given."""
        return {name: self.cleaned_data[name] for name in self.fields}

    def clean(self) -> dict[str, Any]:
        serializer = self.shape(data=self.sent(), context=self._context, partial=True)
        if serializer.is_valid():
            self.wanted = dict(serializer.validated_data)
        for name, errors in serializer.errors.items():
            self.add_error(name if name in self.fields else None, [str(error) for error in errors])
        return self.cleaned_data

    def add_error(self, field: str | None, error: Any) -> None:
        """The cursor goes there: on a long page, and on a phone, nobody would see it otherwise."""
        super().add_error(field, error)
        if field in self.fields:
            self.fields[field].widget.attrs["autofocus"] = True


def text(*, label: str, hint: str = "", **attributes: Any) -> forms.CharField:
    """One line, which the shape checks."""
    widget = forms.TextInput({"autocapitalize": "none", "autocomplete": "off", "spellcheck": "false", **attributes})
    return forms.CharField(label=label, help_text=hint, required=False, strip=False, widget=widget)


def text_box(
    *, label: str, rows: int, hint: str = "", kind: type[forms.Textarea] = forms.Textarea, **attributes: Any
) -> forms.CharField:
    """Lines of code, which the shape checks."""
    widget = kind(_of_code(rows, **attributes))
    return forms.CharField(label=label, help_text=hint, required=False, strip=False, widget=widget)


class CommandField(forms.CharField):
    """A command, without the line break that comes along when a line is copied."""

    def __init__(self, hint: str) -> None:
        widget = forms.Textarea(_of_code(3))
        super().__init__(label="Command", help_text=hint, required=False, strip=False, widget=widget)

    def to_python(self, value: Any) -> str:
        command = super().to_python(value) or ""
        return command.removesuffix("\r\n").removesuffix("\n")


def _of_code(rows: int, **attributes: Any) -> dict[str, Any]:
    return {"rows": rows, "class": "mono", "spellcheck": "false", "autocapitalize": "none", **attributes}


class CommandForm(ShapedForm):
    shape = WebappRequest

    command = CommandField(
        "Run by bash in your home; it must listen on the unix socket $DOMAIN_SOCKET. Saving starts it beside what "
        "runs, and switches visitors over once it listens."
    )


class DeletionForm(forms.Form):
    """Deleted is what was typed."""

    domain_name = text(label="Type the website's domain to delete it")

    def __init__(self, *args: Any, website: Website, **options: Any) -> None:
        super().__init__(*args, **options)
        self._website = website

    def clean_domain_name(self) -> str:
        typed: str = self.cleaned_data["domain_name"].strip()
        if typed.lower() not in (self._website.domain_name.lower(), self._website.canonical_name):
            raise forms.ValidationError(f"That is not {self._website.domain_name}.")
        return typed


def secret_box(label: str) -> forms.BooleanField:
    return forms.BooleanField(label=label, required=False)


class VariableForm(ShapedForm):
    shape = VariableCreation

    name = text(label="Name", hint="Letters, digits and underscores: DJANGO_SECRET_KEY", **{"class": "mono"})
    value = text_box(label="Value", rows=1)
    is_secret = secret_box("Hidden: nobody is shown the value again, not even you")

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        return name.strip()

    def clean_value(self) -> str:
        value: str = self.cleaned_data["value"]
        return value.replace("\r\n", "\n")


class ImportForm(ShapedForm):
    shape = FileImport

    content = text_box(
        label="Text of a .env file",
        rows=5,
        hint="One NAME=value a line. Variables that are there already get the new value.",
        placeholder="DEBUG=0\nDATABASE_URL=sqlite:///db",
    )
    is_secret = secret_box("Hide all of them")

    def sent(self) -> dict[str, Any]:
        """Unticked leaves those that are hidden as they are."""
        sent = super().sent()
        return sent if sent["is_secret"] else {"content": sent["content"]}


class MappingForm(ShapedForm):
    shape = MappingRequest

    url = text(label="URL", hint="Where addresses begin: /static/", **{"class": "mono", "placeholder": "/static/"})
    path = text(label="Path", hint="A directory or a file in your home, absolute.", **{"class": "mono"})


class HttpUserForm(ShapedForm):
    shape = HttpUserCreation

    username = text(label="User name")
    password = forms.CharField(
        label="Password",
        required=False,
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
        help_text="Kept as a hash. A name that is there already gets the new password.",
    )
