"""Waiting for what comes by itself: the one way of the tests."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.15  # the API allows ten calls a second


def until(condition: Callable[[], T], what: str = "it", *, deadline_s: float = 60.0) -> T:
    """What `condition` finds once that is true. The deadline is for machines that are slow and busy, not a promise."""
    give_up, pause_s = time.monotonic() + deadline_s, _FIRST_PAUSE_S
    while not (found := condition()):
        assert time.monotonic() < give_up, f"not within {deadline_s:g} s: {what}"
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.2, _LONGEST_PAUSE_S)
    return found
