"""Rings of metrics: what adds up, what is a gap, which percentiles come of it, and what survives on disk."""

import random
from collections.abc import Sequence

import pytest

from hostel.agent.series import (
    FIRST_TIME,
    PLACES,
    TIMES,
    DamagedSeries,
    Ring,
    Sample,
    Series,
    add_up,
    load,
    percentile,
)

NOON = 29_000_040  # minutes since 1970; the first of ten


def answered(number: int, *, times: Sequence[int] = ()) -> Sample:
    return Sample(counts=[0, number, 0, 0, 0, 0, *times, *[0] * (TIMES - len(times))])


def place_of(milliseconds: int) -> int:
    """As the edge finds it: the first that ends after it."""
    return next(step for step in range(TIMES) if step == TIMES - 1 or milliseconds < 2 ** (step / 2) - 1e-9)


def test_samples_of_one_minute_add_up() -> None:
    ring = Ring(1, 60)
    ring.add(NOON, Sample(counts=[0, 5, 1, 2, 3, 4, *[0] * TIMES], memory_bytes=100, cpu_s=3.0, over_s=10.0))
    ring.add(NOON, Sample(counts=[0, 1, 0, 0, 0, 0, *[0] * TIMES], memory_bytes=90, cpu_s=1.0, over_s=10.0, restarts=1))
    point = ring.find(NOON)
    assert point is not None
    assert point.answered == (6, 1, 2, 3)
    assert (point.streams, point.memory_bytes, point.cpu_cores, point.restarts, point.reloads) == (4, 100, 0.2, 1, 0)
    assert point.at_s == NOON * 60
    assert point.latency is None  # no answer of the website's own


def test_what_was_not_seen_is_a_gap_and_so_is_what_was_an_hour_ago() -> None:
    ring = Ring(1, 60)
    ring.add(NOON, answered(1))
    ring.add(NOON + 2, answered(1))
    assert [minute - NOON for minute in range(NOON - 3, NOON + 5) if ring.find(minute)] == [0, 2]
    ring.add(NOON + 60, answered(7))
    assert ring.find(NOON) is None
    assert ring.has_since(NOON + 60)
    assert not ring.has_since(NOON + 61)


def test_a_clock_that_is_set_back_takes_the_place_of_what_was_ahead_of_it() -> None:
    ring = Ring(1, 60)
    for minute in (NOON, NOON + 1, NOON - 59, NOON + 1):
        ring.add(minute, answered(1))
    points = {minute - NOON: ring.find(minute) for minute in (NOON - 59, NOON, NOON + 1)}
    assert {after: point.answered[0] for after, point in points.items() if point} == {0: 1, 1: 1}


def test_ten_minutes_are_one_point_of_the_day_with_the_most_memory_and_the_percentiles_of_all() -> None:
    series = Series()
    for minute in range(10):
        times = [0] * TIMES
        times[place_of(1000 if minute == 9 else 10)] = 10
        sample = answered(10, times=times)
        series.add(NOON + minute, sample)
        series.add(NOON + minute, Sample(memory_bytes=minute, cpu_s=minute, over_s=60))
    point = series.day.find(NOON // 10)
    assert point is not None
    assert point.latency is not None
    assert (point.answered[0], point.memory_bytes, point.cpu_cores) == (100, 9, 0.075)
    assert 0.008 <= point.latency.p50_s <= 0.0115
    assert 0.7 <= point.latency.p95_s <= 1.1
    last = series.hour.find(NOON + 9)
    assert last is not None
    assert last.latency is not None
    assert last.latency.p50_s > 0.7  # of that minute alone


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_percentile_is_off_by_less_than_a_step(share: float) -> None:
    chance = random.Random(7)
    taken_ms = sorted(int(chance.lognormvariate(4, 1.2)) for _ in range(20_000))
    times = [0] * TIMES
    for milliseconds in taken_ms:
        times[place_of(milliseconds)] += 1
    true_s = taken_ms[int(share * len(taken_ms))] / 1000
    assert true_s / 1.1 < percentile(times, share) < true_s * 1.1


def test_a_percentile_of_one_answer_lies_in_its_place_and_the_longest_have_no_end() -> None:
    assert percentile([1] + [0] * (TIMES - 1), 0.5) <= 0.001
    assert percentile([0] * (TIMES - 1) + [1], 0.99) == pytest.approx(65.536)
    assert percentile([0] * TIMES, 0.5) != percentile([0] * TIMES, 0.5)  # not a number


def test_counters_of_several_workers_add_up_and_unknown_places_are_left_out() -> None:
    counts: dict[str, list[int]] = {}
    add_up(counts, {"a.test": [1, 3, FIRST_TIME, 2]})
    add_up(counts, {"a.test": [1, 4, PLACES + 1, 9], "b.test": [4, 1]})
    assert (counts["a.test"][1], counts["a.test"][FIRST_TIME], counts["b.test"][4]) == (7, 2, 1)
    assert len(counts["a.test"]) == PLACES + 1


def test_numbers_stop_at_the_largest_that_there_is_room_for() -> None:
    series = Series()
    for _ in range(2):
        series.add(NOON, Sample(counts=[0] + [2**32 - 1] * PLACES, restarts=2**16 - 1))
    point = series.hour.find(NOON)
    assert point is not None
    assert (point.answered[0], point.restarts) == (2**32 - 1, 2**16 - 1)


def test_what_was_written_is_read_again_and_goes_on() -> None:
    series = Series()
    times = [0] * TIMES
    times[place_of(10)] = 9
    series.add(NOON, answered(9, times=times))
    again = load(series.dump())
    assert again.hour.find(NOON) == series.hour.find(NOON)
    assert again.day.find(NOON // 10) == series.day.find(NOON // 10)
    slow = [0] * TIMES
    slow[place_of(5000)] = 1
    again.add(NOON, answered(1, times=slow))
    point = again.hour.find(NOON)
    assert point is not None
    assert point.latency is not None
    assert point.latency.p50_s < 0.02 < point.latency.p99_s


@pytest.mark.parametrize("spoil", ["empty", "short", "long", "flipped", "foreign"])
def test_a_damaged_file_is_told_from_a_good_one(spoil: str) -> None:
    good = Series().dump()
    data = {
        "empty": b"",
        "short": good[:-1],
        "long": good + b"x",
        "flipped": good[:100] + bytes([good[100] ^ 1]) + good[101:],
        "foreign": b"x" * len(good),
    }[spoil]
    with pytest.raises(DamagedSeries):
        load(data)
