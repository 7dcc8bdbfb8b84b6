"""Charts: which scale suits which figures, where they are drawn, and what is a gap."""

import re

import pytest

from hostel.panel.websites.chart import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Times,
    Unit,
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
from hostel.panel.websites.charts import draw
from hostel.wire.metrics import Latency, MetricsPoint, Period, WebsiteMetrics

NOON_S = 1_764_158_400  # 2025-11-26, 12:00 UTC
TIMES = Times(from_s=NOON_S, step_s=60, size=60)
MIB = 1 << 20


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, Unit.COUNT, "0"),
        (1234567, Unit.COUNT, "1,234,567"),
        (0, Unit.SECONDS, "0"),
        (0.0004, Unit.SECONDS, "<1 ms"),
        (0.0123, Unit.SECONDS, "12.3 ms"),
        (0.25, Unit.SECONDS, "250 ms"),
        (1.5, Unit.SECONDS, "1.5 s"),
        (65.5, Unit.SECONDS, "65.5 s"),
        (100, Unit.BYTES, "100 B"),
        (512 * MIB, Unit.BYTES, "512 MB"),
        (1536 * MIB, Unit.BYTES, "1.5 GB"),
        (0.042, Unit.CORES, "4.2 %"),
        (2, Unit.CORES, "200 %"),
    ],
)
def test_figures_are_short_and_have_their_unit(value: float, unit: Unit, text: str) -> None:
    assert formatted(value, unit) == text


@pytest.mark.parametrize(
    ("most", "unit", "ticks"),
    [
        (1, Unit.COUNT, (0, 1)),
        (7, Unit.COUNT, (0, 2, 4, 6, 8)),
        (100, Unit.COUNT, (0, 50, 100)),
        (0.9, Unit.CORES, (0, 0.5, 1.0)),
        (512 * MIB, Unit.BYTES, (0, 128 * MIB, 256 * MIB, 384 * MIB, 512 * MIB)),
        (0, Unit.COUNT, (0, 1)),
        (0, Unit.BYTES, (0, 1024)),
    ],
)
def test_a_scale_ends_at_a_round_figure_with_few_levels(most: float, unit: Unit, ticks: tuple[float, ...]) -> None:
    scale = linear(most, unit)
    assert scale.ticks == pytest.approx(ticks)
    assert (scale.y(0), scale.y(scale.most)) == (BOTTOM, TOP)
    assert scale.most >= most
    assert next(label.at for label in levels(scale, unit)) == BOTTOM


@pytest.mark.parametrize("most", [10**k * f for k in range(-3, 12) for f in (1, 1.7, 3, 9.99)])
@pytest.mark.parametrize("unit", list(Unit))
def test_no_scale_has_many_levels_whatever_the_figures(most: float, unit: Unit) -> None:
    assert 2 <= len(linear(most, unit).ticks) <= 7


def test_a_scale_of_decades_holds_what_is_shown_and_has_two_ends() -> None:
    assert decades(0.012, 0.3).ticks == (0.01, 0.1, 1.0)
    assert decades(0.0, 0.0).ticks == (0.001, 0.01)
    assert decades(5, 65.5).ticks == (1.0, 10.0, 100.0)
    scale = decades(0.01, 1.0)
    assert (scale.y(0.01), scale.y(1.0)) == (BOTTOM, TOP)
    assert scale.y(0.1) == pytest.approx((BOTTOM + TOP) / 2)
    assert (scale.y(0), scale.y(99)) == (BOTTOM, TOP)  # beyond an end is drawn at it


def test_times_are_named_at_round_ones_and_lie_between_the_ends() -> None:
    hour = Times(from_s=NOON_S - 60 * 7, step_s=60, size=60).labels()
    assert [label.text for label in hour] == ["12:00", "12:10", "12:20", "12:30", "12:40", "12:50"]
    day = Times(from_s=NOON_S + 600, step_s=600, size=144).labels()
    assert [label.text for label in day] == ["16:00", "20:00", "00:00", "04:00", "08:00", "12:00"]
    for label in (*hour, *day):
        assert LEFT <= label.at <= RIGHT


def test_bars_stand_upon_each_other() -> None:
    scale = linear(4, Unit.COUNT)
    lower, upper = stack(TIMES, scale, [("a", "A", {0: 1.0, 1: 2.0}), ("b", "B", {0: 3.0, 1: 0.0})])
    assert lower.path.count("M") == 2
    assert upper.path.count("M") == 1  # nothing is drawn of nothing
    foot, top = re.findall(r"[ V]([\d.]+)", upper.path)[:2]
    assert (float(foot), float(top)) == (pytest.approx(scale.y(1), abs=0.1), pytest.approx(scale.y(4), abs=0.1))


def test_a_line_has_a_gap_where_it_has_no_value() -> None:
    scale = linear(1, Unit.CORES)
    drawn = line(TIMES, scale, "used", "used", {0: 1.0, 1: 0.5, 5: 1.0})
    assert drawn.path.count("M") == 2
    assert drawn.path.startswith(f"M{LEFT} {TOP}H")
    assert line(TIMES, scale, "used", "used", {}).path == ""
    assert level(scale, "limit", "limit", 2.0).path == ""  # beyond the top


def test_what_nobody_saw_is_one_field_for_each_gap() -> None:
    assert gaps(TIMES, range(60)).path == ""
    assert gaps(TIMES, [0, 1, 2, 10]).path.count("M") == 2
    assert gaps(TIMES, []).path == f"M{LEFT} {TOP}h{RIGHT - LEFT}V{BOTTOM}h{LEFT - RIGHT}z"
    assert marks(TIMES, "restart", "restart", [0, 59]).path.count("M") == 2


def metrics(*points: MetricsPoint, limit: float = 1.0) -> WebsiteMetrics:
    return WebsiteMetrics(
        period=Period.HOUR,
        step_s=60,
        from_s=NOON_S,
        until_s=NOON_S + 3600,
        memory_limit_bytes=512 * MIB,
        cpu_limit_cores=limit,
        points=points,
    )


def test_there_is_a_chart_of_what_there_are_figures_for() -> None:
    assert draw(metrics()) == []
    assert draw(metrics(MetricsPoint(at_s=NOON_S))) == []
    awake = MetricsPoint(at_s=NOON_S, memory_bytes=60 * MIB, cpu_cores=0.5)
    assert [chart.slug for chart in draw(metrics(awake))] == ["memory", "cpu"]
    latency = Latency(p50_s=0.01, p95_s=0.1, p99_s=2.5)
    visited = MetricsPoint(at_s=NOON_S + 60, answered=(7, 0, 1, 2), latency=latency, restarts=2)
    charts = {chart.slug: chart for chart in draw(metrics(awake, visited))}
    assert list(charts) == ["requests", "latency", "memory", "cpu"]
    requests = charts["requests"]
    assert requests.summary == "7 2xx, 1 4xx, 2 5xx. At most 10 in a minute. From 12:00 to 13:00 UTC."
    assert [shape.name for shape in requests.shapes] == ["nobody looked", "2xx", "4xx", "5xx", "restart"]
    assert [spot.text for spot in requests.spots] == ["12:01: 7 2xx, 1 4xx, 2 5xx, 2 restarts"]
    assert [label.text for label in charts["latency"].levels] == ["10 ms", "100 ms", "1 s", "10 s"]


def test_a_limit_far_above_what_is_used_is_said_and_not_drawn() -> None:
    used = MetricsPoint(at_s=NOON_S, memory_bytes=60 * MIB, cpu_cores=0.5)
    memory, cpu = draw(metrics(used))
    assert memory.hint == "The most it had; its limit 512 MB is far above"
    assert "limit 512 MB" not in [shape.name for shape in memory.shapes]
    assert "limit 100 %" in [shape.name for shape in cpu.shapes]
