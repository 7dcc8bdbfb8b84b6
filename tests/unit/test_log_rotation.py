import gzip
import os
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hostel.logger.compress import compress
from hostel.logger.rotation import (
    COPIES,
    Retention,
    Step,
    find_compressible,
    find_copies,
    is_old,
    plan_cap,
    plan_compression,
    plan_expiry,
    plan_rotation,
    sweep,
)

LOG = "cat.example.com.error.log"

# A directory as kills may have left it: any copies, plain or compressed or (killed in between) both.
names = st.tuples(st.integers(1, COPIES), st.sampled_from(["", ".gz"])).map(lambda pair: f"{LOG}.{pair[0]}{pair[1]}")
directories = st.sets(names).map(lambda present: {LOG: "current"} | {name: content_of(name) for name in present})


# What has no business there: other logs, numbers beyond nine, half-made files, odd names.
strangers = st.dictionaries(
    st.sampled_from([f"{LOG}.10", f"{LOG}.0", f"{LOG}.2.gz.partial", f".{LOG}.new", f"{LOG}.1.gz.1", "notes.txt"])
    | st.sampled_from(["dog.example.com.error.log", "dog.example.com.error.log.1", f"x{LOG}", f"{LOG}.-1", f"{LOG}.1 "])
    | st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8),
    st.just("a stranger's"),
)


def content_of(name: str) -> str:
    return name.removesuffix(".gz")  # a plain copy and its compressed twin hold the same lines


def apply_to(files: dict[str, str], steps: list[Step]) -> None:
    for step in steps:
        content = files.pop(step.source)
        if step.target is not None:
            assert step.target not in files, "a step overwrote a file"
            files[step.target] = content


def history(files: dict[str, str]) -> list[str]:
    """The contents of the copies, newest first."""
    copies = find_copies(LOG, files)
    return [files[copies[number]] for number in sorted(copies)]


@given(directories)
def test_a_rotation_keeps_all_copies_in_order_but_the_oldest_of_nine(files):
    before = history(files)
    apply_to(files, plan_rotation(LOG, files))
    assert LOG not in files
    assert history(files) == ["current", *before][:COPIES]
    assert len(files) == len(find_copies(LOG, files))


@given(directories, strangers)
def test_whatever_else_lies_there_is_left_alone_and_changes_nothing(files, others):
    """No line is lost but those of the ninth copy, and none of anybody else's."""
    others = {name: content for name, content in others.items() if name not in files}
    before, together = history(files), files | others
    apply_to(together, plan_rotation(LOG, together))
    assert history(together) == ["current", *before][:COPIES]
    assert {name: together[name] for name in others} == others


@given(directories, st.integers(0, 12))
def test_a_rotation_cut_off_anywhere_is_finished_by_the_next_one(files, survived):
    before = history(files)
    apply_to(files, plan_rotation(LOG, files)[:survived])
    if LOG in files:
        apply_to(files, plan_rotation(LOG, files))
    assert history(files) == ["current", *before][:COPIES]


@given(st.dictionaries(names, st.floats(0, 1e8)), st.floats(1, 1e8))
def test_exactly_the_copies_older_than_the_limit_expire(ages_s, limit_s):
    expired = {step.source for step in plan_expiry(LOG, ages_s, Retention(age_s=limit_s))}
    assert expired == {name for name, age_s in ages_s.items() if age_s > limit_s}


def test_the_log_itself_and_strangers_never_expire():
    ages_s = {LOG: 1e9, "dog.example.com.error.log.2": 1e9, f"{LOG}.10": 1e9}
    assert plan_expiry(LOG, ages_s, Retention()) == []


def test_the_first_copy_stays_plain_and_an_access_log_that_nginx_may_still_write_does_too():
    assert plan_compression(LOG, {f"{LOG}.1": 0.0, f"{LOG}.2": 0.0}) == [f"{LOG}.2"]
    access = "cat.example.com.access.log"
    assert plan_compression(access, {f"{access}.2": 30.0, f"{access}.3": 300.0}) == [f"{access}.3"]


def test_a_sweep_rotates_full_logs_expires_old_copies_and_names_what_to_compress(tmp_path: Path):
    (tmp_path / "a.access.log").write_text("x" * 100)
    (tmp_path / "a.access.log.1").write_text("y")
    (tmp_path / "b.error.log").write_text("x" * 100)
    (tmp_path / "b.server.log").write_text("x" * 99)
    (tmp_path / "c.error.log.4.gz").write_text("old")
    (tmp_path / "notes.txt").write_text("x" * 100)
    (tmp_path / "d.access.log").symlink_to("notes.txt")
    hour_ago = time.time() - 3600
    os.utime(tmp_path / "a.access.log.1", (hour_ago, hour_ago))
    os.utime(tmp_path / "c.error.log.4.gz", (hour_ago - 86_400, hour_ago - 86_400))

    retention = Retention(limit_bytes=100, age_s=86_400)
    due = sweep(tmp_path, retention, but_rotate_not={tmp_path / "b.error.log"})

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.access.log",
        "a.access.log.1",
        "a.access.log.2",
        "b.error.log",
        "b.server.log",
        "d.access.log",
        "notes.txt",
    ]
    assert (tmp_path / "a.access.log").read_text() == ""  # nginx drops a line when it finds no log of that name
    assert due == [tmp_path / "a.access.log"]
    assert find_compressible(due[0]) == tmp_path / "a.access.log.2"


def test_a_compressed_copy_holds_the_lines_and_the_time_of_the_plain_one(tmp_path: Path):
    plain, packed = tmp_path / "x.error.log.2", tmp_path / ".x.partial"
    plain.write_bytes(b"line\n" * 10_000)
    os.utime(plain, (1e9, 1e9))
    assert compress(os.open(plain, os.O_RDONLY), str(packed))
    assert gzip.decompress(packed.read_bytes()) == b"line\n" * 10_000
    assert packed.stat().st_mtime == 1e9


@given(
    st.dictionaries(names | st.just(LOG), st.tuples(st.integers(0, 1_000), st.integers(0, 10_000)), max_size=12),
    st.integers(1, 5_000),
)
def test_k4_what_takes_too_much_goes_oldest_first_and_no_log_itself(files, total):
    statuses = {name: os.stat_result((0, 0, 0, 0, 0, 0, size, 0, mtime, 0)) for name, (size, mtime) in files.items()}
    gone = [step.source for step in plan_cap(statuses, Retention(total_bytes=total))]
    kept = {name: status for name, status in statuses.items() if name not in gone}
    copies = [name for name in kept if name != LOG]
    assert LOG not in gone
    assert sum(status.st_size for status in kept.values()) <= total or not copies
    assert all(files[name][1] <= files[other][1] for name in gone for other in copies)
    if gone:  # not one more than needed
        assert sum(status.st_size for status in kept.values()) + files[gone[-1]][0] > total


def test_k4_a_log_that_was_begun_long_ago_is_turned_however_small(tmp_path: Path):
    quiet, empty = tmp_path / "quiet.error.log", tmp_path / "empty.error.log"
    quiet.write_text("one line\n")
    empty.write_text("")
    patient, hasty = Retention(), Retention(age_s=0.01)
    deadline = time.monotonic() + 5
    while not is_old(quiet, hasty):  # a thousandth of a second later
        assert time.monotonic() < deadline
    assert not is_old(quiet, patient)
    assert not is_old(empty, hasty)
    sweep(tmp_path, Retention(age_s=1.0, total_bytes=1 << 20))
    time.sleep(0.11)
    sweep(tmp_path, Retention(age_s=1.0, total_bytes=1 << 20))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.error.log", "quiet.error.log.1"]
