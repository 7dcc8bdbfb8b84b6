"""As schema.py, of tokens and of the audit trail."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from hostel.panel.api import shapes_account as shapes
from hostel.panel.api.schema import NOT_STORED, REFUSALS, RESERVED, USERNAME, error, invalid

_TOKEN: dict[str, Any] = {
    "id": 3,
    "name": "deploys from CI",
    "scopes": ["files", "websites:write"],
    "created_at": "2026-11-22T21:40:00Z",
    "expires_at": "2027-01-31T12:00:00Z",
    "last_used_at": None,
}

list_tokens = extend_schema(
    operation_id="tokens_list",
    summary="List your named tokens",
    description=RESERVED,
    tags=["account"],
    parameters=[USERNAME],
    responses={
        200: OpenApiResponse(shapes.TokenShown(many=True), examples=[OpenApiExample("One token", value=_TOKEN)]),
        **REFUSALS,
    },
)

create_token = extend_schema(
    operation_id="tokens_create",
    summary="Make a named token of limited power",
    description=RESERVED + "A token does only what its scopes say, until it expires or is deleted; what it lacks "
    "a scope for is 403 `scope_missing`, naming the scope. Its secret is in this answer and nowhere else.",
    tags=["account"],
    parameters=[USERNAME],
    request=shapes.TokenCreation,
    examples=[
        OpenApiExample(
            "For deploys",
            value={key: _TOKEN[key] for key in ("name", "scopes", "expires_at")},
            request_only=True,
        )
    ],
    responses={
        201: OpenApiResponse(
            shapes.TokenCreated,
            description="Made",
            examples=[OpenApiExample("Made", value={**_TOKEN, "token": "6b1d" * 10})],
        ),
        **invalid({"scopes": ["This list may not be empty."]}),
        **REFUSALS,
        **NOT_STORED,
    },
)

delete_token = extend_schema(
    operation_id="tokens_destroy",
    summary="Delete a named token: it is refused at once",
    description=RESERVED,
    tags=["account"],
    parameters=[USERNAME, OpenApiParameter("token_id", int, OpenApiParameter.PATH, description="Its `id`.")],
    responses={
        204: OpenApiResponse(description="Deleted"),
        **REFUSALS,
        404: error("You have no such token", "Not found."),
        **NOT_STORED,
    },
)

_ENTRY: dict[str, Any] = {
    "id": 1207,
    "at": "2026-11-22T21:40:00Z",
    "by": {
        "via": "api",
        "user": "xanthippe",
        "token": {"id": 3, "name": "deploys from CI"},
        "address": "192.0.2.7",
    },
    "deed": "website.change",
    "subject": "xanthippe.example.com",
    "details": {"command": None, "drain_s": 120.0},
}

read_audit = extend_schema(
    operation_id="audit_read",
    summary="Read who changed what of your account",
    description=RESERVED + "The newest first. Changes by calls, pages and the operator's command line; no entry "
    "holds a secret, nor any text that you sent but names. The newest 50,000 are kept.",
    tags=["account"],
    parameters=[
        USERNAME,
        OpenApiParameter("limit", int, OpenApiParameter.QUERY, description="How many, up to 200. Default 50."),
        OpenApiParameter("before", int, OpenApiParameter.QUERY, description="Only entries older than this `id`."),
    ],
    responses={
        200: OpenApiResponse(
            shapes.AuditShown,
            examples=[OpenApiExample("One entry", value={"entries": [_ENTRY], "next": None})],
        ),
        **invalid({"limit": ["Give a whole number from 1 to 200."]}),
        **REFUSALS,
    },
)
