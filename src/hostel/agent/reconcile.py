"""What to do next for one website. Pure: a situation in, one action out; always safe to ask again."""

from dataclasses import dataclass
from enum import Enum, auto

from hostel.wire.website import WebsiteSpec

ORPHAN_DRAIN_S = 30.0  # of a run whose website is deleted: its owner sets nothing any more


class Action(Enum):
    NOTHING = auto()  # until something changes
    WAIT = auto()  # until the next try is due, or something changes
    DEPLOY = auto()  # start a run; if one is serving, beside it, and switch
    NOTE_CRASH = auto()  # the serving run has ended by itself
    SLEEP = auto()  # nobody visits it: freeze the run, or end it
    THAW = auto()  # its run is frozen and shall go on
    PUBLISH = auto()  # tell the edge what is so already
    STOP = auto()  # disabled or suspended: show so, end the run
    REMOVE = auto()  # deleted: the same, and forget the website


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    is_deleted: bool
    is_enabled: bool  # and its tenant is not suspended
    is_stopped: bool  # visitors are shown that it is off, and nothing runs
    has_run: bool
    run_has_ended: bool
    is_frozen: bool  # its run
    is_awaited: bool  # by a visitor, who is held while it sleeps or falls asleep
    may_sleep: bool  # its owner has it so
    is_sleep_due: bool  # it was found idle
    wants_run: bool  # a new run was asked for and not tried yet
    is_route_due: bool  # what the edge was told last is not, or may not be, what is so
    retry_in_s: float | None  # None: no automatic try is planned


def plan(now: Situation) -> Action:
    """The one next deed for a website."""
    if now.is_deleted:
        return Action.REMOVE
    if not now.is_enabled and not now.is_stopped:
        return Action.STOP
    if now.is_enabled and now.has_run and now.run_has_ended:
        return Action.NOTE_CRASH
    if now.is_enabled and now.is_frozen and (now.is_awaited or now.wants_run or not now.may_sleep):
        return Action.THAW
    return _plan_start(now)


def _plan_start(now: Situation) -> Action:
    """Where nothing is to be ended, cleaned up or thawed before."""
    is_retry_due = now.retry_in_s is not None and now.retry_in_s <= 0 and not now.has_run
    is_start_due = now.is_enabled and (now.wants_run or is_retry_due)
    # A start without a serving run publishes by itself, as its first step.
    if now.is_route_due and (now.has_run or not is_start_due):
        return Action.PUBLISH
    if is_start_due:
        return Action.DEPLOY
    if now.is_enabled and now.has_run and now.is_sleep_due and not now.is_frozen:
        return Action.SLEEP
    if now.is_enabled and not now.has_run and now.retry_in_s is not None:
        return Action.WAIT
    return Action.NOTHING


def drain_budgets_s(spec: WebsiteSpec, *, is_deleted: bool) -> tuple[float, float]:
    """How long the plain requests and the streams of a run may go on that gets no new ones."""
    limit_s = ORPHAN_DRAIN_S if is_deleted else float("inf")
    return min(spec.drain_s, limit_s), min(spec.websocket_drain_s, limit_s)
