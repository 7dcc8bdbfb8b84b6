"""Forms of the wizard that makes a website."""

from typing import Any

from django import forms

from hostel.panel.api.shapes_website import WebsiteCreation, wanted_by
from hostel.panel.websites.build import check_name, read_packages
from hostel.panel.websites.forms import CommandField, ShapedForm, text
from hostel.wire.website import Listens
from hostel.wire.workshop import Surroundings


class ExampleForm(forms.Form):
    name = text(label="Name of the new folder", hint="In your home; a virtualenv of the same name is made for it.")

    def clean_name(self) -> str:
        return check_name(self.cleaned_data["name"].strip())


class VirtualenvForm(forms.Form):
    """A new virtualenv, or more packages for one that is there."""

    name = text(label="Name", hint="It will be in .virtualenvs in your home, where workon finds it.")
    python = forms.ChoiceField(label="Python")
    packages = text(label="Packages", hint="What is installed in it, as you would tell pip.")

    def __init__(self, *args: Any, surroundings: Surroundings, **options: Any) -> None:
        super().__init__(*args, **options)
        newest = sorted(surroundings.pythons, key=lambda name: int(name.partition(".")[2] or 0), reverse=True)
        choices = [("python3", "the newest one"), *((name, name.replace("python", "Python ")) for name in newest)]
        self.fields["python"] = forms.ChoiceField(label="Python", choices=choices)

    def clean_name(self) -> str:
        return check_name(self.cleaned_data["name"].strip())

    def clean_packages(self) -> tuple[str, ...]:
        return read_packages(self.cleaned_data["packages"])


class NewWebsiteForm(ShapedForm):
    """What the API's creation takes, flat."""

    shape = WebsiteCreation

    domain_name = text(label="Address", hint="Your name below the platform's domain, or a domain of your own.")
    command = CommandField("Run by bash in the folder below.")
    working_directory = text(label="Folder", hint="Where the command is run; empty is your home.")
    listens_on = forms.ChoiceField(
        label="Listens on",
        choices=[
            (Listens.SOCKET.value, "the socket $DOMAIN_SOCKET"),
            (Listens.PORT.value, "the port $PORT, for servers that know no sockets"),
        ],
    )

    def clean(self) -> dict[str, Any]:
        sent = self.cleaned_data
        webapp = {name: sent.get(name, "") for name in ("command", "working_directory", "listens_on")}
        asked = {"domain_name": sent.get("domain_name", ""), "enabled": True, "webapp": webapp}
        serializer = WebsiteCreation(data=asked, context=self._context)
        if serializer.is_valid():
            self.wanted = wanted_by(serializer.validated_data)
        errors = dict(serializer.errors)
        for name, found in {**errors, **errors.pop("webapp", {})}.items():
            if name in self.fields:
                self.add_error(name, [str(error) for error in found])
        return sent
