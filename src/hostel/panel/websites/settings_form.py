"""The form of a website's settings: one field for each that the API takes, with the API's own words about it."""

from typing import Any

from django import forms
from rest_framework import serializers

from hostel.panel.api.shapes_webapp import WebappChange
from hostel.panel.websites.forms import ShapedForm
from hostel.panel.websites.models import LIMITS, RESTS, SETTINGS, Website

# How they are shown together, and what each is called.
GROUPS: dict[str, dict[str, str]] = {
    "HTTPS": {"force_https": "Send visitors to HTTPS", "hsts_s": "HSTS, in seconds"},
    "Command": {
        "working_directory": "Working directory",
        "listens_on": "The command listens on",
        "expose_token": "API_TOKEN in the environment",
        "always_on": "Start after a reboot",
    },
    "Reload": {
        "reload_strategy": "How a new run takes over",
        "start_deadline_s": "Time to start, in seconds",
        "drain_s": "Time for requests of the old run, in seconds",
        "websocket_drain_s": "Time for WebSockets of the old run, in seconds",
        "grace_s": "Time between TERM and KILL, in seconds",
        "ws_spread_s": "WebSockets come back within, in seconds",
    },
    "Requests": {
        "read_timeout_s": "A request may be silent for, in seconds",
        "websocket_timeout_s": "A WebSocket may be silent for, in seconds",
        "max_body_mb": "Largest body, in MiB",
        "buffer_requests": "Receive bodies before passing them on",
        "buffer_responses": "Take answers as fast as they come",
    },
    "Limits": {"memory_mb": "Memory, in MiB", "pids": "Processes and threads", "cpu": "Processor, in cores"},
    "Sleep": {
        "sleep": "When nobody uses it",
        "sleep_after_s": "After so many seconds",
        "monitors_wake": "Monitoring services count as visitors",
    },
}
_LABELS = {name: label for group in GROUPS.values() for name, label in group.items()}
_OF_THE_PLAN = "as my plan has it"


class SettingsForm(ShapedForm):
    shape = WebappChange

    def __init__(self, *args: Any, website: Website, **options: Any) -> None:
        now = website.in_force
        initial = {name: f"{value:g}" if isinstance(value, float) else value for name, value in now.items()}
        super().__init__(*args, context={"website": website}, initial=initial, **options)
        shapes = WebappChange().fields
        for name in (*SETTINGS, *LIMITS, *RESTS):
            self.fields[name] = _field(shapes[name], label=_LABELS.get(name, name))

    def sent(self) -> dict[str, Any]:
        """An empty field is the plan's own value, where there is one."""
        shapes = WebappChange().fields
        return {
            name: None if value == "" and shapes[name].allow_null else value for name, value in super().sent().items()
        }

    @property
    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        return [(title, [self[name] for name in names]) for title, names in GROUPS.items()]


def _field(shape: serializers.Field[Any, Any, Any, Any], *, label: str) -> forms.Field:
    """Asks for what `shape` takes, and leaves it to that to check it."""
    about: dict[str, Any] = {"label": label, "required": False, "help_text": str(shape.help_text).replace("`", "")}
    if isinstance(shape, serializers.BooleanField):
        return forms.BooleanField(**about)
    if isinstance(shape, serializers.ChoiceField):
        choices = [(value, value) for value in shape.choices]
        if shape.allow_null:
            choices.insert(0, ("", _OF_THE_PLAN))
        return forms.CharField(widget=forms.Select(choices=choices), **about)
    if isinstance(shape, serializers.IntegerField | serializers.FloatField):
        return forms.CharField(widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}), **about)
    return forms.CharField(strip=False, widget=forms.TextInput({"class": "mono", "spellcheck": "false"}), **about)
