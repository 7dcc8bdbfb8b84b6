"""Shapes of domains and their certificates."""

from dataclasses import asdict
from typing import Any

from django.conf import settings
from rest_framework import serializers

from hostel.panel.accounts.models import User
from hostel.panel.api.shapes_webapp import Switch, checked
from hostel.panel.domains.models import Domain, is_custom
from hostel.panel.domains.proof import cname_of, records_for
from hostel.panel.websites.models import Website
from hostel.wire.certificate import CertType
from hostel.wire.names import canonical_domain, check_custom_domain, check_user_domain


def checked_domain(domain_name: str, *, owner: User) -> str:
    """The canonical form of a name that a website of `owner` may have. Whose it is, is another question."""
    config = settings.HOSTEL_CONFIG

    def check(name: str) -> str:
        if is_custom(canonical_domain(name)):
            return check_custom_domain(name, platform=config.own_domains)
        return check_user_domain(name, username=owner.username, sites_domain=config.sites.domain)

    return checked(check, domain_name)


class DomainChange(serializers.Serializer[Any]):
    """Of a further domain; what is left out stays as it is."""

    enabled = Switch(required=False, help_text="Whether visitors get the website there. Default true.")
    redirect_to = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        help_text="Another domain of the same website, to which visitors are sent (308). `null`: they get the website.",
    )

    def validate_redirect_to(self, redirect_to: str | None) -> str:
        if not redirect_to:
            return ""
        website: Website = self.context["website"]
        canonical = checked(canonical_domain, redirect_to)
        names = website.domains.proven().filter(enabled=True, redirect_to="").values_list("canonical_name", flat=True)
        if canonical not in (website.canonical_name, *names) or canonical == self.context.get("domain"):
            raise serializers.ValidationError(
                "Give another domain of this website, one that is enabled, proven and no redirect itself.",
                code="invalid_redirect",
            )
        return canonical


class DomainCreation(DomainChange):
    domain_name = serializers.CharField()

    def validate_domain_name(self, domain_name: str) -> str:
        checked_domain(domain_name, owner=self.context["owner"])
        return domain_name


class CertificateSent(serializers.Serializer[Any]):
    """Either `cert_type`, or a certificate of one's own."""

    cert_type = serializers.ChoiceField(
        required=False,
        choices=[CertType.ACME.value],
        error_messages={"invalid_choice": f'Give "{CertType.ACME.value}", or `cert` and `private_key`.'},
    )
    cert = serializers.CharField(
        required=False, trim_whitespace=False, help_text="PEM: the certificate, then those that it was issued by."
    )
    private_key = serializers.CharField(required=False, trim_whitespace=False, help_text="PEM, without a pass phrase.")

    def validate(self, sent: dict[str, Any]) -> dict[str, Any]:
        has_own = {"cert", "private_key"} & sent.keys()
        if ("cert_type" in sent) == bool(has_own) or len(has_own) == 1:
            raise serializers.ValidationError(f'Give `cert_type` "{CertType.ACME.value}", or `cert` and `private_key`.')
        return sent


class CertificateShown(serializers.Serializer[Any]):
    cert_type = serializers.ChoiceField(choices=[kind.value for kind in CertType])
    not_after = serializers.DateTimeField()
    issuer_name = serializers.CharField()
    subject_name = serializers.CharField(allow_blank=True)
    subject_alternate_names = serializers.ListField(child=serializers.CharField())
    renewal_at = serializers.DateTimeField(allow_null=True, help_text="When the next one is obtained, or tried again.")
    reason = serializers.CharField(allow_null=True, help_text="Why the last renewal came to nothing: a code.")
    detail = serializers.CharField(help_text="The same in a sentence, or empty.")


class DomainOfWebapp(serializers.Serializer[Any]):
    domain_name = serializers.CharField()
    enabled = serializers.BooleanField(help_text="Whether visitors get the website there.")
    cname = serializers.CharField(required=False, help_text="Of a domain of your own: where it may point.")


class RecordShown(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=["CNAME", "TXT"])
    name = serializers.CharField()
    value = serializers.CharField()


class DomainShown(DomainOfWebapp):
    redirect_to = serializers.CharField(allow_null=True)
    is_proven = serializers.BooleanField(help_text="Visitors get nothing there before it is.")
    records = RecordShown(many=True, help_text="The DNS records of which one shows that the domain is yours.")


def shown_domain(domain: Domain, *, owner: User) -> dict[str, Any]:
    """A further domain as DomainShown describes it."""
    records = records_for(domain.canonical_name, owner=owner) if is_custom(domain.canonical_name) else ()
    return {
        **domain_of_webapp(domain.domain_name, domain.canonical_name, is_enabled=domain.enabled, owner=owner),
        "redirect_to": domain.redirect_to or None,
        "is_proven": domain.is_proven,
        "records": [asdict(record) for record in records],
    }


def domain_of_webapp(domain_name: str, canonical_name: str, *, is_enabled: bool, owner: User) -> dict[str, Any]:
    cname = {"cname": cname_of(owner)} if is_custom(canonical_name) else {}
    return {"domain_name": domain_name, "enabled": is_enabled, **cname}
