"""What has been asked of a website, and how far that is dealt with: between those who ask and the website's task."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Interrupted(Exception):
    """A start under way is for something that is no longer wanted."""


class Signal:
    """An asyncio.Event that one task at a time waits for: without the queue for many, which takes 700 bytes. There are
    two for each website, thousands of which have nothing to do.
    """

    __slots__ = ("_is_set", "_waiter")

    def __init__(self) -> None:
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        if not self._is_set:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter


class Notes:
    """`_left` counts the notes, `_settled` those that are dealt with: a ticket is the number of a note.

    `_runs_asked` and `_runs_tried` count, of these, the ones that want a new run.
    """

    def __init__(self) -> None:
        self._left = self._settled = 0
        self._runs_asked = self._runs_tried = 0
        self._is_change = False  # the run that is asked for is somebody's change, not a wake or a restart
        self._changed, self._interrupted = Signal(), Signal()
        self._waiting: dict[asyncio.Future[None], int] = {}  # each for its ticket

    # -- of those who ask

    @property
    def last(self) -> int:
        """The ticket of the newest note."""
        return self._left

    @property
    def are_open(self) -> bool:
        """Whether any is not dealt with."""
        return self._left > self._settled

    def leave(self) -> int:
        """Returns the ticket."""
        self._left += 1
        self._changed.set()
        return self._left

    def leave_for_run(self, *, is_change: bool) -> int:
        self._runs_asked += 1
        self._is_change = self._is_change or is_change
        return self.leave()

    def look_again(self) -> None:
        """Something else has changed: the task is to plan again."""
        self._changed.set()

    def interrupt(self) -> None:
        """A start under way need not go on."""
        self._interrupted.set()

    async def until_settled(self, ticket: int, *, wait_s: float) -> None:
        """Returns after `wait_s` in any case."""
        if self._settled >= ticket:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = ticket
        try:
            await asyncio.wait([waiter], timeout=wait_s)
        finally:
            del self._waiting[waiter]

    # -- of the website's task

    @property
    def want_run(self) -> bool:
        """Whether a run is asked for that was not tried."""
        return self._runs_asked > self._runs_tried

    @property
    def are_interrupted(self) -> bool:
        return self._interrupted.is_set

    def begin_reading(self) -> None:
        """What comes from here on makes `next_one` return."""
        self._changed.clear()

    async def next_one(self, seconds: float | None) -> None:
        """Returns after so many seconds in any case."""
        if seconds is None:
            await self._changed.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def take_run(self) -> bool:
        """All notes so far that want a run are to get it now. Returns whether it is somebody's change."""
        is_change, self._is_change = self._is_change, False
        self._runs_tried = self._runs_asked
        self._interrupted.clear()
        return is_change

    def put_back(self, *, is_change: bool, is_wanted: bool) -> None:
        """The run that was taken was not started. A run that was asked for and is still wanted stays asked for."""
        self._is_change = self._is_change or is_change
        if is_wanted and not self.want_run:
            self._runs_asked += 1

    def drop_runs(self) -> None:
        """No run is wanted any more."""
        self._is_change, self._runs_tried = False, self._runs_asked

    def settle(self) -> None:
        """All notes so far are dealt with."""
        self._settled = self._left
        for waiter, ticket in self._waiting.items():
            if ticket <= self._settled and not waiter.done():
                waiter.set_result(None)

    async def unless_interrupted(self, work: Awaitable[T]) -> T:
        """What `work` gives, or Interrupted as soon as something else is wanted; `work` is cancelled then."""
        working = asyncio.ensure_future(work)
        interrupted = asyncio.create_task(self._interrupted.wait())
        try:
            await asyncio.wait({working, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise Interrupted
        finally:
            interrupted.cancel()
            working.cancel()
