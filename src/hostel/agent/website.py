"""One website: from what is wanted of it to what visitors meet. The only place that changes a route.

A website is one task that plans and acts in turn (`reconcile.plan`), so no two deeds of one website ever overlap.
Everything else asks for something and, if it likes, waits for the outcome.
"""

import asyncio
import contextlib
import json
import random
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from hostel.agent import sockets
from hostel.agent.errors import RunFailed, SandboxFault
from hostel.agent.failure import describe_exit, describe_silence
from hostel.agent.launch import Launcher
from hostel.agent.listeners import find_listeners
from hostel.agent.publication import Publication
from hostel.agent.reconcile import HEALTHY_AFTER_S, Action, Situation, plan, retry_delay_s
from hostel.agent.sandbox import Sandbox, Sandboxes
from hostel.agent.sockets import Found
from hostel.agent.tenant import Tenant
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import EdgeUnreachable, HostelError
from hostel.wire.files import sync_directory, write_atomically
from hostel.wire.names import SYSTEM_TENANT, canonical_domain
from hostel.wire.paths import Paths
from hostel.wire.route import RouteState
from hostel.wire.website import (
    Deploy,
    Failure,
    Phase,
    ReloadStrategy,
    RunId,
    State,
    WebsiteReport,
    WebsiteSpec,
)

log = structlog.get_logger()

_PROBE_FIRST_S, _PROBE_LIMIT_S = 0.005, 0.05
# A command that listens on another address for this long will hardly come to listen on $DOMAIN_SOCKET as well.
ASTRAY_AFTER_S = 5.0
# While a crashed website is down for longer than this, its visitors are told so instead of being held.
HOLD_RETRY_S = 3.0
_HOLD_FIRST_S = 10.0
_LOOK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class WebsiteRecord:
    """`websites/<canonical domain>.json`: what outlives an agent. `run` is the one that visitors get."""

    spec: WebsiteSpec
    deploy: Deploy
    run: RunId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a website works with; shared by all websites of an agent."""

    paths: Paths
    launcher: Launcher
    sandboxes: Sandboxes
    publication: Publication
    start_slots: asyncio.Semaphore  # not more starts at once than the machine has room for
    prepare: Callable[[WebsiteSpec, Tenant], Awaitable[None]]  # before a run: the panel's migrations


class Website:
    """Lives from its first spec to its deletion; `serve` is its task."""

    def __init__(self, record: WebsiteRecord, tenant: Tenant, parts: Parts) -> None:
        self.record = record
        self.tenant = tenant
        self._parts = parts
        self._serving: Sandbox | None = None
        self._serving_since = 0.0  # monotonic
        self._state = State.STARTING
        self._since = datetime.now(UTC)
        self._failure: Failure | None = None
        self._crashes = 0
        self._retry_at: float | None = None  # monotonic
        self._asked = self._tried = self._settled = 0
        self._is_deleted = self._is_stopped = self._is_removed = False
        self._start_seconds: deque[float] = deque(maxlen=5)
        self._changed = asyncio.Event()  # plan again
        self._interrupted = asyncio.Event()  # a start under way is for a spec that is no longer wanted
        self._outcome = asyncio.Condition()
        self._retiring: dict[RunId, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None

    # -- what others ask

    @property
    def spec(self) -> WebsiteSpec:
        return self.record.spec

    @property
    def domain(self) -> str:
        return canonical_domain(self.spec.domain_name)

    def want(self, spec: WebsiteSpec) -> int:
        """Take over a newer spec, durably. Returns the ticket to `settle` on; a stale spec changes nothing."""
        if spec.version <= self.spec.version:
            return self._asked
        needs_run = spec.enabled and (not self.spec.enabled or _runs_differently(spec, self.spec))
        deploy = Deploy(version=spec.version, phase=Phase.STARTING)
        self._remember(replace(self.record, spec=spec, deploy=deploy))
        if needs_run or not spec.enabled:
            self._interrupted.set()
        else:
            self._settle_deploy(Phase.DONE)
        return self._ask()

    def reload(self) -> int:
        """Ask for a new run. A reload that is being started already is the same deed."""
        is_starting = self._asked > self._settled and self._tried == self._asked and not self._interrupted.is_set()
        return self._asked if is_starting else self._ask()

    def wake(self) -> None:
        """A visitor waits: start the website if it is asleep, look at its run if that refused. Idempotent."""
        if self._state is State.ASLEEP and self._asked == self._settled:
            self._ask()
        elif self._state is State.RUNNING and self._looking is None:
            self._looking = asyncio.create_task(self._look(), name=f"look at {self.domain}")

    async def _look(self) -> None:
        """The edge could not connect to the serving run. If it accepts (again), say so: held requests try once more.

        A run that has ended needs no look: its end is noticed at once.
        """
        serving = self._serving
        try:
            while serving is not None and serving is self._serving and not serving.exit.done():
                found = await sockets.probe(serving.socket_directory, uid=self.tenant.uid, backlog=self.tenant.backlog)
                if found is Found.ACCEPTS:
                    await self._publish(RouteState.RUNNING)
                    return
                await asyncio.sleep(_LOOK_AGAIN_S)
        except HostelError as error:
            log.warning("could not publish a route again", website=self.domain, error=str(error))
        finally:
            self._looking = None

    def delete(self) -> int:
        self._is_deleted = True
        self._interrupted.set()
        return self._ask()

    async def settle(self, ticket: int, *, wait_s: float) -> WebsiteReport:
        """The report once what `ticket` stands for has been done or has failed, or after `wait_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s), self._outcome:
                await self._outcome.wait_for(lambda: self._settled >= ticket)
        return self.report()

    def report(self) -> WebsiteReport:
        return WebsiteReport(
            domain_name=self.spec.domain_name,
            tenant=self.spec.tenant,
            state=self._state,
            deploy=self.record.deploy,
            run=self._serving.run if self._serving else None,
            since=self._since.isoformat(),
            restarts=self._crashes,
            failure=self._failure,
        )

    @property
    def serving(self) -> Sandbox | None:
        return self._serving

    # -- its life

    async def restore(self, sandbox: Sandbox | None) -> None:
        """First deed after the agent's start: make visitors meet what is true. `sandbox` is the adopted run."""
        if not self.spec.enabled:
            self._is_stopped = True
            self._enter(State.DISABLED)
            await self._publish(RouteState.DISABLED)
        elif sandbox is not None:
            await self._switch_to(sandbox)
            if self.record.deploy.phase is Phase.STARTING:
                self._ask()  # the change was under way when the agent died: once more
            elif self.record.deploy.phase is Phase.DRAINING:
                self._settle_deploy(Phase.DONE)
        elif self.record.deploy.phase is Phase.STARTING or self.spec.always_on:
            self._ask()
        elif self.record.deploy.phase is Phase.FAILED:
            self._failure = self.record.deploy.failure
            self._enter(State.FAILED)
            await self._publish(RouteState.FAILED)
        else:
            # Its route may say that the run of before the reboot serves: the edge finds nobody there, holds, and wakes.
            self._enter(State.ASLEEP)

    async def serve(self) -> None:
        """Plan and act until the website is deleted."""
        deeds = {
            Action.DEPLOY: self._deploy,
            Action.NOTE_CRASH: self._note_crash,
            Action.STOP: self._stop,
            Action.REMOVE: self._remove,
        }
        while not self._is_removed:
            self._changed.clear()
            action = plan(self._situation())
            if action in deeds:
                await self._do(deeds[action])
            else:
                await self._wait_for_change(self._retry_in_s() if action is Action.WAIT else None)

    def _situation(self) -> Situation:
        return Situation(
            is_deleted=self._is_deleted,
            is_enabled=self.spec.enabled,
            is_stopped=self._is_stopped,
            has_run=self._serving is not None,
            run_has_ended=self._serving is not None and self._serving.exit.done(),
            asked=self._asked,
            tried=self._tried,
            retry_in_s=self._retry_in_s(),
        )

    async def _do(self, deed: Callable[[], Awaitable[None]]) -> None:
        """One deed, which may fail without ending the website: the fault is shown on it, and it goes on."""
        try:
            await deed()
        except Exception as error:
            log.exception("website could not be brought to its wanted state", website=self.domain)
            fault = error if isinstance(error, SandboxFault) else SandboxFault(str(error))
            with contextlib.suppress(HostelError, OSError):
                await self._fail(fault.as_failure(), should_retry=True)
            await asyncio.sleep(1.0)  # a fault of the platform's: do not spin on it

    async def _wait_for_change(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    # -- deeds

    async def _deploy(self) -> None:
        """Start a run and make it the one that visitors get.

        1. Nothing serves: hold requests (unless it has crashed again and again: then say so). With the strategy
           `replace` stop the serving run first, holding requests meanwhile.
        2. Start, wait until it accepts. Fails: what served goes on serving.
        3. Remember the run, publish the route, retire the run before it.
        """
        ticket, spec = self._asked, self.spec
        self._tried, self._retry_at, self._is_stopped = ticket, None, False
        self._interrupted.clear()
        is_restart = self._crashes > 0 and ticket == self._settled
        if not is_restart:
            self._crashes = 0
            self._settle_deploy(Phase.STARTING)
        if spec.reload_strategy is ReloadStrategy.REPLACE and self._serving is not None:
            await self._release_serving()
        if self._serving is None and not (is_restart and retry_delay_s(self._crashes, jitter=0) > HOLD_RETRY_S):
            self._enter(State.STARTING)
            await self._publish(RouteState.HELD)
        before = self._serving
        try:
            sandbox = await self._start_beside(before, spec)
        except RunFailed as failed:
            await self._fail(failed.failure, should_retry=is_restart)
            await self._settle(ticket)
            return
        except SandboxFault as fault:
            log.error("sandbox could not be started", website=self.domain, error=str(fault))
            await self._fail(fault.as_failure(), should_retry=is_restart)
            await self._settle(ticket)
            return
        if sandbox is None:  # interrupted: the loop plans again for what is wanted now
            return
        try:
            await self._switch_to(sandbox)
        except EdgeUnreachable:
            self._serving = before
            await self._retire(sandbox)
            raise
        self._finish_deploy(before)
        await self._settle(ticket)

    async def _start_beside(self, before: Sandbox | None, spec: WebsiteSpec) -> Sandbox | None:
        """`_start`, with room made in the tenant's memory limit while `before` still runs."""
        if before is None:
            return await self._start(spec)
        self.tenant.add_surge(spec.limits)
        sandbox = None
        try:
            sandbox = await self._start(spec)
        finally:
            if sandbox is None:
                self.tenant.end_surge(spec.limits)
        return sandbox

    async def _start(self, spec: WebsiteSpec) -> Sandbox | None:
        """A new run that accepts connections; None if a newer spec, or a deletion, came in between.

        Raises RunFailed or SandboxFault; nothing of the new run is left then.
        """
        tenant, sandboxes = self.tenant, self._parts.sandboxes
        async with self._parts.start_slots:
            await tenant.ensure()
            await self._parts.prepare(spec, tenant)
            began = time.monotonic()
            sandbox = await sandboxes.start(self._parts.launcher.website(spec, tenant), tenant)
            is_accepting = False
            try:
                is_accepting = await self._accepts_or_interrupted(sandbox, spec)
            finally:
                if not is_accepting:
                    await sandboxes.stop(sandbox, grace_s=1.0)
        if not is_accepting:
            return None
        took_s = time.monotonic() - began
        self._start_seconds.append(took_s)
        log.info("sandbox ready", website=self.domain, run=sandbox.run, took_ms=round(took_s * 1000))
        return sandbox

    async def _accepts_or_interrupted(self, sandbox: Sandbox, spec: WebsiteSpec) -> bool:
        """True when the run accepts, False when it is no longer wanted; raises RunFailed when it will not accept."""
        accepting = asyncio.create_task(self._until_accepting(sandbox, spec))
        interrupted = asyncio.create_task(self._interrupted.wait())
        try:
            await asyncio.wait({accepting, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if not accepting.done():
                return False
            accepting.result()
            return True
        finally:
            interrupted.cancel()
            accepting.cancel()

    async def _until_accepting(self, sandbox: Sandbox, spec: WebsiteSpec) -> None:
        """Raises RunFailed when the run ends, listens elsewhere for a while, or has used up its deadline."""
        began, pause_s = time.monotonic(), _PROBE_FIRST_S
        astray_since: float | None = None
        while True:
            found = await sockets.probe(sandbox.socket_directory, uid=self.tenant.uid, backlog=self.tenant.backlog)
            if found is Found.ACCEPTS:
                return
            if sandbox.exit.done():
                stderr = await self._parts.sandboxes.tail(sandbox)
                raise RunFailed(describe_exit(sandbox.exit.result(), spec.limits, stderr))
            if pause_s >= _PROBE_LIMIT_S:
                listeners = await asyncio.to_thread(find_listeners, sandbox.processes())
                now = time.monotonic()
                is_astray = found is Found.UNUSABLE or (found is Found.NOTHING and listeners)
                astray_since = (astray_since or now) if is_astray else None
                is_overdue = now - began > spec.start_deadline_s
                if is_overdue or (astray_since and now - astray_since > ASTRAY_AFTER_S):
                    stderr = await self._parts.sandboxes.tail(sandbox)
                    raise RunFailed(describe_silence(found, listeners, spec.start_deadline_s, stderr))
            await asyncio.wait([sandbox.exit], timeout=pause_s)
            pause_s = min(pause_s * 1.5, _PROBE_LIMIT_S)

    async def _switch_to(self, sandbox: Sandbox) -> None:
        """From the moment this returns, every new request goes to `sandbox`. Raises EdgeUnreachable; then none does."""
        self._remember(replace(self.record, run=sandbox.run))
        self._serving = sandbox
        await self._publish(RouteState.RUNNING)
        self._serving_since = time.monotonic()
        self._failure = None
        sandbox.exit.add_done_callback(lambda _: self._changed.set())
        self._enter(State.RUNNING)

    def _finish_deploy(self, before: Sandbox | None) -> None:
        if before is None:
            self._settle_deploy(Phase.DONE)
            return
        self._settle_deploy(Phase.DRAINING)
        version, limits = self.record.deploy.version, self.spec.limits

        def done(_: object) -> None:
            self.tenant.end_surge(limits)
            if self.record.deploy.version == version and self.record.deploy.phase is Phase.DRAINING:
                self._settle_deploy(Phase.DONE)

        self.retire(before).add_done_callback(done)

    async def _note_crash(self) -> None:
        """The serving run has ended by itself: clean up, say why, plan the next start with back-off."""
        ended = self._serving
        if ended is None:
            return
        stderr = await self._parts.sandboxes.tail(ended)
        failure = describe_exit(ended.exit.result(), self.spec.limits, stderr)
        if time.monotonic() - self._serving_since > HEALTHY_AFTER_S:
            self._crashes = 0
        self._serving = None
        log.warning("website crashed", website=self.domain, run=ended.run, reason=failure.reason.value)
        await self._fail(failure, should_retry=True)
        await self._parts.sandboxes.clear(ended)

    async def _fail(self, failure: Failure, *, should_retry: bool) -> None:
        """Record a failure. What serves goes on serving; if nothing does, visitors are held or told.

        The panel is tried again in any case: nobody could mend it through the panel.
        """
        should_retry = should_retry or self.spec.tenant == SYSTEM_TENANT
        if self.record.deploy.phase is not Phase.DONE or not should_retry:
            deploy = replace(self.record.deploy, phase=Phase.FAILED, failure=failure)
            self._remember(replace(self.record, deploy=deploy))
        if self._serving is not None:
            return
        self._failure = failure
        self._remember(replace(self.record, run=None))
        if not should_retry:
            self._enter(State.FAILED)
            await self._publish(RouteState.FAILED)
            return
        self._crashes += 1
        delay_s = retry_delay_s(self._crashes, jitter=random.random())  # noqa: S311  # spreads restarts, hides nothing
        self._retry_at = time.monotonic() + delay_s
        self._enter(State.BACKING_OFF)
        await self._publish(RouteState.HELD if delay_s < HOLD_RETRY_S else RouteState.FAILED)

    async def _stop(self) -> None:
        ticket = self._asked
        self._tried = ticket
        await self._publish(RouteState.DISABLED)
        self._drop_serving()
        self._is_stopped, self._crashes, self._failure, self._retry_at = True, 0, None, None
        self._enter(State.DISABLED)
        self._settle_deploy(Phase.DONE)
        await self._settle(ticket)

    async def _remove(self) -> None:
        ticket = self._asked
        await self._publish(RouteState.DELETED)
        self._drop_serving()
        file = self._parts.paths.websites / f"{self.domain}.json"
        file.unlink(missing_ok=True)
        sync_directory(file.parent)
        self._is_removed = True
        await self._settle(ticket)

    async def _release_serving(self) -> None:
        """Stop the serving run while requests are held."""
        before, self._serving = self._serving, None
        self._enter(State.STARTING)
        await self._publish(RouteState.HELD)
        if before is not None:
            await self.retire(before)

    def _drop_serving(self) -> None:
        before, self._serving = self._serving, None
        self._remember(replace(self.record, run=None))
        if before is not None:
            self.retire(before)

    def retire(self, sandbox: Sandbox) -> asyncio.Task[None]:
        """Let a run that gets no new requests finish those it has, then end it, in the background."""
        task = asyncio.create_task(self._retire(sandbox), name=f"retire {sandbox.run}")
        self._retiring[sandbox.run] = task
        task.add_done_callback(lambda _: self._retiring.pop(sandbox.run, None))
        return task

    async def retired(self) -> None:
        """Returns when no run of this website is being retired any more."""
        while self._retiring:
            await asyncio.wait(list(self._retiring.values()))

    async def _retire(self, sandbox: Sandbox) -> None:
        """Never raises: whatever happens, the run is ended."""
        try:
            streams = await self._parts.publication.drained(
                sandbox.run,
                plain_s=self.spec.drain_s,
                streaming_s=self.spec.websocket_drain_s,
                ended=sandbox.exit,
            )
            if streams and self._state is State.RUNNING and self._serving is not sandbox:
                # TERM closes them all in one instant: let the edge spread their coming back.
                await self._publish(RouteState.RUNNING, spread_from=time.time())
        except HostelError as error:
            log.warning("the edge could not be asked or told", run=sandbox.run, error=str(error))
        await self._parts.sandboxes.stop(sandbox, grace_s=self.spec.grace_s)

    # -- bookkeeping

    def _ask(self) -> int:
        self._asked += 1
        self._changed.set()
        return self._asked

    async def _settle(self, ticket: int) -> None:
        async with self._outcome:
            self._settled = max(self._settled, ticket)
            self._outcome.notify_all()

    def _enter(self, state: State) -> None:
        if state is not self._state:
            log.info("website is in another state", website=self.domain, state=state.value, was=self._state.value)
            self._state, self._since = state, datetime.now(UTC)

    def _settle_deploy(self, phase: Phase) -> None:
        deploy = Deploy(version=self.record.deploy.version, phase=phase)
        self._remember(replace(self.record, deploy=deploy))

    def _remember(self, record: WebsiteRecord) -> None:
        if record != self.record:
            self.record = record
            write_website(self._parts.paths, record)

    async def _publish(self, state: RouteState, *, spread_from: float = 0.0) -> None:
        hold_s = (
            max(_HOLD_FIRST_S, 3.5 * statistics.median(self._start_seconds)) if self._start_seconds else _HOLD_FIRST_S
        )
        await self._parts.publication.publish(
            self.spec,
            state,
            sandbox=self._serving if state is RouteState.RUNNING else None,
            access_log=self.tenant.log_directory / f"{self.spec.domain_name}.access.log",
            hold_s=hold_s,
            spread_from=spread_from,
        )

    def _retry_in_s(self) -> float | None:
        return None if self._retry_at is None else max(0.0, self._retry_at - time.monotonic())


def _runs_differently(new: WebsiteSpec, old: WebsiteSpec) -> bool:
    return (new.command, new.limits, new.expose_token) != (old.command, old.limits, old.expose_token)


def write_website(paths: Paths, record: WebsiteRecord) -> None:
    name = canonical_domain(record.spec.domain_name)
    write_atomically(paths.websites / f"{name}.json", json.dumps(to_jsonable(record)).encode(), mode=0o600)


def read_websites(paths: Paths) -> list[WebsiteRecord]:
    """All websites on disk. A torn or foreign file is left where it is and reported."""
    records = []
    for file in sorted(paths.websites.glob("*.json")):
        try:
            records.append(parse(WebsiteRecord, json.loads(file.read_bytes())))
        except (OSError, ValueError, HostelError) as error:
            log.error("website record cannot be read; it is ignored", file=str(file), error=str(error))
    return records
