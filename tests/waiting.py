"""Waiting for what comes by itself: the one way of the tests."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_S = 0.02


def until(condition: Callable[[], T], what: str = "it", *, deadline_s: float = 60.0, pause_s: float = _PAUSE_S) -> T:
    """What `condition` finds once that is true. The deadline is for machines that are slow and busy, not a promise.

    `pause_s` is longer for what counts how often it is asked: the API allows ten calls a second.
    """
    give_up = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < give_up, f"not within {deadline_s:g} s: {what}"
        time.sleep(pause_s)
    return found
