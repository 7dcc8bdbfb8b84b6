"""Charts as SVG: from figures to lengths, paths and words. Pure; templates only write down what is decided here.

A chart is `WIDTH` by `HEIGHT` units, about as many pixels. Its figures are in steps of equal length along a time axis.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

WIDTH, HEIGHT = 420, 176
LEFT, RIGHT, TOP, BOTTOM = 62, 410, 12, 150  # of what is drawn between the axes
_LEVELS = 4  # about as many lines across
_TIME_TICKS = 6  # at most
_HOUR_S = 3600
_TICKS_S = (600, 900, 1800, _HOUR_S, 2 * _HOUR_S, 4 * _HOUR_S, 6 * _HOUR_S)
_FINEST_S = 0.001
_DECADES_S = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)


FRAME = {  # what templates need of it
    "width": WIDTH,
    "height": HEIGHT,
    "left": LEFT,
    "right": RIGHT,
    "top": TOP,
    "bottom": BOTTOM,
    "depth": BOTTOM - TOP,
}


class Unit(Enum):
    COUNT = "count"
    SECONDS = "seconds"
    BYTES = "bytes"
    CORES = "cores"


def formatted(value: float, unit: Unit) -> str:
    """A figure with its unit, as short as it can be read."""
    if unit is Unit.COUNT:
        return f"{value:,.0f}"
    if unit is Unit.CORES:
        return f"{_digits(value * 100)} %"  # of one core
    if unit is Unit.BYTES:
        for name in ("B", "KB", "MB"):
            if value < 1024:
                return f"{_digits(value)} {name}"
            value /= 1024
        return f"{_digits(value)} GB"
    if value < _FINEST_S:
        return "<1 ms" if value else "0"
    return f"{_digits(value * 1000)} ms" if value < 1 else f"{_digits(value)} s"


def _digits(value: float) -> str:
    """Three of them where it is no whole number."""
    text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class Scale:
    """From figures to heights. What is beyond an end is drawn at that end."""

    least: float
    most: float
    ticks: tuple[float, ...]
    is_logarithmic: bool = False

    def y(self, value: float) -> float:
        value = min(max(value, self.least), self.most)
        if self.is_logarithmic:
            share = math.log(value / self.least) / math.log(self.most / self.least)
        else:
            share = (value - self.least) / (self.most - self.least)
        return BOTTOM - share * (BOTTOM - TOP)


def linear(most: float, unit: Unit) -> Scale:
    """From nothing to a round figure that is not less than `most`."""
    if unit is Unit.BYTES:
        step = 2.0 ** max(10, math.ceil(math.log2(max(most, 1) / _LEVELS)))
    else:
        step = _round_up(max(most, 0.01) / _LEVELS)
        step = max(1.0, step) if unit is Unit.COUNT else step
    levels = max(1, math.ceil(most / step - 1e-9))
    return Scale(0.0, levels * step, tuple(level * step for level in range(levels + 1)))


def _round_up(value: float) -> float:
    """To 1, 2 or 5 with zeros."""
    unit: float = 10.0 ** math.floor(math.log10(value))
    return next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= value * (1 - 1e-9))


def decades(least_s: float, most_s: float) -> Scale:
    """From a power of ten to one, a millisecond at the least."""
    first = max((each for each in _DECADES_S if each <= least_s), default=_DECADES_S[0])
    last = min((each for each in _DECADES_S if each >= most_s and each > first), default=_DECADES_S[-1])
    return Scale(first, last, tuple(each for each in _DECADES_S if first <= each <= last), is_logarithmic=True)


@dataclass(frozen=True, slots=True)
class Times:
    """The time axis: `size` steps of `step_s` seconds, the first of which begins at `from_s`, since 1970."""

    from_s: int
    step_s: int
    size: int

    @property
    def width(self) -> float:
        return (RIGHT - LEFT) / self.size

    def index(self, at_s: int) -> int:
        return (at_s - self.from_s) // self.step_s

    def x(self, index: int) -> float:
        """Where a step begins."""
        return LEFT + index * self.width

    def labels(self) -> "tuple[Label, ...]":
        """At round times, UTC."""
        covers_s = self.size * self.step_s
        every_s = next((each for each in _TICKS_S if covers_s / each <= _TIME_TICKS), _TICKS_S[-1])
        first = -(-self.from_s // every_s) * every_s
        found = range(first, self.from_s + covers_s, every_s)
        return tuple(Label(LEFT + (at - self.from_s) / covers_s * (RIGHT - LEFT), clock(at)) for at in found)


def clock(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%H:%M")


@dataclass(frozen=True, slots=True)
class Label:
    at: float  # a length: of levels downwards, of times to the right
    text: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A path, and the class that says how it looks; what the key calls it, if it is in the key."""

    kind: str
    path: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Spot:
    """One step of the time axis, and what a pointer reads there."""

    x: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    slug: str
    title: str
    hint: str  # what is shown, and in which unit
    summary: str  # for those who do not see it
    levels: tuple[Label, ...]
    times: tuple[Label, ...]
    shapes: tuple[Shape, ...]
    spots: tuple[Spot, ...]
    spot_width: float


Values = Mapping[int, float]  # by step


def stack(times: Times, scale: Scale, layers: Sequence[tuple[str, str, Values]]) -> list[Shape]:
    """Bars upon each other, the first at the bottom: kind, name and values of each."""
    below: dict[int, float] = {}
    shapes = []
    gap = min(1.5, times.width / 4)
    for kind, name, values in layers:
        parts = []
        for index, value in sorted(values.items()):
            if value > 0:
                foot = below.get(index, 0.0)
                below[index] = foot + value
                top, bottom = scale.y(below[index]), scale.y(foot)
                x, width = times.x(index) + gap / 2, times.width - gap
                parts.append(f"M{_n(x)} {_n(bottom)}V{_n(top)}h{_n(width)}V{_n(bottom)}z")
        shapes.append(Shape(f"bar {kind}", "".join(parts), name))
    return shapes


def line(times: Times, scale: Scale, kind: str, name: str, values: Values) -> Shape:
    """Level over each step. Where a step has no value there is a gap."""
    parts = []
    for index, value in sorted(values.items()):
        y, begin = _n(scale.y(value)), index - 1 not in values
        parts.append(f"M{_n(times.x(index))} {y}" if begin else f"V{y}")
        parts.append(f"H{_n(times.x(index + 1))}")
    return Shape(f"line {kind}", "".join(parts), name)


def level(scale: Scale, kind: str, name: str, value: float) -> Shape:
    """Straight across; nothing where it is higher than the chart."""
    path = f"M{LEFT} {_n(scale.y(value))}H{RIGHT}" if value <= scale.most else ""
    return Shape(f"line {kind}", path, name)


def marks(times: Times, kind: str, name: str, indexes: Iterable[int]) -> Shape:
    """A line from top to bottom in each of these steps."""
    path = "".join(f"M{_n(times.x(index) + times.width / 2)} {TOP}V{BOTTOM}" for index in indexes)
    return Shape(f"line {kind}", path, name)


def gaps(times: Times, seen: Iterable[int]) -> Shape:
    """The steps of which nothing is known."""
    missing = sorted(set(range(times.size)) - set(seen))
    parts, first = [], 0
    while first < len(missing):
        last = first
        while last + 1 < len(missing) and missing[last + 1] == missing[last] + 1:
            last += 1
        x, width = times.x(missing[first]), (missing[last] - missing[first] + 1) * times.width
        parts.append(f"M{_n(x)} {TOP}h{_n(width)}V{BOTTOM}h{_n(-width)}z")
        first = last + 1
    return Shape("unknown", "".join(parts), "nobody looked")


def levels(scale: Scale, unit: Unit) -> tuple[Label, ...]:
    return tuple(Label(round(scale.y(tick), 1), formatted(tick, unit)) for tick in scale.ticks)


def _n(length: float) -> str:
    """A length with a digit behind the point at most."""
    return f"{length:.1f}".removesuffix(".0")
