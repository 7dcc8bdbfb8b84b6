"""Shapes of tokens and of the audit trail."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from hostel.panel.accounts.models import NAME_WANTED, TOKEN_NAME, Scope
from hostel.panel.api.shapes_webapp import WRONG_NUMBER, Whole
from hostel.panel.audit.models import Deed, Via

_TIME_WANTED = "Give a time in the future with its zone, as 2027-01-31T12:00:00Z; or null for no end."


class TokenCreation(serializers.Serializer[Any]):
    """Other keys are refused: a misspelt `expires_at` would make a token without an end."""

    name = serializers.CharField(help_text="Yours, for you to know it by: up to 50 letters, digits, ` ._-`.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices),
        allow_empty=False,
        max_length=10,
        help_text="What it may do. `websites:write` includes `websites:read`.",
    )
    expires_at = serializers.DateTimeField(
        required=False,
        allow_null=True,
        help_text="From then on it is refused. Default: null, no end.",
        error_messages=dict.fromkeys(("invalid", "date", "make_aware", "overflow"), _TIME_WANTED),
    )

    def validate_name(self, name: str) -> str:
        if not TOKEN_NAME.fullmatch(name):
            raise serializers.ValidationError(NAME_WANTED)
        return name

    def validate_scopes(self, scopes: list[str]) -> list[Scope]:
        return [Scope(scope) for scope in dict.fromkeys(scopes)]

    def validate_expires_at(self, expires_at: datetime | None) -> datetime | None:
        if expires_at is not None and expires_at <= timezone.now():
            raise serializers.ValidationError(_TIME_WANTED)
        return expires_at

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(self.initial_data) - set(self.fields))
        if unknown:
            raise serializers.ValidationError({name: ["There is no such key here."] for name in unknown})
        return attrs


class TokenShown(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the second; `null`: never.")


class TokenCreated(TokenShown):
    token = serializers.CharField(help_text="The secret itself, shown this once.")


class AuditQuery(serializers.Serializer[Any]):
    before = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=(1 << 63) - 1,
        error_messages=dict.fromkeys(WRONG_NUMBER, "Give the id of an entry."),
    )
    limit = Whole(least=1, most=200, default=50)


class TokenNamed(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()


class ActorShown(serializers.Serializer[Any]):
    via = serializers.ChoiceField(choices=Via.choices, help_text="`operator`: whoever runs this server.")
    user = serializers.CharField(allow_null=True, help_text="`null`: the operator.")
    token = TokenNamed(allow_null=True, help_text="`null`: your full token, a page, or the operator.")
    address = serializers.CharField(allow_null=True, help_text="As the edge saw it.")


class EntryShown(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    by = ActorShown()
    deed = serializers.ChoiceField(choices=Deed.choices)
    subject = serializers.CharField(help_text="What was changed: a domain, a path, the name of a token or user.")
    details = serializers.DictField(
        help_text="What of it: numbers and switches with their new value; of text only that it changed (`null`)."
    )


class AuditShown(serializers.Serializer[Any]):
    entries = EntryShown(many=True)
    next = serializers.CharField(allow_null=True, help_text="Where older ones are, or `null`.")
