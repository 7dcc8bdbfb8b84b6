"""Shapes: what a request may look like, and how a website is shown. Keys and their order are part of the API."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from rest_framework import serializers

from hostel.panel.accounts.models import User
from hostel.panel.websites.condition import Condition, Trouble
from hostel.panel.websites.models import Website
from hostel.wire.errors import Reason
from hostel.wire.names import InvalidName, canonical_domain, check_command, check_user_domain
from hostel.wire.website import Phase, State

_REASON_HELP = "Why it does not serve, or null. Values are added, never changed: " + ", ".join(
    f"`{reason.value}`" for reason in Reason
)


class Switch(serializers.BooleanField):
    """A boolean that, missing from a form, is missing; DRF would read it as an unticked box: false."""

    default_empty_html = serializers.empty


class WebappRequest(serializers.Serializer[Any]):
    command = serializers.CharField(
        trim_whitespace=False,
        help_text="Run by bash in the user's home, as it is; must listen on the unix socket `$DOMAIN_SOCKET`.",
    )

    def validate_command(self, command: str) -> str:
        return _checked(check_command, command)


class WebsiteCreation(serializers.Serializer[Any]):
    domain_name = serializers.CharField(help_text="`<username>.<domain>` or `<label>-<username>.<domain>`.")
    enabled = Switch(default=True)
    webapp = WebappRequest()

    def validate_domain_name(self, domain_name: str) -> str:
        owner: User = self.context["owner"]
        sites_domain = settings.HOSTEL_CONFIG.sites.domain
        canonical = _checked(
            lambda name: check_user_domain(name, username=owner.username, sites_domain=sites_domain), domain_name
        )
        if canonical == settings.HOSTEL_CONFIG.panel_host:
            raise serializers.ValidationError("That domain is the panel's own.", code=InvalidName.code)
        return domain_name


class WebsiteChange(serializers.Serializer[Any]):
    """Of a PATCH. The whole website object may be sent back; what cannot be changed must then be as it was."""

    domain_name = serializers.CharField(required=False, help_text="Cannot be changed; may be sent as it is.")
    enabled = Switch(required=False)
    webapp = WebappRequest(required=False)

    def validate_domain_name(self, domain_name: str) -> str:
        website: Website = self.context["website"]
        if _checked(canonical_domain, domain_name) != website.canonical_name:
            raise serializers.ValidationError(
                "The domain of a website cannot be changed. Delete it and create another one.", code="immutable"
            )
        return domain_name


def _checked(check: Callable[[str], str], text: str) -> str:
    """`wire`'s rule about names, its refusal in DRF's form."""
    try:
        return check(text)
    except InvalidName as error:
        raise serializers.ValidationError(str(error), code=error.code) from error


# -- Answers. Made by `shown`; the classes describe them in the OpenAPI schema.


class DomainShown(serializers.Serializer[Any]):
    domain_name = serializers.CharField()
    enabled = serializers.BooleanField()


class DeployShown(serializers.Serializer[Any]):
    revision = serializers.IntegerField(help_text="Which change of wanted state this is about.")
    phase = serializers.ChoiceField(choices=[phase.value for phase in Phase])
    reason = serializers.CharField(allow_null=True, help_text=_REASON_HELP)
    detail = serializers.CharField(help_text="One sentence, or empty.")
    stderr = serializers.ListField(child=serializers.CharField(), help_text="The last lines that the command wrote.")


class WebappShown(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    command = serializers.CharField(help_text="Exactly as it was sent.")
    domains = DomainShown(many=True)
    state = serializers.ChoiceField(choices=[state.value for state in State], help_text="What a visitor meets.")
    reason = serializers.CharField(allow_null=True, help_text=_REASON_HELP)
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
    reason = serializers.CharField(allow_null=True, help_text=_REASON_HELP)
    stderr = serializers.ListField(child=serializers.CharField())


class ErrorShown(serializers.Serializer[Any]):
    detail = serializers.CharField()
    code = serializers.CharField(required=False, help_text="The same as in the header `Hostel-Error-Code`.")


class FieldErrors(serializers.Serializer[Any]):
    """One list of sentences for each field that was refused."""

    domain_name = serializers.ListField(child=serializers.CharField(), required=False)
    enabled = serializers.ListField(child=serializers.CharField(), required=False)
    webapp = serializers.DictField(required=False)
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
            "domains": [{"domain_name": website.domain_name, "enabled": website.enabled}],
            "state": condition.state.value,
            **_shown_trouble(condition.trouble),
            "deploy": {
                "revision": condition.revision,
                "phase": condition.phase.value,
                **_shown_trouble(condition.deploy_trouble),
            },
        },
        "logfiles": website.logfiles,
    }


def _shown_trouble(trouble: Trouble) -> dict[str, Any]:
    return {"reason": trouble.reason, "detail": trouble.detail, "stderr": list(trouble.stderr)}
