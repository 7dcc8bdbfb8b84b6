"""Rates from two looks at counters that may begin anew."""

from hostel.agent.usage import Look, cpu_percent, requests_per_minute
from hostel.wire.website import RunId


def look(at_s: float, *, arrived: int = 0, cpu_s: float = 0.0, run: str = "r1") -> Look:
    return Look(at_s, RunId(run), cpu_s, arrived)


def test_requests_are_counted_since_the_oldest_look() -> None:
    looks = [look(100, arrived=10), look(130, arrived=500)]
    assert requests_per_minute(looks, look(160, arrived=130)) == 120.0
    assert requests_per_minute(looks, look(130, arrived=70)) == 120.0, "in half a minute"


def test_an_edge_that_was_started_anew_counts_from_there() -> None:
    looks = [look(100, arrived=1000), look(110, arrived=1200), look(120, arrived=5)]
    assert requests_per_minute(looks, look(150, arrived=35)) == 60.0
    assert requests_per_minute(looks[:2], look(150, arrived=35)) is None


def test_the_processor_is_counted_for_each_run() -> None:
    looks = [look(100, cpu_s=50, run="r0"), look(110, cpu_s=1), look(120, cpu_s=2)]
    assert cpu_percent(looks, look(150, cpu_s=21)) == 50.0
    assert cpu_percent(looks, look(150, cpu_s=21, run="r2")) is None


def test_what_has_just_begun_has_no_rate() -> None:
    assert requests_per_minute([], look(100, arrived=3)) is None
    assert requests_per_minute([look(100)], look(100.5, arrived=3)) is None
    assert cpu_percent([look(100)], look(100.5, cpu_s=3)) is None
