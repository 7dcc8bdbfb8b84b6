"""A website's charts: what its visitors were answered, how fast, and what it used, over the last hour or day."""

from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from hostel.panel import agent
from hostel.panel.websites.chart import FRAME, Unit, clock, formatted
from hostel.panel.websites.charts import PERCENTILES, draw
from hostel.panel.websites.models import Website
from hostel.panel.websites.pages import own_website
from hostel.wire.errors import HostelError
from hostel.wire.metrics import STATUS_CLASSES, MetricsPoint, Period, WebsiteMetrics


@dataclass(frozen=True, slots=True)
class Row:
    """One point in words."""

    time: str
    cells: tuple[str, ...]


@require_safe
@own_website
def show(request: HttpRequest, website: Website) -> HttpResponse:
    period = _period(request)
    page: dict[str, Any] = {"website": website, "period": period.value, "periods": _periods(website)}
    try:
        told = agent.get_metrics(website.canonical_name, period)
    except HostelError as error:
        return render(request, "websites/metrics.html", {**page, "error": str(error)}, status=error.status)
    page |= {"rows": _rows(told), "heads": _HEADS, "at": f"{timezone.now():%H:%M}", **_live(website, told)}
    return render(request, "websites/metrics.html", page)


@require_safe
@own_website
def now(request: HttpRequest, website: Website) -> HttpResponse:
    """The live part. Nothing where the agent does not say, so that htmx asks again."""
    try:
        told = agent.get_metrics(website.canonical_name, _period(request))
    except HostelError as error:
        return HttpResponse(status=error.status)
    return render(request, "websites/_charts.html", {"website": website, **_live(website, told)})


def _live(website: Website, told: WebsiteMetrics) -> dict[str, Any]:
    points = told.points
    answered = [sum(point.answered[each] for point in points) for each in range(len(STATUS_CLASSES))]
    return {
        "charts": draw(told),
        "frame": FRAME,
        "answered": formatted(sum(answered), Unit.COUNT) if any(answered) else "",
        "failed": formatted(answered[-1], Unit.COUNT),
        "streams": formatted(sum(point.streams for point in points), Unit.COUNT),
        "restarts": sum(point.restarts for point in points),
        "reloads": sum(point.reloads for point in points),
        "span": told.period.value,
        "again": f"{_address('metrics_now', website)}?period={told.period.value}",
    }


_NOTHING = "\N{EN DASH}"
_HEADS = (
    *(*STATUS_CLASSES, "WebSockets"),
    *(name for name, _ in PERCENTILES),
    *("Memory", "Processor", "Restarts", "Reloads"),
)


def _rows(told: WebsiteMetrics) -> list[Row]:
    """The newest first; of points at which nothing was there is none."""
    return [
        Row(clock(point.at_s), _cells(point))
        for point in reversed(told.points)
        if point != MetricsPoint(at_s=point.at_s)
    ]


def _cells(point: MetricsPoint) -> tuple[str, ...]:
    latency = point.latency
    return (
        *(formatted(number, Unit.COUNT) for number in (*point.answered, point.streams)),
        *(_or_nothing(read(latency) if latency else None, Unit.SECONDS) for _, read in PERCENTILES),
        _or_nothing(point.memory_bytes, Unit.BYTES),
        _or_nothing(point.cpu_cores, Unit.CORES),
        *(formatted(number, Unit.COUNT) for number in (point.restarts, point.reloads)),
    )


def _or_nothing(value: float | None, unit: Unit) -> str:
    return _NOTHING if value is None else formatted(value, unit)


def _period(request: HttpRequest) -> Period:
    try:
        return Period(request.GET.get("period", Period.HOUR))
    except ValueError:
        raise Http404 from None


def _periods(website: Website) -> list[tuple[str, str]]:
    return [(each.value, f"{_address('metrics', website)}?period={each.value}") for each in Period]


def _address(name: str, website: Website) -> str:
    return reverse(f"websites:{name}", args=[website.owner.username, website.domain_name])
