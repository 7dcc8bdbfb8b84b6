"""`hostel top`: rates between two looks, and who comes first."""

from dataclasses import replace

from hostel.cli.top import SortKey, ranked
from hostel.wire.report import DiskUsage, TenantUsage, TenantUsages

QUIET = TenantUsage(
    name="quiet", is_suspended=False, websites=2, running=1, cpu_s=100.0, memory_bytes=90 << 20, processes=3,
    requests=1_000, disk=DiskUsage(used_bytes=700 << 20, files=9),
)  # fmt: skip
BUSY = replace(QUIET, name="busy", cpu_s=5.0, memory_bytes=10 << 20, requests=4_000, disk=None)


def test_users_are_ranked_by_what_they_used_between_two_looks() -> None:
    before = TenantUsages(at_s=10.0, tenants=(QUIET, BUSY))
    now = TenantUsages(at_s=12.0, tenants=(replace(QUIET, requests=1_001), replace(BUSY, cpu_s=8.0, requests=4_100)))
    rows = ranked(before, now, SortKey.CPU)
    assert [(row.user, row.cpu_percent, row.requests_per_s) for row in rows] == [
        ("busy", 150.0, 50.0),
        ("quiet", 0.0, 0.5),
    ]
    assert (rows[0].disk_mb, rows[1].disk_mb, rows[1].memory_mb) == (None, 700, 90)
    for key in (SortKey.MEMORY, SortKey.DISK):
        assert ranked(before, now, key)[0].user == "quiet"
    assert ranked(before, now, SortKey.REQUESTS)[0].user == "busy"


def test_counters_that_began_anew_and_users_who_are_new_have_no_rate_yet() -> None:
    before = TenantUsages(at_s=10.0, tenants=(QUIET,))
    now = TenantUsages(at_s=11.0, tenants=(replace(QUIET, cpu_s=1.0, requests=3), BUSY))
    assert {(row.cpu_percent, row.requests_per_s) for row in ranked(before, now, SortKey.CPU)} == {(0.0, 0.0)}
