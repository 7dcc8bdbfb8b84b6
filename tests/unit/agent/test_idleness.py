"""Who is idle, for how long, and who sleeps when the machine is short of memory."""

from pathlib import Path

import pytest

from hostel.agent import cgroup
from hostel.agent.hibernation import find_obstacle, read_memory
from hostel.agent.idleness import Rest, choose, follow, read_pressure
from hostel.agent.swapped import find_present, find_ranges
from hostel.wire.website import RunId

RUN = RunId("r1")
NOW = 1000.0


def rest(idle_s: float, **differences: object) -> Rest:
    return Rest(**{"run": RUN, "since": NOW - idle_s, "was_busy": False, **differences})  # type: ignore[arg-type]


def test_a_rest_begins_at_the_first_look_and_goes_on_while_nobody_comes() -> None:
    first = follow(None, RUN, in_flight=0, seen_s=-1, now=NOW)
    assert (first.since, first.was_busy) == (NOW, False)
    assert follow(first, RUN, in_flight=0, seen_s=-1, now=NOW + 5) is first
    assert follow(first, RUN, in_flight=0, seen_s=50, now=NOW + 5) is first, "longer ago than it has been known"


@pytest.mark.parametrize(
    ("seen", "since", "was_busy"),
    [
        ({"in_flight": 1, "seen_s": 400}, NOW, True),  # a WebSocket that was opened long ago
        ({"in_flight": 0, "seen_s": 3}, NOW - 3, False),
    ],
)
def test_who_comes_ends_a_rest_and_what_was_measured(seen: dict, since: float, was_busy: bool) -> None:
    after = follow(rest(60, cpu_s=5.0), RUN, now=NOW, **seen)
    assert (after.since, after.was_busy, after.cpu_s) == (since, was_busy, None)


def test_a_rest_begins_after_what_was_in_flight_and_anew_with_each_run() -> None:
    assert follow(rest(60, was_busy=True), RUN, in_flight=0, seen_s=300, now=NOW) == rest(0)
    assert follow(rest(60), RunId("r2"), in_flight=0, seen_s=300, now=NOW) == rest(0, run=RunId("r2"))


@pytest.mark.parametrize(("used_s", "is_working"), [(0.0, False), (0.5, False), (0.7, True), (60.0, True)])
def test_work_is_more_than_a_hundredth_of_a_core(used_s: float, is_working: bool) -> None:
    measured = rest(60, cpu_s=5.0, measured_at=NOW - 60)
    assert measured.is_working(5.0 + used_s, NOW) is is_working


def test_those_sleep_that_have_been_idle_for_their_own_term_and_no_more_at_a_time_than_is_good() -> None:
    rests = {"short": rest(100), "long": rest(100), "busy": rest(500, was_busy=True)}
    terms_s = {"short": 60.0, "long": 900.0, "busy": 60.0}
    assert choose(rests, terms_s, now=NOW, is_pressed=False) == ["short"]
    many = {str(number): rest(100 + number) for number in range(80)}
    chosen = choose(many, dict.fromkeys(many, 60.0), now=NOW, is_pressed=False)
    assert chosen == [str(number) for number in range(79, 29, -1)], "those first that nobody has used for longest"


def test_under_pressure_the_least_recently_used_go_first_and_nothing_live_is_touched() -> None:
    rests = {str(idle_s): rest(idle_s) for idle_s in (5, *range(20, 120, 10))} | {"busy": rest(500, was_busy=True)}
    chosen = choose(rests, dict.fromkeys(rests, 900.0), now=NOW, is_pressed=True)
    assert chosen == ["110", "100", "90", "80", "70", "60", "50", "40"]
    assert choose({"busy": rest(500, was_busy=True)}, {"busy": 60.0}, now=NOW, is_pressed=True) == []


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0 avg300=0 total=1\n", 12.5),
        ("", 0.0),
        ("nothing of it", 0.0),
    ],
)
def test_pressure_is_what_the_kernel_says(tmp_path: Path, text: str, percent: float) -> None:
    (tmp_path / "memory").write_text(text)
    assert read_pressure(tmp_path / "memory") == percent
    assert read_pressure(tmp_path / "none") == 0.0


SWAP = {"SwapTotal": 1 << 30, "SwapFree": 1 << 30}


@pytest.mark.parametrize(
    ("memory", "options", "reason", "words"),
    [
        ({"SwapTotal": 0, "SwapFree": 0}, {}, "no_swap", "has no swap"),
        ({**SWAP, "SwapFree": 0}, {}, "no_swap", "is full"),
        (SWAP, {"swappiness": 0}, "no_swap", "vm.swappiness is 0"),
        (SWAP, {"can_freeze": False}, "cannot_freeze", "cannot freeze"),
    ],
)
def test_a_machine_where_nothing_can_hibernate_says_why(memory: dict, options: dict, reason: str, words: str) -> None:
    given = {"swappiness": 60, "can_freeze": True, **options}
    obstacle = find_obstacle(memory, **given)
    assert obstacle is not None
    assert obstacle.reason == reason
    assert words in obstacle.detail
    assert find_obstacle(SWAP, swappiness=60, can_freeze=True) is None


@pytest.mark.parametrize(
    ("files", "can_freeze"),
    [
        (["freezer/cgroup.procs", "memory/memory.force_empty"], True),
        (["freezer/none", "memory/memory.force_empty"], False),  # a directory where nothing is mounted
        (["memory/memory.force_empty"], False),
        (["freezer/cgroup.procs", "memory/cgroup.procs"], False),
        (["cgroup.controllers", "system.slice/memory.reclaim"], True),
        (["cgroup.controllers", "system.slice/memory.max"], False),
    ],
)
def test_freezing_needs_controllers_of_either_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], can_freeze: bool
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    assert cgroup.can_freeze() is can_freeze


def test_memory_is_read_in_bytes(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("SwapTotal:        1024 kB\nHugePages_Total:       0\nSwapFree: 512 kB\n")
    assert read_memory(tmp_path / "meminfo") == {"SwapTotal": 1 << 20, "SwapFree": 512 << 10}


def test_only_memory_of_the_process_s_own_is_brought_back() -> None:
    lines = """\
55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0                          [heap]
7f1000000000-7f1000100000 rw-p 00000000 00:00 0
7f2000000000-7f2000100000 rw-p 00002000 fe:00 1234                       /home/nora/a file of many gigabytes
7f3000000000-7f3000100000 r--p 00000000 00:00 0
7f4000000000-7f4000001000 rw-s 00000000 00:01 77                         /dev/zero (deleted)
"""
    found = list(find_ranges(iter(lines.splitlines())))
    assert found == [(0x55D0C0000000, 0x55D0C0021000), (0x7F1000000000, 0x7F1000100000)]


def test_what_is_in_memory_counts_as_used_with_small_gaps() -> None:
    present, swapped, untouched = 1 << 63 | 0x1234, 1 << 62 | 0x5678, 0
    pages = [swapped, present, present, *[swapped] * 4, present, *[untouched] * 5, present]
    entries = b"".join(page.to_bytes(8, "little") for page in pages)
    assert list(find_present(entries, start=0x10000)) == [(0x11000, 0x18000), (0x1D000, 0x1E000)]
