"""Waiting for what comes by itself: the one way of the tests."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_S = 0.02


def until(condition: Callable[[], T], what: str = "it", *, deadline_s: float = 60.0) -> T:
    """What `condition` finds once that is true. The deadline is for machines that are slow and busy, not a promise."""
    give_up = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < give_up, f"not within {deadline_s:g} s: {what}"
        time.sleep(_PAUSE_S)
    return found
