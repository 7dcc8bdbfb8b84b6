"""How far the last change of a website has got, as steps that a person can follow. Pure."""

from dataclasses import dataclass

from hostel.panel.websites.condition import Condition
from hostel.wire.report import Draining, WebsiteStatus
from hostel.wire.website import Phase, State

_UNDER_WAY = (Phase.STARTING, Phase.DRAINING)
_SOON_ANOTHER = (State.STARTING, State.BACKING_OFF)


@dataclass(frozen=True, slots=True)
class Step:
    text: str
    mark: str  # "done", "now", "bad" or "": a class of panel.css


def is_under_way(condition: Condition) -> bool:
    """Whether things will soon be otherwise, without anybody's doing."""
    return condition.phase in _UNDER_WAY or condition.state in _SOON_ANOTHER


def steps(condition: Condition, told: WebsiteStatus | None) -> tuple[Step, ...]:
    """Of the change that is under way; none where none is."""
    if condition.phase not in _UNDER_WAY:
        return ()
    draining = told.draining if told else None
    if condition.phase is Phase.DRAINING:
        return (
            Step("The command was started", "done"),
            Step("It listens", "done"),
            Step("Visitors get the new run", "done"),
            Step(_drain(draining), "now"),
        )
    is_started = told is not None and told.starting is not None
    if draining is not None and not is_started and condition.state is not State.RUNNING:
        first = Step(_drain(draining), "now")  # the old run ends before the new one begins
        return (first, *_starting(is_started=False, is_now=False))
    return _starting(is_started=is_started, is_now=True)


def _starting(*, is_started: bool, is_now: bool) -> tuple[Step, ...]:
    now = "now" if is_now else ""
    return (
        Step("The command was started", "done") if is_started else Step("Starting the command", now),
        Step("Waiting until it listens", "now" if is_started else ""),
        Step("Visitors get the new run", ""),
    )


def _drain(draining: Draining | None) -> str:
    if draining is None or not (draining.requests or draining.websockets):
        return "The old run ends"
    counts = [
        f"{number} {noun}{'' if number == 1 else 's'}"
        for number, noun in ((draining.requests, "request"), (draining.websockets, "WebSocket"))
        if number
    ]
    return f"The old run ends: draining {' and '.join(counts)}"
