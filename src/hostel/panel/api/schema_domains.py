"""What the OpenAPI description says of domains beyond the code. As schema.py."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from hostel.panel.api import shapes_domain as shapes
from hostel.panel.api.schema import DOMAIN, NOT_FOUND, NOT_STORED, REFUSALS, USERNAME, error, invalid
from hostel.panel.api.shapes_website import ReloadShown

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
_DOMAINS_SHOWN = OpenApiResponse(
    shapes.DomainShown(many=True), examples=[OpenApiExample("One, to be proven", value=_SHOWN)]
)
_TAKEN = invalid({"domain_name": ["domain with this domain name already exists."]})
_WRONG = invalid({"redirect_to": ["Give another domain of this website, one that is enabled and no redirect itself."]})
_DNS = {503: error("The DNS or the agent does not answer; or the database is busy", "The DNS does not answer.")}
_ALL: dict[str, Any] = {"tags": ["domains"], "parameters": [USERNAME, DOMAIN]}
_ONE: dict[str, Any] = {"tags": ["domains"], "parameters": [USERNAME, DOMAIN, _NAME]}

list_domains = extend_schema(
    operation_id="domains_list",
    summary="List the further domains of a website",
    responses={200: _DOMAINS_SHOWN, **REFUSALS, **NOT_FOUND},
    **_ALL,
)

add_domain = extend_schema(
    operation_id="domains_create",
    summary="Give a website a further domain",
    description="An alias, or with `redirect_to` a redirect. A domain of your own must be shown to be yours by one of "
    "the DNS `records` in the answer; visitors get nothing there before. If it is there already the answer says "
    "`is_proven`, else add it and call `check/`.",
    request=shapes.DomainCreation,
    examples=[OpenApiExample("An alias", value={"domain_name": "www.xanthippe.example.org"}, request_only=True)],
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
    examples=[OpenApiExample("Disable", value={"enabled": False}, request_only=True)],
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

_OK = OpenApiResponse(ReloadShown, examples=[OpenApiExample("Done", value={"status": "OK"})])
_CERTIFICATE = OpenApiResponse(
    shapes.CertificateShown,
    examples=[
        OpenApiExample(
            "Renewed by the platform",
            value={
                "cert_type": "letsencrypt-auto-renew",
                "not_after": "2027-01-06T18:39:11Z",
                "issuer_name": "CN=E8,O=Let's Encrypt,C=US",
                "subject_name": "",
                "subject_alternate_names": ["www.xanthippe.example.org"],
                "renewal_at": "2026-12-22T09:14:02Z",
                "reason": None,
                "detail": "",
            },
        )
    ],
)
_ANY_DOMAIN = OpenApiParameter(
    "domain_name", str, OpenApiParameter.PATH, description="Any domain of a website of yours, in any letter case."
)
_SSL: dict[str, Any] = {"tags": ["certificates"], "parameters": [USERNAME, _ANY_DOMAIN]}
_NO_CERTIFICATE = {404: error("It has no certificate of its own, or is no domain of yours", "Not found.")}
_UNPROVEN = {409: error("The domain is not proven yet", "No DNS record shows that this domain is yours.")}

get_certificate = extend_schema(
    operation_id="ssl_retrieve",
    summary="Show the certificate of a domain",
    description="Of a domain below the platform's: `platform`, which all share.",
    responses={200: _CERTIFICATE, **REFUSALS, **_NO_CERTIFICATE, **_UNPROVEN, **_DNS},
    **_SSL,
)

set_certificate = extend_schema(
    operation_id="ssl_create",
    summary="Obtain a certificate for a domain of yours, or install your own",
    description="With `cert_type` it is obtained from the platform's certificate authority, and renewed from then on; "
    "the answer comes when it is served, or after 45 seconds with 202, and it goes on. What served "
    "before goes on serving where this fails.",
    request=shapes.CertificateSent,
    examples=[
        OpenApiExample("Obtain", value={"cert_type": "letsencrypt-auto-renew"}, request_only=True),
        OpenApiExample(
            "Your own",
            value={"cert": "-----BEGIN CERTIFICATE-----...", "private_key": "-----BEGIN PRIVATE KEY-----..."},
            request_only=True,
        ),
    ],
    responses={
        200: _OK,
        202: OpenApiResponse(ReloadShown, examples=[OpenApiExample("Later", value={"status": "starting"})]),
        **invalid({"cert": ["The certificate is for www.example.net, not for www.example.org."]}),
        409: error("It could not be obtained", "DNS for www.example.org points to 192.0.2.7, not here."),
        **REFUSALS,
        **NOT_FOUND,
        503: error("The authority, the DNS or the agent does not answer", "The certificate authority does not answer."),
        507: error("The disk is full; nothing was changed", "The disk is full, so nothing was changed."),
    },
    **_SSL,
)

delete_certificate = extend_schema(
    operation_id="ssl_destroy",
    summary="Serve the certificate of a domain no more",
    responses={204: OpenApiResponse(description="Deleted"), **REFUSALS, **_NO_CERTIFICATE, **_UNPROVEN, **NOT_STORED},
    **_SSL,
)
