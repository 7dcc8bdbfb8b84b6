"""Named tokens, and the audit trail: for the account's full token alone."""

from typing import Any

from django.conf import settings
from django.http import Http404
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel.accounts.models import NamedToken, TokenExists
from hostel.panel.accounts.uses import uses
from hostel.panel.api import schema_account as schema
from hostel.panel.api.errors import refused_as
from hostel.panel.api.shapes_account import AuditQuery, TokenCreation
from hostel.panel.api.views import OwnersView
from hostel.panel.audit.models import Entry


class Tokens(OwnersView):
    scopes = None

    @schema.list_tokens
    def get(self, request: Request, username: str) -> Response:
        return Response([_shown(token) for token in self.owner.named_tokens.order_by("pk")])

    @schema.create_token
    def post(self, request: Request, username: str) -> Response:
        sent = self.sent(TokenCreation)
        with refused_as("name", TokenExists):
            token, text = self.owner.add_token(sent["name"], scopes=sent["scopes"], expires_at=sent.get("expires_at"))
        return Response({**_shown(token), "token": text}, status=201)


class Token(OwnersView):
    scopes = None

    @schema.delete_token
    def delete(self, request: Request, username: str, token_id: int) -> Response:
        token = self.owner.named_tokens.filter(pk=token_id).first()
        if token is None or not token.revoke():
            raise Http404
        return Response(status=204)


class Audit(OwnersView):
    scopes = None

    @schema.read_audit
    def get(self, request: Request, username: str) -> Response:
        serializer = AuditQuery(data=request.query_params)
        serializer.is_valid(raise_exception=True)
        before, limit = serializer.validated_data.get("before"), serializer.validated_data["limit"]
        found = list(self.owner.audit_entries.all().before(before)[: limit + 1])
        entries, has_more = found[:limit], len(found) > limit
        following = f"{_address(username)}?before={entries[-1].pk}&limit={limit}" if has_more else None
        return Response({"entries": [_shown_entry(entry) for entry in entries], "next": following})


def _shown(token: NamedToken) -> dict[str, Any]:
    return {
        "id": token.pk,
        "name": token.name,
        "scopes": token.scopes,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": uses.last(token.pk, token.last_used_at),
    }


def _shown_entry(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.pk,
        "at": entry.at,
        "by": {
            "via": entry.via,
            "user": entry.user_name or None,
            "token": None if entry.token_id is None else {"id": entry.token_id, "name": entry.token_name},
            "address": entry.address or None,
        },
        "deed": entry.deed,
        "subject": entry.subject,
        "details": entry.details,
    }


def _address(username: str) -> str:
    config = settings.HOSTEL_CONFIG
    return f"https://{config.authority(config.panel_host)}{reverse('audit', args=[username])}"
