"""Shapes: what a request may look like, and how a website is shown. Keys and their order are part of the API."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hostel.panel.accounts.models import User
from hostel.panel.api.shapes_webapp import Switch, WebappChange, WebappRequest, checked
from hostel.panel.domains.models import Domain, is_custom
from hostel.panel.domains.proof import cname_of, records_for
from hostel.panel.websites.advice import REASONS
from hostel.panel.websites.condition import Condition, Trouble
from hostel.panel.websites.models import Website
from hostel.wire.certificate import CertType
from hostel.wire.environment import check_name, check_value
from hostel.wire.names import (
    InvalidName,
    canonical_domain,
    check_custom_domain,
    check_user_domain,
)
from hostel.wire.website import Listens, Phase, ReloadStrategy, Sleep, State

REASON_HELP = "Why it does not serve, or null. Values are added, never changed.\n\n" + "\n".join(
    f"- `{reason}`: {advice.means}" for reason, advice in REASONS.items()
)


class WebsiteCreation(serializers.Serializer[Any]):
    domain_name = serializers.CharField(
        help_text="`<username>.<domain>`, `<label>-<username>.<domain>`, or a domain of your own whose DNS shows so."
    )
    enabled = Switch(default=True)
    webapp = WebappRequest()

    def validate_domain_name(self, domain_name: str) -> str:
        canonical = checked_domain(domain_name, owner=self.context["owner"])
        if canonical == settings.HOSTEL_CONFIG.panel_host:
            raise serializers.ValidationError("That domain is the panel's own.", code=InvalidName.code)
        return domain_name


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


class WebsiteChange(serializers.Serializer[Any]):
    """Of a PATCH. The whole website object may be sent back; what cannot be changed must then be as it was."""

    domain_name = serializers.CharField(required=False, help_text="Cannot be changed; may be sent as it is.")
    enabled = Switch(required=False)
    webapp = WebappChange(required=False)

    def validate_domain_name(self, domain_name: str) -> str:
        website: Website = self.context["website"]
        if checked(canonical_domain, domain_name) != website.canonical_name:
            raise serializers.ValidationError(
                "The domain of a website cannot be changed. Delete it and create another one.", code="immutable"
            )
        return domain_name


class VariableChange(serializers.Serializer[Any]):
    value = serializers.CharField(allow_blank=True, trim_whitespace=False)
    is_secret = Switch(required=False, help_text="Never shown again. Default: as it was, or false.")

    def validate_value(self, value: str) -> str:
        return checked(check_value, value)


class VariableCreation(VariableChange):
    name = serializers.CharField()

    def validate_name(self, name: str) -> str:
        return checked(check_name, name)


class FileImport(serializers.Serializer[Any]):
    content = serializers.CharField(trim_whitespace=False, help_text="The text of a `.env` file.")
    is_secret = Switch(required=False, help_text="Of all of them. Default: as each was, or false.")


class VariableShown(serializers.Serializer[Any]):
    name = serializers.CharField()
    value = serializers.CharField(allow_null=True, help_text="`null`: it is secret.")
    is_secret = serializers.BooleanField()


class LogShown(serializers.Serializer[Any]):
    lines = serializers.ListField(child=serializers.CharField())
    position = serializers.CharField(help_text="Where the answer ended.")


class FileSent(serializers.Serializer[Any]):
    content = serializers.FileField()


def wanted_by(sent: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Website that a checked request sets."""
    enabled = {"enabled": sent["enabled"]} if "enabled" in sent else {}
    return {**enabled, **sent.get("webapp", {})}


# -- Answers. Made by `shown`; the classes describe them in the OpenAPI schema.


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


class DeployShown(serializers.Serializer[Any]):
    revision = serializers.IntegerField(help_text="Which change of wanted state this is about.")
    phase = serializers.ChoiceField(choices=[phase.value for phase in Phase])
    reason = serializers.CharField(allow_null=True, help_text=REASON_HELP)
    detail = serializers.CharField(help_text="One sentence, or empty.")
    stderr = serializers.ListField(child=serializers.CharField(), help_text="The last lines that the command wrote.")


class WebappShown(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    command = serializers.CharField(help_text="Exactly as it was sent.")
    domains = DomainOfWebapp(many=True)
    working_directory = serializers.CharField()
    listens_on = serializers.ChoiceField(choices=[place.value for place in Listens])
    reload_strategy = serializers.ChoiceField(choices=[strategy.value for strategy in ReloadStrategy])
    start_deadline_s = serializers.FloatField()
    drain_s = serializers.FloatField()
    websocket_drain_s = serializers.FloatField()
    grace_s = serializers.FloatField()
    ws_spread_s = serializers.FloatField()
    read_timeout_s = serializers.IntegerField()
    websocket_timeout_s = serializers.IntegerField()
    buffer_requests = serializers.BooleanField()
    buffer_responses = serializers.BooleanField()
    max_body_mb = serializers.IntegerField()
    always_on = serializers.BooleanField()
    expose_token = serializers.BooleanField()
    force_https = serializers.BooleanField()
    hsts_s = serializers.IntegerField()
    memory_mb = serializers.IntegerField()
    pids = serializers.IntegerField()
    cpu = serializers.FloatField()
    sleep = serializers.ChoiceField(choices=[tier.value for tier in Sleep])
    sleep_after_s = serializers.IntegerField()
    monitors_wake = serializers.BooleanField()
    state = serializers.ChoiceField(choices=[state.value for state in State], help_text="What a visitor meets.")
    reason = serializers.CharField(allow_null=True, help_text=REASON_HELP)
    detail = serializers.CharField(help_text="One sentence, or empty.")
    stderr = serializers.ListField(child=serializers.CharField(), help_text="The last lines that the command wrote.")
    deploy = DeployShown(help_text="What the last change did: a website can run although its last deploy failed.")


class LogfilesShown(serializers.Serializer[Any]):
    access = serializers.CharField()
    error = serializers.CharField()
    server = serializers.CharField()


class WebsiteShown(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    user = serializers.CharField()
    domain_name = serializers.CharField(help_text="As it was typed; found in any letter case.")
    enabled = serializers.BooleanField()
    webapp = WebappShown()
    logfiles = LogfilesShown()


class ReloadShown(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["OK", "starting"])


class ReloadRefused(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["error"])
    code = serializers.CharField(help_text="`deploy_failed` or `website_disabled`.")
    error = serializers.CharField()
    reason = serializers.CharField(allow_null=True, help_text=REASON_HELP)
    stderr = serializers.ListField(child=serializers.CharField())


class ErrorShown(serializers.Serializer[Any]):
    detail = serializers.CharField()
    code = serializers.CharField(required=False, help_text="The same as in the header `Hostel-Error-Code`.")


class LogEvent(serializers.Serializer[Any]):
    # DRF takes declared fields out of the class, so this one is in nobody's way.
    data = serializers.CharField(help_text="A line, as a JSON string.")  # type: ignore[assignment]
    id = serializers.CharField(required=False, help_text="The position after it; send it as `Last-Event-ID`.")
    event = serializers.CharField(required=False)


class DeletionRefused(serializers.Serializer[Any]):
    """Of a file: the sentence stands in `message` where the file is the reason, in `detail` otherwise."""

    message = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)
    code = serializers.CharField(required=False, help_text="The same as in the header `Hostel-Error-Code`.")


@extend_schema_field(
    {
        "oneOf": [
            {"type": "object", "additionalProperties": {}},
            {"type": "array", "items": {"type": "string"}},
        ],
        "description": "By key what is wrong with it, or sentences about the whole.",
    }
)
class WebappErrors(serializers.JSONField):
    """Only described: DRF makes these answers."""


class FieldErrors(serializers.Serializer[Any]):
    """One list of sentences for each field that was refused."""

    domain_name = serializers.ListField(child=serializers.CharField(), required=False)
    enabled = serializers.ListField(child=serializers.CharField(), required=False)
    webapp = WebappErrors(required=False)
    non_field_errors = serializers.ListField(child=serializers.CharField(), required=False)


def shown(website: Website, condition: Condition, *, owner: User) -> dict[str, Any]:
    """A website as WebsiteShown describes it."""
    return {
        "id": website.pk,
        "user": owner.username,
        "domain_name": website.domain_name,
        "enabled": website.enabled,
        "webapp": {
            "id": website.pk,
            "command": website.command,
            "domains": _shown_domains(website, owner),
            **website.own_settings,
            **website.own_limits,
            **website.own_rest,
            **shown_condition(condition),
        },
        "logfiles": website.logfiles,
    }


def _shown_domains(website: Website, owner: User) -> list[dict[str, Any]]:
    """Its own first: clients read the `cname` there."""
    own = _domain_of_webapp(website.domain_name, website.canonical_name, is_enabled=website.enabled, owner=owner)
    further = [
        _domain_of_webapp(
            each.domain_name, each.canonical_name, is_enabled=website.enabled and each.is_routed, owner=owner
        )
        for each in website.domains.all()
    ]
    return [own, *further]


def _domain_of_webapp(domain_name: str, canonical_name: str, *, is_enabled: bool, owner: User) -> dict[str, Any]:
    cname = {"cname": cname_of(owner)} if is_custom(canonical_name) else {}
    return {"domain_name": domain_name, "enabled": is_enabled, **cname}


def shown_domain(domain: Domain, *, owner: User) -> dict[str, Any]:
    """A further domain as DomainShown describes it."""
    records = records_for(domain.canonical_name, owner=owner) if is_custom(domain.canonical_name) else ()
    return {
        **_domain_of_webapp(domain.domain_name, domain.canonical_name, is_enabled=domain.enabled, owner=owner),
        "redirect_to": domain.redirect_to or None,
        "is_proven": domain.is_proven,
        "records": [asdict(record) for record in records],
    }


def shown_condition(condition: Condition) -> dict[str, Any]:
    return {
        "state": condition.state.value,
        **shown_trouble(condition.trouble),
        "deploy": {
            "revision": condition.revision,
            "phase": condition.phase.value,
            **shown_trouble(condition.deploy_trouble),
        },
    }


def shown_trouble(trouble: Trouble) -> dict[str, Any]:
    return {"reason": trouble.reason, "detail": trouble.detail, "stderr": list(trouble.stderr)}
