"""The sleep of one website: what was asked of it, whether its run is frozen, why it stays awake.

Tells visitors nothing: that they are held before a run is frozen, and sent to it after the thaw, its website sees to.
"""

import contextlib
from collections.abc import Callable, Iterator

from hostel.agent import cgroup, swapped
from hostel.agent.hibernation import Hibernation, cannot_freeze
from hostel.agent.sandbox import Sandbox
from hostel.wire import failpoint
from hostel.wire.website import Failure, RunId


class Sleeper:
    """Of the run that serves; another one that comes in its place is awake."""

    # There are thousands.
    __slots__ = ("_failure", "_frozen", "_hibernation", "_used", "is_asked", "is_awaited", "is_drowsy")

    def __init__(self, hibernation: Hibernation) -> None:
        self._hibernation = hibernation
        self._frozen: RunId | None = None  # counts while it serves
        self._used: swapped.Used = {}  # what it used before it was frozen, by this agent
        self._failure: Failure | None = None
        self.is_asked = False  # to fall asleep: it was found idle
        self.is_drowsy = False  # it falls asleep just now
        self.is_awaited = False  # by a visitor who came since it began to

    def has_frozen(self, sandbox: Sandbox) -> bool:
        return sandbox.run == self._frozen

    @property
    def why_awake(self) -> Failure | None:
        """Why a website that shall hibernate and does not could not."""
        return self._hibernation.obstacle or self._failure

    def begin_anew(self) -> None:
        """A run serves that did not before."""
        self.is_asked, self._failure = False, None

    def adopt(self, sandbox: Sandbox) -> bool:
        """The agent may have died before, while or after it froze the run: what is frozen sleeps on. Returns whether
        that is so.
        """
        if not cgroup.is_frozen(sandbox.cgroup):
            cgroup.thaw(sandbox.cgroup)
            return False
        self._frozen = sandbox.run
        self._hibernation.reclaim_soon(sandbox.cgroup)
        return True

    def heed(self) -> None:
        """What was asked is done now, or not at all. Who comes from here on counts."""
        self.is_asked = self.is_awaited = False

    def may_freeze(self, sandbox: Sandbox) -> bool:
        """If not, `why_awake` says why."""
        obstacle = self._hibernation.find_obstacle(sandbox.cgroup)
        if obstacle is not self._hibernation.obstacle:  # which is told for as long as it is there
            self._failure = obstacle
        return obstacle is None

    @contextlib.contextmanager
    def drowsing(self) -> Iterator[None]:
        """From when visitors are held until the run is frozen or ended, or that is undone."""
        self.is_drowsy = True
        try:
            yield
        finally:
            self.is_drowsy = False

    async def freeze(self, sandbox: Sandbox, *, is_still_wanted: Callable[[], bool]) -> bool:
        """False: it goes on as if nothing had happened."""
        used = await self._hibernation.freeze(sandbox.cgroup, is_still_wanted=is_still_wanted)
        if used is None:
            if is_still_wanted():  # else it is not known: what was found the last time stands
                self._failure = cannot_freeze()
            return False
        self._frozen, self._used, self._failure = sandbox.run, used, None
        failpoint.reach("website.sleep.frozen")
        self._hibernation.reclaim_soon(sandbox.cgroup)
        return True

    def thaw(self, sandbox: Sandbox) -> bool:
        """Let the frozen run go on. False: it was killed in its sleep, and all that it still does is to end."""
        self.is_awaited = False
        process = sandbox.record.process
        is_killed = process is not None and process.is_killed()
        if is_killed:
            cgroup.thaw(sandbox.cgroup)
        else:
            self._hibernation.thaw(sandbox.cgroup, used=self._used)
        self._frozen, self._used = None, {}
        return not is_killed
