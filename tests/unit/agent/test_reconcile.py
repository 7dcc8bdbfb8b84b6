"""What a website does next, for every situation it can be in."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.agent.reconcile import Action, Situation, drain_budgets_s, plan
from hostel.wire.website import Version, WebsiteSpec

SERVING = Situation(
    is_deleted=False,
    is_enabled=True,
    is_stopped=False,
    has_run=True,
    run_has_ended=False,
    is_frozen=False,
    is_awaited=False,
    may_sleep=True,
    is_sleep_due=False,
    wants_run=False,
    is_route_due=False,
    retry_in_s=None,
)
DOWN = replace(SERVING, has_run=False)
FROZEN = replace(SERVING, is_frozen=True)
OFF = replace(DOWN, is_enabled=False, is_stopped=True)


@pytest.mark.parametrize(
    ("situation", "action"),
    [
        (SERVING, Action.NOTHING),
        (replace(SERVING, wants_run=True), Action.DEPLOY),
        (replace(SERVING, wants_run=True, is_route_due=True), Action.PUBLISH),
        (replace(SERVING, is_route_due=True), Action.PUBLISH),
        (replace(SERVING, run_has_ended=True), Action.NOTE_CRASH),
        (replace(SERVING, run_has_ended=True, wants_run=True), Action.NOTE_CRASH),
        (replace(SERVING, is_enabled=False), Action.STOP),
        (replace(SERVING, is_enabled=False, run_has_ended=True), Action.STOP),
        (replace(SERVING, is_deleted=True), Action.REMOVE),
        (replace(OFF, is_deleted=True), Action.REMOVE),
        (OFF, Action.NOTHING),
        (replace(OFF, wants_run=True), Action.NOTHING),
        (replace(OFF, is_route_due=True), Action.PUBLISH),
        (DOWN, Action.NOTHING),
        (replace(DOWN, retry_in_s=3.0), Action.WAIT),
        (replace(DOWN, retry_in_s=3.0, is_route_due=True), Action.PUBLISH),
        (replace(DOWN, retry_in_s=0.0), Action.DEPLOY),
        (replace(DOWN, retry_in_s=3.0, wants_run=True), Action.DEPLOY),
        (replace(DOWN, wants_run=True, is_route_due=True), Action.DEPLOY),
        (replace(SERVING, is_sleep_due=True), Action.SLEEP),
        (replace(SERVING, is_sleep_due=True, wants_run=True), Action.DEPLOY),
        (replace(SERVING, is_awaited=True), Action.NOTHING),
        (replace(DOWN, is_sleep_due=True), Action.NOTHING),
        (FROZEN, Action.NOTHING),
        (replace(FROZEN, is_sleep_due=True), Action.NOTHING),
        (replace(FROZEN, is_route_due=True), Action.PUBLISH),
        (replace(FROZEN, is_awaited=True, is_route_due=True), Action.THAW),
        (replace(FROZEN, wants_run=True), Action.THAW),
        (replace(FROZEN, may_sleep=False), Action.THAW),
        (replace(FROZEN, is_awaited=True, run_has_ended=True), Action.NOTE_CRASH),
        (replace(FROZEN, is_awaited=True, is_enabled=False), Action.STOP),
        (replace(FROZEN, is_awaited=True, is_deleted=True), Action.REMOVE),
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
    is_frozen=st.booleans(),
    is_awaited=st.booleans(),
    may_sleep=st.booleans(),
    is_sleep_due=st.booleans(),
    wants_run=st.booleans(),
    is_route_due=st.booleans(),
    retry_in_s=st.none() | st.floats(0, 300),
)


@given(SITUATIONS)
def test_nothing_is_started_that_is_not_wanted(situation: Situation) -> None:
    if situation.is_deleted or not situation.is_enabled:
        assert plan(situation) not in (Action.DEPLOY, Action.WAIT)


@given(SITUATIONS)
def test_a_change_that_was_not_tried_is_never_left_lying(situation: Situation) -> None:
    if situation.is_enabled and situation.wants_run:
        assert plan(situation) not in (Action.NOTHING, Action.WAIT)


@given(SITUATIONS)
def test_visitors_never_go_on_meeting_what_is_not_so(situation: Situation) -> None:
    if situation.is_route_due:
        assert plan(situation) not in (Action.NOTHING, Action.WAIT)


@given(SITUATIONS)
def test_a_visitor_of_a_frozen_run_is_never_left_waiting(situation: Situation) -> None:
    if situation.is_enabled and situation.is_frozen and situation.is_awaited:
        assert plan(situation) in (Action.THAW, Action.NOTE_CRASH, Action.REMOVE)


@given(SITUATIONS)
def test_no_new_run_is_started_beside_a_frozen_one(situation: Situation) -> None:
    if situation.is_frozen and situation.has_run:
        assert plan(situation) not in (Action.DEPLOY, Action.SLEEP)


def test_who_deletes_a_website_does_not_wait_for_what_its_owner_had_set() -> None:
    spec = WebsiteSpec(
        domain_name="alice.hostel.test",
        tenant="alice",
        version=Version(epoch=1, revision=1),
        enabled=True,
        command="x",
        drain_s=5.0,
        websocket_drain_s=86_400.0,
    )
    assert drain_budgets_s(spec, is_deleted=False) == (5.0, 86_400.0)
    assert drain_budgets_s(spec, is_deleted=True) == (5.0, 30.0)
