"""When a crashed website is tried again, and whether its visitors are held until then."""

from hostel.agent.backoff import HEALTHY_AFTER_S, PANEL_RETRY_LIMIT_S, RETRY_LIMIT_S, BackOff, retry_delay_s


def crashed(times: int, *, is_panel: bool = False) -> BackOff:
    """At the time 100, the last time."""
    back_off = BackOff(is_panel=is_panel)
    for _ in range(times):
        back_off.begin_try(is_change=False)
        back_off.plan_retry(now=100.0, jitter=0)
    return back_off


def test_retries_begin_at_once_and_become_rare() -> None:
    delays = [retry_delay_s(crashes, jitter=0) for crashes in range(1, 30)]
    assert delays[:3] == [0.2, 0.4, 0.8]
    assert delays == sorted(delays)
    assert delays[-1] == RETRY_LIMIT_S
    assert retry_delay_s(1, jitter=1) == 0.25
    assert retry_delay_s(30, jitter=1) == RETRY_LIMIT_S
    assert retry_delay_s(30, jitter=1, is_panel=True) == PANEL_RETRY_LIMIT_S


def test_a_retry_is_due_after_the_delay_and_none_is_planned_once_it_has_begun() -> None:
    back_off = crashed(30)
    assert back_off.retry_in_s(100.0) == RETRY_LIMIT_S
    assert back_off.retry_in_s(399.0) == 1.0
    assert back_off.retry_in_s(500.0) == 0.0
    assert crashed(30, is_panel=True).retry_in_s(100.0) == PANEL_RETRY_LIMIT_S
    back_off.begin_try(is_change=False)
    assert back_off.retry_in_s(500.0) is None
    assert BackOff(is_panel=False).retry_in_s(0.0) is None


def test_a_change_a_healthy_run_and_an_end_forget_the_crashes_and_a_retry_or_a_short_run_does_not() -> None:
    back_off = crashed(3)
    back_off.begin_try(is_change=False)
    back_off.forget_if_healthy(HEALTHY_AFTER_S)
    assert back_off.crashes == 3
    back_off.forget_if_healthy(HEALTHY_AFTER_S + 1)
    assert back_off.crashes == 0
    back_off = crashed(3)
    back_off.begin_try(is_change=True)
    assert back_off.crashes == 0
    back_off = crashed(3)
    back_off.forget()
    assert (back_off.crashes, back_off.retry_in_s(100.0)) == (0, None)
    assert back_off.restarts == 3  # none of them: it is a counter


def test_visitors_are_held_through_four_crashes_and_told_of_a_crash_loop() -> None:
    assert [crashed(times).is_long for times in range(7)] == [False] * 5 + [True] * 2
    assert [crashed(times).is_crash_loop for times in range(7)] == [False] * 4 + [True] * 3
