"""What the OpenAPI description says of domains beyond the code. As schema.py."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from hostel.panel.api import serializers as shapes
from hostel.panel.api.schema import DOMAIN, NOT_FOUND, NOT_STORED, REFUSALS, USERNAME, error, invalid

_NAME = OpenApiParameter("name", str, OpenApiParameter.PATH, description="The further domain, in any letter case.")
_CNAME = "cname-149201785532908.example.com"
_SHOWN: dict[str, Any] = {
    "domain_name": "www.xanthippe.example.org",
    "enabled": True,
    "cname": _CNAME,
    "redirect_to": None,
    "is_proven": False,
    "records": [
        {"type": "CNAME", "name": "www.xanthippe.example.org", "value": _CNAME},
        {"type": "TXT", "name": "_hostel.www.xanthippe.example.org", "value": "hostel-domain=149201785532908"},
    ],
}
_DOMAIN_SHOWN = OpenApiResponse(
    shapes.DomainShown,
    examples=[
        OpenApiExample("To be proven", value=_SHOWN),
        OpenApiExample("Proven", value={**_SHOWN, "is_proven": True}),
    ],
)
_TAKEN = invalid({"domain_name": ["domain with this domain name already exists."]})
_WRONG = invalid({"redirect_to": ["Give another domain of this website, one that is enabled and no redirect itself."]})
_DNS = {503: error("The DNS or the agent does not answer; or the database is busy", "The DNS does not answer.")}
_ALL: dict[str, Any] = {"tags": ["domains"], "parameters": [USERNAME, DOMAIN]}
_ONE: dict[str, Any] = {"tags": ["domains"], "parameters": [USERNAME, DOMAIN, _NAME]}

list_domains = extend_schema(
    operation_id="domains_list",
    summary="List the further domains of a website",
    responses={200: shapes.DomainShown(many=True), **REFUSALS, **NOT_FOUND},
    **_ALL,
)

add_domain = extend_schema(
    operation_id="domains_create",
    summary="Give a website a further domain",
    description="An alias, or with `redirect_to` a redirect. A domain of your own must be shown to be yours by one of "
    "the DNS `records` in the answer; visitors get nothing there before. If it is there already the answer says "
    "`is_proven`, else add it and call `check/`.",
    request=shapes.DomainCreation,
    responses={201: _DOMAIN_SHOWN, **_TAKEN, **REFUSALS, **NOT_FOUND, **NOT_STORED, **_DNS},
    **_ALL,
)

get_domain = extend_schema(
    operation_id="domains_retrieve",
    summary="Get one further domain",
    responses={200: _DOMAIN_SHOWN, **REFUSALS, **NOT_FOUND},
    **_ONE,
)

change_domain = extend_schema(
    operation_id="domains_partial_update",
    summary="Enable or disable a further domain, make it a redirect or an alias",
    request=shapes.DomainChange,
    responses={200: _DOMAIN_SHOWN, **_WRONG, **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_ONE,
)

delete_domain = extend_schema(
    operation_id="domains_destroy",
    summary="Take a further domain from a website",
    description="A proven one is kept for you for a while: nobody else can have it.",
    responses={
        204: OpenApiResponse(description="Deleted"),
        409: error("Another domain redirects to it", "Other domains of the website redirect to this one."),
        **REFUSALS,
        **NOT_FOUND,
        **NOT_STORED,
    },
    **_ONE,
)

check_domain = extend_schema(
    operation_id="domains_check",
    summary="Look for the proof of a further domain now",
    request=None,
    responses={
        200: _DOMAIN_SHOWN,
        409: error("None of the records is there", "Show that this domain is yours: in its DNS, add a record ..."),
        **_TAKEN,
        **REFUSALS,
        **NOT_FOUND,
        **NOT_STORED,
        **_DNS,
    },
    **_ONE,
)
