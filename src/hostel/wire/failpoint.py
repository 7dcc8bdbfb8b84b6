"""Places at which a test can end this very process, or let it stand still. In normal operation nothing happens there.

`HOSTEL_FAILPOINT=<place>:<passes>:<deed>` in the environment of the agent or the logger: at the place of that name,
after passing it `passes` times, the process does `kill` (SIGKILL) or `stop` (SIGSTOP) to itself, once. It is read once,
at the start, by `arm`. That environment is the supervisor's, so neither a tenant nor the panel has a say in it.
"""

import os
import signal
from collections.abc import Callable

from hostel.wire.errors import ConfigError

VARIABLE = "HOSTEL_FAILPOINT"
_DEEDS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def _pass(_: str) -> None:
    """Nothing is armed."""


# Called as `failpoint.reach("name")`: looked up in this module each time, so that `arm` can put another in its place.
reach: Callable[[str], None] = _pass


class Failpoint:
    def __init__(self, place: str, passes: int, deed: signal.Signals) -> None:
        self._place = place
        self._passes = passes
        self._deed = deed

    def reach(self, place: str) -> None:
        if place != self._place:
            return
        self._passes -= 1
        if self._passes == -1:
            os.kill(os.getpid(), self._deed)


def arm() -> None:
    """Arm what the environment names, and take it out of there: no child shall have it. Raises ConfigError."""
    global reach  # noqa: PLW0603  # once, before anything runs
    text = os.environ.pop(VARIABLE, "")
    if text:
        reach = parse_failpoint(text).reach


def parse_failpoint(text: str) -> Failpoint:
    place, _, rest = text.partition(":")
    passes, _, deed = rest.partition(":")
    if not place or not passes.isdecimal() or deed not in _DEEDS:
        raise ConfigError(f"{VARIABLE}={text}: expected <place>:<passes>:<kill or stop>")
    return Failpoint(place, int(passes), _DEEDS[deed])
