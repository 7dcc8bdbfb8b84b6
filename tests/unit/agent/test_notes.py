"""What is asked of a website: tickets, the runs that are wanted, and starts that need not go on."""

import asyncio

import pytest

from hostel.agent.notes import Interrupted, Notes


def test_a_ticket_is_settled_with_all_notes_before_it() -> None:
    async def ask() -> None:
        notes = Notes()
        first, second = notes.leave(), notes.leave_for_run(is_change=True)
        assert (first, second, notes.last, notes.are_open) == (1, 2, 2, True)
        await notes.until_settled(second, wait_s=0.0)
        assert notes.are_open, "it was not waited for"
        waiting = asyncio.create_task(notes.until_settled(second, wait_s=30.0))
        await asyncio.sleep(0)
        notes.settle()
        await waiting
        assert not notes.are_open

    asyncio.run(ask())


def test_one_start_is_for_all_that_want_a_run_and_a_change_among_them_counts() -> None:
    notes = Notes()
    notes.leave_for_run(is_change=True)
    notes.leave_for_run(is_change=False)
    assert notes.want_run
    assert notes.take_run()
    assert not notes.want_run
    notes.leave_for_run(is_change=False)
    assert not notes.take_run()


@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_start_that_was_interrupted_is_asked_for_once_more_where_it_is_still_wanted(is_wanted: bool) -> None:
    notes = Notes()
    notes.leave_for_run(is_change=True)
    is_change = notes.take_run()
    notes.put_back(is_change=is_change, is_wanted=is_wanted)
    assert notes.want_run is is_wanted
    assert notes.take_run()
    notes.leave_for_run(is_change=True)
    notes.drop_runs()
    assert not notes.want_run


def test_work_goes_on_until_it_is_interrupted() -> None:
    async def work() -> None:
        notes = Notes()
        assert await notes.unless_interrupted(asyncio.sleep(0, "done")) == "done"
        hanging = asyncio.get_running_loop().create_future()
        starting = asyncio.create_task(notes.unless_interrupted(hanging))
        await asyncio.sleep(0)
        notes.interrupt()
        with pytest.raises(Interrupted):
            await starting
        assert hanging.cancelled()
        assert notes.are_interrupted
        notes.take_run()
        assert not notes.are_interrupted, "the next start has nothing to do with it"

    asyncio.run(work())
