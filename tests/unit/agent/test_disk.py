"""Measuring homes: what counts, and that nothing leads out of them."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostel.agent.disk import Disk
from hostel.agent.disk_walk import Pace, measure
from hostel.agent.mounts import find_mount
from hostel.agent.tenant import set_aside
from hostel.wire.errors import DiskLimitReached
from hostel.wire.website import MIB

FAST = 1e9


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "homes/alice").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(4 * MIB))
    yield tmp_path / "homes"
    subprocess.run(["rm", "-rf", str(tmp_path / "homes")], check=True)  # Python's way fails on what lies too deep


def used(home: Path) -> int:
    return measure(str(home), Pace(FAST)).used_bytes


def test_files_count_by_what_they_occupy_and_once_each(homes: Path) -> None:
    home = homes / "alice"
    empty = used(home)
    (home / "a/b").mkdir(parents=True)
    (home / "a/b/big").write_bytes(bytes(MIB))
    os.link(home / "a/b/big", home / "again")
    with (home / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    found = measure(str(home), Pace(FAST))
    assert MIB <= found.used_bytes - empty < MIB + 64 * 1024
    assert (found.entries, found.is_complete) == (6, True)


def test_links_fifos_and_other_file_systems_lead_nowhere(homes: Path) -> None:
    home = homes / "alice"
    (home / "out").symlink_to(homes.parent)
    (home / "file").symlink_to(homes.parent / "secret")
    (home / "proc").symlink_to("/proc")
    os.mkfifo(home / "fifo")
    assert used(home) < MIB
    link = homes / "linked"
    link.symlink_to(homes.parent)
    with pytest.raises(OSError, match="Not a directory"):
        measure(str(link), Pace(FAST))


def test_nothing_hides_in_depth(homes: Path) -> None:
    """Deeper than a path may be long."""
    here = os.open(homes / "alice", os.O_RDONLY)
    for _ in range(120):
        os.mkdir("deep" * 20, dir_fd=here)
        below = os.open("deep" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    descriptor = os.open("treasure", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(descriptor, bytes(3 * MIB))
    os.close(descriptor)
    os.close(here)
    found = measure(str(homes / "alice"), Pace(FAST))
    assert found.is_complete
    assert found.used_bytes > 3 * MIB


def test_a_tree_that_moves_under_the_measuring_leads_nowhere_else(homes: Path) -> None:
    """Directories are renamed into each other, also out of what is being measured, while it is being measured."""
    home, elsewhere = homes / "alice", homes / "elsewhere"
    (home / "one/two/three").mkdir(parents=True)
    elsewhere.mkdir()
    is_over = threading.Event()

    def meddle() -> None:
        while not is_over.is_set():
            os.rename(home / "one/two", elsewhere / "two")
            os.rename(elsewhere / "two", home / "one/two")

    meddling = threading.Thread(target=meddle)
    meddling.start()
    try:
        found = [measure(str(home), Pace(FAST)) for _ in range(300)]
    finally:
        is_over.set()
        meddling.join()
    assert max(each.used_bytes for each in found) < MIB, "the secret beside homes was never counted"


def test_a_round_of_the_child_process(homes: Path) -> None:
    (homes / "alice/big").write_bytes(bytes(2 * MIB))
    disk = Disk(homes)
    asyncio.run(disk.measure(["alice", "nobody"]))
    found = disk.find("alice")
    assert found is not None
    assert found.used_bytes >= 2 * MIB
    assert disk.find("nobody") is None
    disk.check("alice", 3 * MIB)
    disk.check("nobody", 1)
    with pytest.raises(DiskLimitReached, match=r"The home holds 2 MiB of 1 \(limit `disk_mb`\)"):
        disk.check("alice", MIB)


def test_who_goes_while_the_home_is_measured_is_forgotten(homes: Path) -> None:
    disk = Disk(homes)

    async def measure_and_forget() -> None:
        measuring = asyncio.create_task(disk.measure(["alice", "bob"]))
        while "alice" not in disk._measured_at:
            await asyncio.sleep(0)
        disk.forget("alice")
        await measuring

    (homes / "bob").mkdir()
    asyncio.run(measure_and_forget())
    assert (disk.find("alice"), disk.find("bob") is None) == (None, False)


def test_the_pace_is_kept() -> None:
    import time

    pace, began = Pace(per_s=10_000), time.monotonic()
    for _ in range(1_500):
        pace.step()
    assert time.monotonic() - began > 0.1


def test_the_file_system_is_known() -> None:
    kind, options = find_mount(Path("/proc/self"))
    assert kind == "proc"
    assert "rw" in options or "ro" in options


def test_a_directory_is_set_aside_also_where_backups_lie_on_another_file_system(homes: Path) -> None:
    (homes / "alice/kept").write_text("mine")
    (homes / "bob").mkdir()
    near = homes.parent / "backups"
    near.mkdir()
    assert set_aside(homes / "alice", near / "alice-16") == near / "alice-16"
    assert (near / "alice-16/kept").read_text() == "mine"
    far = Path("/dev/shm")  # a file system that is another one
    assert far.stat().st_dev != homes.stat().st_dev
    aside = set_aside(homes / "bob", far / f"bob-{os.getpid()}")
    assert aside == homes / f".removed/bob-{os.getpid()}"
    assert (aside.parent.stat().st_mode & 0o777, (homes / "bob").exists()) == (0o700, False)
