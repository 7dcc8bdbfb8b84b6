"""The command doctor for programs: what would be wrong with a command, before a website is given it."""

from dataclasses import asdict
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel.accounts.models import User
from hostel.panel.api.schema import NOT_FOUND, NOT_STORED, REFUSALS, USERNAME, invalid
from hostel.panel.api.shapes_webapp import WebappRequest
from hostel.panel.api.views import OwnersView
from hostel.panel.websites.examination import Case, Examination, Severity, examine
from hostel.wire.website import Listens

_TAKEN = ("command", "working_directory", "listens_on", "domain_name")


class CommandCheck(WebappRequest):
    """As a website's `webapp` has them."""

    domain_name = serializers.CharField(
        required=False, help_text="Of a website that you have: the command is tried with its environment."
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        return {name: fields[name] for name in _TAKEN}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(self.initial_data) - set(_TAKEN))
        if unknown:
            raise serializers.ValidationError({name: ["There is no such key here."] for name in unknown})
        return attrs


class FindingShown(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Values are added, never changed.")
    severity = serializers.ChoiceField(
        choices=[severity.value for severity in Severity],
        help_text="`problem`: it will not serve so. `warning`: it may serve all the same.",
    )
    message = serializers.CharField(help_text="A sentence for people; words in backticks are code.")
    lines = serializers.ListField(
        child=serializers.CharField(), help_text="The last lines of the traceback, or of what the module wrote."
    )
    command = serializers.CharField(
        help_text="The line with this mended, and what was found before it; empty where it cannot be."
    )


class ExaminationShown(serializers.Serializer[Any]):
    is_good = serializers.BooleanField(help_text="Whether no finding is a `problem`.")
    mended = serializers.CharField(help_text="The line with all mended that can be; empty where nothing can be.")
    findings = FindingShown(many=True)


_VENV = "/home/xanthippe/.virtualenvs/venv"
_GOOD = {
    "is_good": True,
    "mended": "",
    "findings": [
        {
            "code": "virtualenv",
            "severity": "good",
            "message": f"`uvicorn` is there, in the virtualenv `{_VENV}`.",
            "lines": [],
            "command": "",
        }
    ],
}
_MENDED = {
    "is_good": False,
    "mended": f"{_VENV}/bin/uvicorn --uds $DOMAIN_SOCKET mysite.asgi:application",
    "findings": [
        {
            "code": "no_socket",
            "severity": "problem",
            "message": "uvicorn listens on 0.0.0.0 8000, not on `$DOMAIN_SOCKET`, so no visitor would reach it.",
            "lines": [],
            "command": f"{_VENV}/bin/uvicorn --uds $DOMAIN_SOCKET mysite.asgi:application",
        }
    ],
}


class CommandChecks(OwnersView):
    @extend_schema(
        operation_id="websites_check",
        summary="Say what is wrong with a command, before a website is given it",
        description="Looks in a sandbox of your own whether the program is there and executable, in which virtualenv, "
        "whether it will listen where the website must, and whether the module that it names can be imported. The "
        "last may take twenty seconds. Nothing is saved, and no website is touched.",
        tags=["websites"],
        parameters=[USERNAME],
        request=CommandCheck,
        examples=[
            OpenApiExample(
                "A port",
                value={"command": f"{_VENV}/bin/uvicorn --host 0.0.0.0 --port 8000 mysite.asgi:application"},
                request_only=True,
            )
        ],
        responses={
            200: OpenApiResponse(
                ExaminationShown,
                examples=[
                    OpenApiExample("It will serve", value=_GOOD),
                    OpenApiExample("It can be mended", value=_MENDED),
                ],
            ),
            **invalid({"command": ["The command must not be empty."]}),
            **REFUSALS,
            **NOT_FOUND,
            **NOT_STORED,
        },
    )
    def post(self, request: Request, username: str) -> Response:
        sent = self.sent(CommandCheck, owner=self.owner)
        return Response(_shown(examine(_case(self.owner, sent))))


def _case(owner: User, sent: dict[str, Any]) -> Case:
    environment: dict[str, str] = {}
    if "domain_name" in sent:
        website = owner.websites.all().find(sent["domain_name"])
        if website is None:
            raise Http404
        environment = website.values
    return Case(
        username=owner.username,
        line=sent["command"],
        working_directory=sent.get("working_directory", ""),
        listens_on=Listens(sent.get("listens_on", Listens.SOCKET)),
        environment=environment,
    )


def _shown(examination: Examination) -> dict[str, Any]:
    return {
        "is_good": examination.is_good,
        "mended": examination.mended,
        "findings": [asdict(finding) for finding in examination.findings],
    }
