"""The end of a website's runs that get no new requests: each finishes those it has, then it is ended."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hostel.agent.publication import Publication
from hostel.agent.reconcile import drain_budgets_s
from hostel.agent.sandbox import Sandbox, Sandboxes
from hostel.wire import failpoint
from hostel.wire.website import RunId

if TYPE_CHECKING:
    from hostel.agent.website import Website

_TELL_AGAIN_S, _TELL_DEADLINE_S = 0.05, 30.0


class Retirement:
    """Of one website. What it does is done in the background, beside the website's task."""

    __slots__ = ("_on_end", "_publication", "_sandboxes", "_tasks", "_website")  # there are thousands

    def __init__(
        self, website: "Website", publication: Publication, sandboxes: Sandboxes, *, on_end: Callable[[], None]
    ) -> None:
        self._website = website
        self._publication = publication
        self._sandboxes = sandboxes
        self._on_end = on_end
        self._tasks: dict[RunId, asyncio.Task[None]] = {}

    @property
    def runs(self) -> tuple[RunId, ...]:
        """Those that have not ended."""
        return tuple(self._tasks)

    def begin(self, sandbox: Sandbox) -> None:
        """Until it has ended its owner may use as much memory more: whoever replaces, disables or deletes a website
        need not wait before there is room for the next run.
        """
        website, room = self._website, self._website.spec.limits
        website.tenant.add_surge(room)
        task = asyncio.create_task(self._retire(sandbox), name=f"retire {sandbox.run}")
        self._tasks[sandbox.run] = task

        def done(_: object) -> None:
            self._tasks.pop(sandbox.run, None)
            website.tenant.end_surge(room)
            self._on_end()

        task.add_done_callback(done)

    async def done(self) -> None:
        """Returns when none is left."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def _retire(self, sandbox: Sandbox) -> None:
        """Never raises: whatever happens, the run is ended."""
        website = self._website
        await self._until_told(sandbox)
        streams = await self._publication.drained(
            sandbox.run,
            budgets=lambda: drain_budgets_s(website.spec, is_deleted=website.is_deleted),
            ended=sandbox.exit,
        )
        failpoint.reach("website.retire.drained")
        if streams:
            await website.spread(sandbox)
        if not await self._sandboxes.terminate(sandbox, grace_s=website.spec.grace_s) and streams:
            await website.spread(sandbox)  # those that TERM did not close
        await self._sandboxes.stop(sandbox, grace_s=0)

    async def _until_told(self, sandbox: Sandbox) -> None:
        """As long as visitors may still be sent to it, nothing in flight at `sandbox` means nothing."""
        end = time.monotonic() + _TELL_DEADLINE_S
        while not (self._website.is_route_told or sandbox.exit.done()) and time.monotonic() < end:
            await asyncio.wait([sandbox.exit], timeout=_TELL_AGAIN_S)
