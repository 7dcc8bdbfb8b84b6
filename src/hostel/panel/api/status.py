"""How a website is and what it does: asked often, so in one small answer."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel.api.schema import DOMAIN, NO_TROUBLE, NOT_FOUND, REFUSALS, USERNAME
from hostel.panel.api.shapes_website import REASON_HELP, DeployShown, shown_condition, shown_trouble
from hostel.panel.api.views import OwnersView
from hostel.panel.websites import deploy
from hostel.panel.websites.condition import Trouble
from hostel.wire.report import WebsiteStatus as Told
from hostel.wire.website import Failure, State


class RunShown(serializers.Serializer[Any]):
    id = serializers.CharField()
    memory_bytes = serializers.IntegerField(help_text="Without what the kernel can drop at once.")
    memory_limit_bytes = serializers.IntegerField()
    processes = serializers.IntegerField(help_text="And threads.")
    cpu_percent = serializers.FloatField(
        allow_null=True, help_text="Of one core, over the last minute. `null`: it has just begun."
    )


class InFlightShown(serializers.Serializer[Any]):
    requests = serializers.IntegerField()
    websockets = serializers.IntegerField(help_text="And event streams.")
    held = serializers.IntegerField(help_text="Requests that wait for the website to start.")


class DrainingShown(serializers.Serializer[Any]):
    requests = serializers.IntegerField()
    websockets = serializers.IntegerField(help_text="And event streams.")


class PastFailureShown(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    reason = serializers.CharField(help_text=REASON_HELP)
    detail = serializers.CharField()
    stderr = serializers.ListField(child=serializers.CharField())


class InsomniaShown(serializers.Serializer[Any]):
    reason = serializers.CharField(help_text=REASON_HELP)
    detail = serializers.CharField()


class StatusShown(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=[state.value for state in State], help_text="What a visitor meets.")
    reason = serializers.CharField(allow_null=True, help_text=REASON_HELP)
    detail = serializers.CharField()
    stderr = serializers.ListField(child=serializers.CharField())
    deploy = DeployShown()
    since = serializers.DateTimeField(allow_null=True, help_text="Since when `state` is so.")
    run = RunShown(allow_null=True, help_text="`null`: nothing runs. Of a website that is `asleep`: it hibernates.")
    requests_per_minute = serializers.FloatField(
        allow_null=True, help_text="Over the last minute. `null`: nothing runs, or it has just begun."
    )
    in_flight = InFlightShown(allow_null=True)
    stays_awake = InsomniaShown(
        allow_null=True, help_text="Why it does not hibernate although it should. `null`: nothing keeps it from that."
    )
    draining = DrainingShown(
        allow_null=True,
        help_text="Of those in flight, what is at runs that get no new requests. `null`: there is no such run.",
    )
    restarts = serializers.IntegerField(allow_null=True, help_text="Crashes in a row.")
    last_failure = PastFailureShown(allow_null=True, help_text="Also where it runs again. `null`: there was none.")


_RUNNING: dict[str, Any] = {
    "state": "running",
    **NO_TROUBLE,
    "deploy": {"revision": 7, "phase": "done", **NO_TROUBLE},
    "since": "2026-11-22T21:40:00.123456Z",
    "run": {
        "id": "r3f9a1c",
        "memory_bytes": 61_440_000,
        "memory_limit_bytes": 536_870_912,
        "processes": 3,
        "cpu_percent": 4.2,
    },
    "requests_per_minute": 118.0,
    "in_flight": {"requests": 2, "websockets": 14, "held": 0},
    "stays_awake": None,
    "draining": None,
    "restarts": 0,
    "last_failure": {
        "at": "2026-11-20T08:00:00.123456Z",
        "reason": "out_of_memory",
        "detail": "The kernel ended the command: it needed more than 512 MiB of memory.",
        "stderr": [],
    },
}


class WebsiteStatus(OwnersView):
    @extend_schema(
        operation_id="websites_status",
        summary="How a website is, and what it does",
        description="State, run, memory, processor, requests. What cannot be told at the moment, for want of the agent "
        "or the edge, is `null`.",
        tags=["websites"],
        parameters=[USERNAME, DOMAIN],
        responses={
            200: OpenApiResponse(StatusShown, examples=[OpenApiExample("It runs", value=_RUNNING)]),
            **REFUSALS,
            **NOT_FOUND,
        },
    )
    def get(self, request: Request, username: str, domain_name: str) -> Response:
        condition, told = deploy.look_closely(self.get_website(domain_name))
        return Response({**shown_condition(condition), **_shown(told)})


def _shown_insomnia(failure: Failure) -> dict[str, str]:
    return {"reason": failure.reason.value, "detail": failure.detail}


def _shown(told: Told | None) -> dict[str, Any]:
    report, usage, past = (told.report, told.usage, told.last_failure) if told else (None, None, None)
    return {
        "since": report.since if report else None,
        "run": {"id": report.run, **asdict(usage)} if report and usage else None,
        "requests_per_minute": told.requests_per_minute if told else None,
        "in_flight": asdict(told.in_flight) if told and told.in_flight else None,
        "stays_awake": _shown_insomnia(report.sleep_failure) if report and report.sleep_failure else None,
        "draining": asdict(told.draining) if told and told.draining else None,
        "restarts": report.restarts if report else None,
        "last_failure": {"at": past.at, **shown_trouble(Trouble.of(past.failure))} if past else None,
    }
