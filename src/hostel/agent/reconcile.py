"""What to do next for one website. Pure: a situation in, one action out; always safe to ask again."""

from dataclasses import dataclass
from enum import Enum, auto

FIRST_RETRY_S = 0.2
RETRY_LIMIT_S = 300.0
HEALTHY_AFTER_S = 60.0  # a run that lasted this long forgets the crashes before it


class Action(Enum):
    NOTHING = auto()  # until something changes
    WAIT = auto()  # until the next try is due, or something changes
    DEPLOY = auto()  # start a run; if one is serving, beside it, and switch
    NOTE_CRASH = auto()  # the serving run has ended by itself
    STOP = auto()  # disabled: show so, end the run
    REMOVE = auto()  # deleted: the same, and forget the website


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """`asked` counts the changes that want a new run, `tried` is the one last attempted."""

    is_deleted: bool
    is_enabled: bool
    is_stopped: bool  # visitors are shown that it is disabled, and nothing runs
    has_run: bool
    run_has_ended: bool
    asked: int
    tried: int
    retry_in_s: float | None  # None: no automatic try is planned


def plan(now: Situation) -> Action:
    """The one next deed for a website."""
    if now.is_deleted:
        return Action.REMOVE
    if not now.is_enabled:
        return Action.NOTHING if now.is_stopped else Action.STOP
    if now.has_run and now.run_has_ended:
        return Action.NOTE_CRASH
    if now.asked > now.tried:
        return Action.DEPLOY
    if now.has_run or now.retry_in_s is None:
        return Action.NOTHING
    return Action.WAIT if now.retry_in_s > 0 else Action.DEPLOY


def retry_delay_s(crashes: int, *, jitter: float) -> float:
    """How long to wait before the next start after `crashes` in a row (1 or more). `jitter` is from 0 to 1."""
    doubled: float = FIRST_RETRY_S * 2.0 ** min(crashes - 1, 16)
    return min(RETRY_LIMIT_S, doubled) * (1 + jitter / 4)
