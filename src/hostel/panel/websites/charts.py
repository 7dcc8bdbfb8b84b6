"""Which charts a website's metrics make, and what they say in words. How they are drawn `chart` knows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hostel.panel.websites.chart import (
    Chart,
    Scale,
    Shape,
    Spot,
    Times,
    Unit,
    Values,
    clock,
    decades,
    formatted,
    gaps,
    level,
    levels,
    line,
    linear,
    marks,
    stack,
)
from hostel.wire.metrics import STATUS_CLASSES, Latency, MetricsPoint, Period, WebsiteMetrics

_KINDS = ("ok", "moved", "refused", "failed")
PERCENTILES: tuple[tuple[str, Callable[[Latency], float]], ...] = (
    ("p50", lambda latency: latency.p50_s),
    ("p95", lambda latency: latency.p95_s),
    ("p99", lambda latency: latency.p99_s),
)
_LIMIT_IN_SIGHT = 4  # a limit this many times what is used would leave nothing to see of that
_STEPS = {Period.HOUR: "a minute", Period.DAY: "ten minutes"}


class Seen:
    """What there is to draw: `points` by step."""

    def __init__(self, told: WebsiteMetrics) -> None:
        self.told = told
        self.times = Times(told.from_s, told.step_s, (told.until_s - told.from_s) // told.step_s)
        self.points = {self.times.index(point.at_s): point for point in told.points}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What is particular to one chart."""

    slug: str
    title: str
    hint: str
    summary: str
    scale: Scale
    unit: Unit
    shapes: Sequence[Shape]
    words: Mapping[int, str]  # by step: what a pointer reads there


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Of something that is limited."""

    slug: str
    title: str
    hint: str
    unit: Unit
    values: Values
    limit: float


def draw(told: WebsiteMetrics) -> list[Chart]:
    """Those for which there are figures; at least the first where somebody looked at all."""
    seen = Seen(told)
    return [chart for chart in (_requests(seen), _latency(seen), _memory(seen), _cpu(seen)) if chart is not None]


def _requests(seen: Seen) -> Chart | None:
    points, step = seen.points, _STEPS[seen.told.period]
    answered = {index: sum(point.answered) for index, point in points.items()}
    if not any(answered.values()):
        return None
    scale = linear(max(answered.values()), Unit.COUNT)
    layers = [
        (kind, name, {index: float(point.answered[each]) for index, point in points.items()})
        for each, (kind, name) in enumerate(zip(_KINDS, STATUS_CLASSES, strict=True))
    ]
    shown = [layer for layer in layers if any(layer[2].values())]
    totals = ", ".join(f"{formatted(sum(values.values()), Unit.COUNT)} {name}" for _, name, values in shown)
    most = formatted(max(answered.values()), Unit.COUNT)
    drawing = Drawing(
        slug="requests",
        title="Requests",
        hint=f"In {step}, by the class of their status",
        summary=f"{totals}. At most {most} in {step}.",
        scale=scale,
        unit=Unit.COUNT,
        shapes=stack(seen.times, scale, shown),
        words={
            index: ", ".join(f"{values[index]:,.0f} {name}" for _, name, values in shown if values[index])
            for index in points
        },
    )
    return _chart(seen, drawing)


def _latency(seen: Seen) -> Chart | None:
    found = {index: point.latency for index, point in seen.points.items() if point.latency}
    if not found:
        return None
    scale = decades(min(latency.p50_s for latency in found.values()), max(latency.p99_s for latency in found.values()))
    shapes = [
        line(seen.times, scale, name, name, {index: read(latency) for index, latency in found.items()})
        for name, read in PERCENTILES
    ]
    slowest = formatted(max(latency.p95_s for latency in found.values()), Unit.SECONDS)
    drawing = Drawing(
        slug="latency",
        title="Latency",
        hint="Until the answer began; 50, 95, 99 of 100 requests took no longer",
        summary=f"In the slowest of these times 95 of 100 requests took no longer than {slowest}.",
        scale=scale,
        unit=Unit.SECONDS,
        shapes=shapes,
        words={
            index: ", ".join(f"{name} {formatted(read(latency), Unit.SECONDS)}" for name, read in PERCENTILES)
            for index, latency in found.items()
        },
    )
    return _chart(seen, drawing)


def _memory(seen: Seen) -> Chart | None:
    points = seen.points.items()
    return _use(
        seen,
        Use(
            slug="memory",
            title="Memory",
            hint="The most it had",
            unit=Unit.BYTES,
            values={index: float(point.memory_bytes) for index, point in points if point.memory_bytes is not None},
            limit=seen.told.memory_limit_bytes,
        ),
    )


def _cpu(seen: Seen) -> Chart | None:
    points = seen.points.items()
    return _use(
        seen,
        Use(
            slug="cpu",
            title="Processor",
            hint="Of one core, on average",
            unit=Unit.CORES,
            values={index: point.cpu_cores for index, point in points if point.cpu_cores is not None},
            limit=seen.told.cpu_limit_cores,
        ),
    )


def _use(seen: Seen, use: Use) -> Chart | None:
    """The limit is drawn where that leaves enough to be seen of the use."""
    if not use.values:
        return None
    most = max(use.values.values())
    is_in_sight = most * _LIMIT_IN_SIGHT > use.limit
    scale = linear(max(most, use.limit) if is_in_sight else most, use.unit)
    named = f"limit {formatted(use.limit, use.unit)}"
    shapes = [line(seen.times, scale, "used", "used", use.values)]
    if is_in_sight:
        shapes.append(level(scale, "limit", named, use.limit))
    drawing = Drawing(
        slug=use.slug,
        title=use.title,
        hint=use.hint if is_in_sight else f"{use.hint}; its {named} is far above",
        summary=f"At most {formatted(most, use.unit)}, {named}.",
        scale=scale,
        unit=use.unit,
        shapes=shapes,
        words={index: formatted(value, use.unit) for index, value in use.values.items()},
    )
    return _chart(seen, drawing)


def _chart(seen: Seen, drawing: Drawing) -> Chart:
    """With what all charts show: restarts, reloads, and where nobody looked."""
    told, times, points = seen.told, seen.times, seen.points
    drawn = (
        gaps(times, points),
        *drawing.shapes,
        marks(times, "reload", "reload", [index for index, point in points.items() if point.reloads]),
        marks(times, "restart", "restart", [index for index, point in points.items() if point.restarts]),
    )
    words = {index: _words(point, drawing.words.get(index, "")) for index, point in points.items()}
    return Chart(
        slug=drawing.slug,
        title=drawing.title,
        hint=drawing.hint,
        summary=f"{drawing.summary} From {clock(told.from_s)} to {clock(told.until_s)} UTC.",
        levels=levels(drawing.scale, drawing.unit),
        times=times.labels(),
        shapes=tuple(shape for shape in drawn if shape.path),
        spots=tuple(Spot(round(times.x(index), 1), text) for index, text in words.items() if text),
        spot_width=round(times.width, 1),
    )


def _words(point: MetricsPoint, said: str) -> str:
    deeds = ((point.restarts, "restart"), (point.reloads, "reload"))
    found = [said, *(f"{number} {name}{'s' if number > 1 else ''}" for number, name in deeds if number)]
    text = ", ".join(each for each in found if each)
    return f"{clock(point.at_s)}: {text}" if text else ""
