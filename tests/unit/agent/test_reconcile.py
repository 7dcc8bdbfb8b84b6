"""What a website does next, for every situation it can be in."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.agent.reconcile import RETRY_LIMIT_S, Action, Situation, plan, retry_delay_s

SERVING = Situation(
    is_deleted=False,
    is_enabled=True,
    is_stopped=False,
    has_run=True,
    run_has_ended=False,
    asked=1,
    tried=1,
    retry_in_s=None,
)
DOWN = replace(SERVING, has_run=False)


@pytest.mark.parametrize(
    ("situation", "action"),
    [
        (SERVING, Action.NOTHING),
        (replace(SERVING, asked=2), Action.DEPLOY),
        (replace(SERVING, run_has_ended=True), Action.NOTE_CRASH),
        (replace(SERVING, run_has_ended=True, asked=2), Action.NOTE_CRASH),
        (replace(SERVING, is_enabled=False), Action.STOP),
        (replace(SERVING, is_deleted=True), Action.REMOVE),
        (replace(SERVING, is_deleted=True, is_enabled=False, is_stopped=True), Action.REMOVE),
        (replace(DOWN, is_enabled=False, is_stopped=True), Action.NOTHING),
        (replace(DOWN, is_enabled=False, is_stopped=True, asked=2), Action.NOTHING),
        (DOWN, Action.NOTHING),
        (replace(DOWN, retry_in_s=3.0), Action.WAIT),
        (replace(DOWN, retry_in_s=0.0), Action.DEPLOY),
        (replace(DOWN, retry_in_s=3.0, asked=2), Action.DEPLOY),
    ],
)
def test_one_action_follows_from_a_situation(situation: Situation, action: Action) -> None:
    assert plan(situation) is action


SITUATIONS = st.builds(
    Situation,
    is_deleted=st.booleans(),
    is_enabled=st.booleans(),
    is_stopped=st.booleans(),
    has_run=st.booleans(),
    run_has_ended=st.booleans(),
    asked=st.integers(0, 3),
    tried=st.integers(0, 3),
    retry_in_s=st.none() | st.floats(0, 300),
)


@given(SITUATIONS)
def test_nothing_is_started_that_is_not_wanted(situation: Situation) -> None:
    if situation.is_deleted or not situation.is_enabled:
        assert plan(situation) not in (Action.DEPLOY, Action.WAIT)


@given(SITUATIONS)
def test_a_change_that_was_not_tried_is_never_left_lying(situation: Situation) -> None:
    if situation.is_enabled and situation.asked > situation.tried:
        assert plan(situation) not in (Action.NOTHING, Action.WAIT)


def test_retries_begin_at_once_and_become_rare() -> None:
    delays = [retry_delay_s(crashes, jitter=0) for crashes in range(1, 30)]
    assert delays[:3] == [0.2, 0.4, 0.8]
    assert delays == sorted(delays)
    assert delays[-1] == RETRY_LIMIT_S
    assert retry_delay_s(1, jitter=1) == 0.25
