"""Swap that is compressed in memory, for as long as a benchmark lasts, and as `hostel doctor` advises it."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from swap import swapping_to

_CONTROL = Path("/sys/class/zram-control")
_PAGE_CLUSTER = Path("/proc/sys/vm/page-cluster")


@contextlib.contextmanager
def zram_swap(size_mb: int) -> Iterator[str]:
    """Room for `size_mb` before compression. Yields the algorithm. Raises OSError where the kernel has no zram."""
    number = (_CONTROL / "hot_add").read_text().strip()
    device = Path(f"/sys/block/zram{number}")
    cluster = _PAGE_CLUSTER.read_text()
    try:
        (device / "disksize").write_text(f"{size_mb}M")
        _PAGE_CLUSTER.write_text("0")
        with swapping_to(f"/dev/zram{number}", "--priority", "100"):
            yield (device / "comp_algorithm").read_text().partition("[")[2].partition("]")[0]
    finally:
        _PAGE_CLUSTER.write_text(cluster)
        (device / "reset").write_text("1")
        (_CONTROL / "hot_remove").write_text(number)
