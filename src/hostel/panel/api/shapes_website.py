"""Shapes of websites: what a request may look like, and how one is shown. Keys and their order are part of the API."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from rest_framework import serializers

from hostel.panel.accounts.models import User
from hostel.panel.api.shapes_domain import DomainOfWebapp, checked_domain, domain_of_webapp
from hostel.panel.api.shapes_webapp import Switch, WebappChange, WebappRequest, checked
from hostel.panel.websites.advice import REASONS
from hostel.panel.websites.condition import Condition, Trouble
from hostel.panel.websites.models import Website
from hostel.wire.names import InvalidName, canonical_domain
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


def wanted_by(sent: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Website that a checked request sets."""
    enabled = {"enabled": sent["enabled"]} if "enabled" in sent else {}
    return {**enabled, **sent.get("webapp", {})}


# -- Answers. Made by `shown`; the classes describe them in the OpenAPI schema.


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
            **website.in_force,
            **shown_condition(condition),
        },
        "logfiles": website.logfiles,
    }


def _shown_domains(website: Website, owner: User) -> list[dict[str, Any]]:
    """Its own first: clients read the `cname` there."""
    own = domain_of_webapp(website.domain_name, website.canonical_name, is_enabled=website.enabled, owner=owner)
    further = [
        domain_of_webapp(
            each.domain_name, each.canonical_name, is_enabled=website.enabled and each.is_routed, owner=owner
        )
        for each in website.further_domains
    ]
    return [own, *further]


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
