"""Swap for tests and benchmarks on a machine that has none or too little: a file, gone afterwards.

Nobody counts on such a file of somebody else's, who takes it away when that is done.
"""

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

MIB = 1 << 20
OURS = Path("/var/tmp/hostel-swap")


@contextlib.contextmanager
def enough_swap(wanted_mb: int) -> Iterator[int]:
    """While this lasts `wanted_mb` of swap are free; yields the MiB that had to be made for it."""
    missing_mb = wanted_mb - lasting_bytes() // MIB
    if missing_mb <= 0:
        yield 0
        return
    file = Path(f"{OURS}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with file.open("xb") as opened:
            os.fchmod(opened.fileno(), 0o600)
            os.posix_fallocate(opened.fileno(), 0, missing_mb * MIB)
        with swapping_to(str(file)):
            yield missing_mb
    finally:
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def swapping_to(place: str, *options: str) -> Iterator[None]:
    """While this lasts the file or device `place` is swap, with these options of swapon."""
    _run("mkswap", place)
    _run("swapon", *options, place)
    try:
        yield
    finally:
        _run("swapoff", place)


def lasting_bytes() -> int:
    """How much of the machine's own swap is free."""
    rows = [line.split() for line in Path("/proc/swaps").read_text().splitlines()[1:]]
    return sum((int(size) - int(used)) * 1024 for name, _, size, used, _ in rows if not name.startswith(str(OURS)))


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=120, env={**os.environ, "PATH": "/usr/sbin:/sbin"})
