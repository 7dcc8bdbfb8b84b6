"""What a website's charts show, as figures."""

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel import agent
from hostel.panel.api.schema import DOMAIN, NOT_FOUND, REFUSALS, USERNAME, error, invalid
from hostel.panel.api.views import OwnersView
from hostel.wire.metrics import STATUS_CLASSES, MetricsPoint, Period, WebsiteMetrics


class LatencyShown(serializers.Serializer[Any]):
    p50 = serializers.FloatField(help_text="Half of the answers began within so many seconds.")
    p95 = serializers.FloatField()
    p99 = serializers.FloatField()


class PointShown(serializers.Serializer[Any]):
    at = serializers.DateTimeField(help_text="When it begins.")
    requests = inline_serializer("RequestsShown", {each: serializers.IntegerField() for each in STATUS_CLASSES})
    websockets = serializers.IntegerField(help_text="WebSockets and event streams opened. They are no requests.")
    latency_seconds = LatencyShown(
        allow_null=True, help_text="From a request's arrival until its answer began. `null`: the website gave none."
    )
    memory_bytes = serializers.IntegerField(
        allow_null=True, help_text="The most that was seen, without what the kernel can drop. `null`: nothing ran."
    )
    cpu_cores = serializers.FloatField(allow_null=True, help_text="On average. `null`: nothing ran.")
    restarts = serializers.IntegerField(help_text="Starts after it had ended by itself, or had not come up.")
    reloads = serializers.IntegerField(help_text="Runs that took the place of one that served.")


class MetricsShown(serializers.Serializer[Any]):
    period = serializers.ChoiceField(choices=[period.value for period in Period])
    step_seconds = serializers.IntegerField(help_text="What one point covers.")
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(help_text="When the last point ends, which is still under way.")
    memory_limit_bytes = serializers.IntegerField(help_text="As it is now.")
    cpu_limit_cores = serializers.FloatField()
    points = PointShown(many=True, help_text="One that is missing: nobody looked then.")


_POINT: dict[str, Any] = {
    "at": "2026-11-22T21:40:00Z",
    "requests": {"2xx": 118, "3xx": 2, "4xx": 5, "5xx": 0},
    "websockets": 1,
    "latency_seconds": {"p50": 0.012, "p95": 0.08, "p99": 0.21},
    "memory_bytes": 61_440_000,
    "cpu_cores": 0.042,
    "restarts": 0,
    "reloads": 1,
}
_EXAMPLE: dict[str, Any] = {
    "period": "hour",
    "step_seconds": 60,
    "since": "2026-11-22T20:41:00Z",
    "until": "2026-11-22T21:41:00Z",
    "memory_limit_bytes": 536_870_912,
    "cpu_limit_cores": 1.0,
    "points": [_POINT],
}


class Metrics(OwnersView):
    @extend_schema(
        operation_id="websites_metrics",
        summary="What a website's visitors were answered, and what it used",
        description="The last hour by the minute, or the last day by ten minutes. Counted by the edge, whoever "
        "answered: what it refuses for the website counts too.",
        tags=["websites"],
        parameters=[
            USERNAME,
            DOMAIN,
            OpenApiParameter("period", str, OpenApiParameter.QUERY, enum=list(Period), default=Period.HOUR.value),
        ],
        responses={
            200: OpenApiResponse(MetricsShown, examples=[OpenApiExample("One point", value=_EXAMPLE)]),
            **invalid({"period": ["Give hour or day."]}),
            **REFUSALS,
            **NOT_FOUND,
            503: error("The platform's agent does not answer", "The agent does not answer."),
        },
    )
    def get(self, request: Request, username: str, domain_name: str) -> Response:
        website = self.get_website(domain_name)
        return Response(_shown(agent.get_metrics(website.canonical_name, _period(request))))


def _period(request: Request) -> Period:
    try:
        return Period(request.query_params.get("period", Period.HOUR))
    except ValueError:
        raise exceptions.ValidationError({"period": [f"Give {' or '.join(Period)}."]}) from None


def _shown(told: WebsiteMetrics) -> dict[str, Any]:
    return {
        "period": told.period.value,
        "step_seconds": told.step_s,
        "since": _time(told.from_s),
        "until": _time(told.until_s),
        "memory_limit_bytes": told.memory_limit_bytes,
        "cpu_limit_cores": told.cpu_limit_cores,
        "points": [_shown_point(point) for point in told.points],
    }


def _shown_point(point: MetricsPoint) -> dict[str, Any]:
    latency = point.latency
    return {
        "at": _time(point.at_s),
        "requests": dict(zip(STATUS_CLASSES, point.answered, strict=True)),
        "websockets": point.streams,
        "latency_seconds": {"p50": latency.p50_s, "p95": latency.p95_s, "p99": latency.p99_s} if latency else None,
        "memory_bytes": point.memory_bytes,
        "cpu_cores": point.cpu_cores,
        "restarts": point.restarts,
        "reloads": point.reloads,
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
