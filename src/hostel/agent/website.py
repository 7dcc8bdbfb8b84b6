"""One website: from what is wanted of it to what visitors meet. The only place that changes a route.

A website is one task that plans and acts in turn (`reconcile.plan`), so no two deeds of one website ever overlap, and
only that task writes its record and its route. Everything else leaves a note for the task and, if it likes, waits for
the outcome.
"""

import asyncio
import contextlib
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from hostel.agent import cgroup
from hostel.agent.backoff import BackOff
from hostel.agent.errors import RunFailed, SandboxFault
from hostel.agent.failure import describe_exit
from hostel.agent.gates import Gates
from hostel.agent.hibernation import Hibernation
from hostel.agent.keyring import Keyring
from hostel.agent.launch import Launcher
from hostel.agent.notes import Interrupted, Notes
from hostel.agent.oci import OOM_SCORE
from hostel.agent.publication import Publication
from hostel.agent.readiness import until_accepting
from hostel.agent.reconcile import Action, Situation, plan
from hostel.agent.retirement import Retirement
from hostel.agent.sandbox import Sandbox, Sandboxes
from hostel.agent.sleep import Sleeper
from hostel.agent.sockets import Found
from hostel.agent.tenant import Tenant
from hostel.agent.website_record import WebsiteRecord, write_website
from hostel.wire import failpoint
from hostel.wire.errors import GateClosed, Reason
from hostel.wire.files import sync_directory
from hostel.wire.names import SYSTEM_TENANT, canonical_domain
from hostel.wire.paths import Paths
from hostel.wire.route import RouteState
from hostel.wire.website import (
    Deploy,
    Failure,
    Limits,
    Listens,
    Phase,
    ReloadStrategy,
    RunId,
    Sleep,
    State,
    Version,
    WebsiteReport,
    WebsiteSpec,
)

log = structlog.get_logger()

# A start takes one of the machine's places for this long at most: what never listens must not keep others out.
START_SLOT_S = 5.0
_HOLD_FIRST_S = 10.0
# How long a visitor is held before the start begins: while it waits for a place, or for another run to end.
_QUEUE_S = 60.0
_STARTS_KEPT = 5
_LOOK_AGAIN_S = 0.5
RENEW_AFTER_S = 5.0  # no run is replaced sooner for its unreaped processes
_UNSAID_MOST = 20
_END_DEADLINE_S = 5.0  # of a process that was killed: longer only if it waits for what cannot be interrupted
_FAULT_PAUSE_S = 1.0  # after a fault of the platform's: do not spin on it
_SPREAD_DEADLINE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a website works with; shared by all websites of an agent."""

    paths: Paths
    launcher: Launcher
    sandboxes: Sandboxes
    gates: Gates
    publication: Publication
    keyring: Keyring
    names: dict[str, str]  # canonical domain → the website that has it, by its own; until visitors are told otherwise
    hibernation: Hibernation
    start_slots: asyncio.Semaphore  # not more starts at once than the machine has room for
    complete: Callable[[WebsiteSpec], WebsiteSpec]  # before a run: what the panel is told at its start


class Website:
    """Lives from its first spec to its deletion; `serve` is its task."""

    def __init__(self, record: WebsiteRecord, tenant: Tenant, parts: Parts) -> None:
        self.record = record
        self.tenant = tenant
        self._parts = parts
        self._serving: Sandbox | None = None
        self._serving_since = 0.0  # monotonic
        self._state = State.STARTING
        self._since = _now()
        self._failure: Failure | None = None
        self._back_off = BackOff(is_panel=record.spec.tenant == SYSTEM_TENANT)
        self._reloads = 0
        self._notes = Notes()
        self._sleeper = Sleeper(parts.hibernation)
        self._is_route_due = False
        self.is_route_told = False  # whether visitors meet what was published last
        self._spread_from = 0.0  # when WebSockets were closed that will come back; seconds since 1970
        self._is_deleted = self._is_stopped = False
        self._beginning: RunId | None = None
        self.retirement = Retirement(self, parts.publication, parts.sandboxes, on_end=self._notes.look_again)
        self._looking: asyncio.Task[None] | None = None
        self._unsaid: list[str] = []  # lines for the error log, which a run must take there

    # -- what others ask

    @property
    def spec(self) -> WebsiteSpec:
        return self.record.spec

    @property
    def domain(self) -> str:
        return canonical_domain(self.spec.domain_name)

    @property
    def names(self) -> set[str]:
        """Its own domain, and those that are wanted beside it."""
        return {self.domain, *(further.name for further in self.spec.domains)}

    @property
    def serving(self) -> Sandbox | None:
        return self._serving

    @property
    def beginning(self) -> RunId | None:
        """The run whose command was started and that does not accept yet."""
        return self._beginning

    @property
    def deeds(self) -> tuple[int, int]:
        """How often since this agent began it was to be started again because it had ended or not come up, and how
        often a new run took the place of one that served.
        """
        return self._back_off.restarts, self._reloads

    @property
    def is_deleted(self) -> bool:
        """Deleted, though its last run may still have to end."""
        return self._is_deleted

    def want(self, spec: WebsiteSpec) -> int:
        """Take over a newer spec, durably. Returns the ticket to `settle` on; a stale spec changes nothing.

        A new run is started where the command would run differently, and where the last change failed or is under way:
        changed times may be what it needs. Else they, and limits, hold for the run that serves.

        Raises OSError if it cannot be kept; then nothing has changed.
        """
        before = self.spec
        if spec.version <= before.version or self._is_deleted:
            return self._notes.last
        is_undone = self.record.deploy.phase in (Phase.STARTING, Phase.FAILED)
        needs_run = spec.enabled and (
            not before.enabled or is_undone or _runs_differently(spec, before) or not self._limit_serving(spec.limits)
        )
        phase = Phase.STARTING if needs_run else Phase.DONE
        self._remember(replace(self.record, spec=spec, deploy=Deploy(version=spec.version, phase=phase)))
        self._claim()
        failpoint.reach("website.want")
        if needs_run or not spec.enabled:
            self._notes.interrupt()
        else:
            self._is_route_due = True
        return self._notes.leave_for_run(is_change=True) if needs_run else self._notes.leave()

    def reload(self) -> int:
        """Ask for a new run; one that is being started already is it. Returns the ticket."""
        is_starting = self._notes.are_open and not self._notes.want_run
        if is_starting and self.record.deploy.phase is Phase.STARTING and not self._notes.are_interrupted:
            return self._notes.last
        self._note_deploy(Phase.STARTING)
        return self._notes.leave_for_run(is_change=True)

    def wake(self) -> None:
        """A visitor waits: start the website if it is asleep, look at its run if that refused. Idempotent."""
        if self.is_frozen or self._sleeper.is_drowsy:
            failpoint.reach("website.wake.frozen")
            self._sleeper.is_awaited = True
            self._notes.look_again()
        elif self._state is State.ASLEEP and not self._notes.want_run:
            failpoint.reach("website.wake")
            self._notes.leave_for_run(is_change=False)
        elif self._state is State.RUNNING and self._looking is None and self._serving is not None:
            self._looking = asyncio.create_task(self._look(self._serving), name=f"look at {self.domain}")

    @property
    def may_fall_asleep(self) -> bool:
        """Whether it is awake and its owner lets it sleep when it is idle."""
        return self.spec.sleep is not Sleep.OFF and self._serving is not None and not self.is_frozen

    @property
    def is_frozen(self) -> bool:
        return self._serving is not None and self._sleeper.has_frozen(self._serving)

    def fall_asleep(self) -> None:
        """It was found idle. Nothing happens if a visitor is there by then."""
        self._sleeper.is_asked = True
        self._notes.look_again()

    def retry_refused(self) -> None:
        """Start what a closed gate refused."""
        if self._is_refused and self._is_wanted and not self._notes.want_run:
            self._note_deploy(Phase.STARTING)
            self._notes.leave_for_run(is_change=True)

    def say(self, line: str) -> None:
        """A line of the platform's own in the error log; at the next start where nothing runs."""
        if self._serving is not None:
            self._serving.say(line)
        elif line not in self._unsaid and len(self._unsaid) < _UNSAID_MOST:
            self._unsaid.append(line)

    def renew_if_clogged(self) -> None:
        """Start a new run where ended processes that nobody waits for take up half of the serving one's limit.

        PID 1 of a sandbox is the website's own server: orphans fall to it, and as a rule it does not wait for them.
        They go with it.
        """
        serving = self._serving
        is_busy = self.is_frozen or self._notes.are_open or time.monotonic() - self._serving_since < RENEW_AFTER_S
        if serving is None or is_busy:
            return
        half = self.spec.limits.pids // 2
        if cgroup.unreaped(serving.cgroup, least=half) < half:
            return
        log.warning("website is renewed: nobody waits for its ended processes", website=self.domain, run=serving.run)
        serving.say("ended processes that the command does not wait for take up half of its limit: it is started anew")
        self._notes.leave_for_run(is_change=False)

    @property
    def _is_refused(self) -> bool:
        failures = (self._failure, self.record.deploy.failure)
        return any(failure.reason is Reason.GATE_CLOSED for failure in failures if failure)

    @property
    def _is_our_fault(self) -> bool:
        """Whether the last change failed by no fault of the owner's, who therefore need do nothing for another try."""
        failure = self.record.deploy.failure
        return failure is not None and failure.reason in (Reason.GATE_CLOSED, Reason.SANDBOX_FAILED)

    def heed_suspension(self) -> int:
        """The tenant was suspended, or is so no more. Returns the ticket."""
        self._notes.interrupt()
        if not self.tenant.is_suspended and self._is_stopped:
            self._is_stopped = False
            return self.restore(None)
        if self._is_stopped:
            self._enter(self._state_when_stopped())
        self._is_route_due = True
        return self._notes.leave()

    def delete(self) -> None:
        self._is_deleted = True
        self._notes.interrupt()
        self._notes.leave()

    async def settle(self, ticket: int, *, wait_s: float) -> WebsiteReport:
        """The report once what `ticket` stands for has been done or has failed, or after `wait_s`."""
        await self._notes.until_settled(ticket, wait_s=wait_s)
        return self.report()

    def report(self) -> WebsiteReport:
        is_awake = self._serving is not None and not self.is_frozen
        return WebsiteReport(
            domain_name=self.spec.domain_name,
            tenant=self.spec.tenant,
            state=self._state,
            deploy=self.record.deploy,
            run=self._serving.run if self._serving else None,
            since=self._since,
            restarts=self._back_off.crashes,
            failure=self._failure,
            sleep_failure=self._sleeper.why_awake if is_awake and self.spec.sleep is Sleep.HIBERNATE else None,
        )

    # -- its life

    def restore(self, sandbox: Sandbox | None) -> int:
        """What is true at the start of an agent, or of a website; `serve` makes visitors meet it.

        `sandbox` is the adopted run. Returns the ticket of that.
        """
        self._claim()
        self._is_route_due = True
        phase = self.record.deploy.phase
        if sandbox is not None:
            self._take(sandbox)  # where the website is disabled it was being stopped, and the plan goes on with that
            if self._sleeper.adopt(sandbox):
                self._enter(State.ASLEEP)
            if self.spec.enabled and phase is Phase.STARTING:
                self._notes.leave_for_run(is_change=True)  # the change was under way when the agent died: once more
        elif not self._is_wanted:
            self._is_stopped = True
            self._enter(self._state_when_stopped())
        elif phase is Phase.STARTING:
            self._notes.leave_for_run(is_change=True)
        elif phase is Phase.FAILED and self.record.run is None and not self.spec.always_on and not self._is_our_fault:
            self._failure = self.record.deploy.failure
            self._enter(State.FAILED)
        else:
            self._enter(State.ASLEEP)
            if self.spec.always_on:
                self._notes.leave_for_run(is_change=False)
        return self._notes.leave()

    async def serve(self) -> None:
        """Plan and act until the website is deleted."""
        while True:
            self._notes.begin_reading()
            action = plan(self._situation())
            if action is Action.REMOVE:
                if await self._do(self._remove):
                    break
            elif (deed := self._find_deed(action)) is not None:
                await self._do(deed, is_start=action is Action.DEPLOY)
            else:
                await self._do(self._settle)
                retry_in_s = self._back_off.retry_in_s(time.monotonic())
                await self._notes.next_one(retry_in_s if action is Action.WAIT else None)
        await self._settle()

    def _find_deed(self, action: Action) -> Callable[[], Awaitable[None]] | None:
        """None: there is nothing to do but to wait."""
        deeds: dict[Action, Callable[[], Awaitable[None]]] = {
            Action.DEPLOY: self._deploy,
            Action.NOTE_CRASH: self._note_crash,
            Action.STOP: self._stop,
            Action.SLEEP: self._sleep,
            Action.THAW: self._thaw,
            Action.PUBLISH: self._publish_current,
        }
        return deeds.get(action)

    def _situation(self) -> Situation:
        return Situation(
            is_deleted=self._is_deleted,
            is_enabled=self._is_wanted,
            is_stopped=self._is_stopped,
            has_run=self._serving is not None,
            run_has_ended=self._serving is not None and self._serving.exit.done(),
            is_frozen=self.is_frozen,
            is_awaited=self._sleeper.is_awaited,
            may_sleep=self.spec.sleep is not Sleep.OFF,
            is_sleep_due=self._sleeper.is_asked,
            wants_run=self._notes.want_run,
            is_route_due=self._is_route_due,
            retry_in_s=self._back_off.retry_in_s(time.monotonic()),
        )

    async def _do(self, deed: Callable[[], Awaitable[None]], *, is_start: bool = False) -> bool:
        """One deed, which may fail without ending the website: it goes on. Its state changes where it was a start."""
        try:
            await deed()
        except Exception as error:
            log.exception("website could not be brought to its wanted state", website=self.domain)
            if is_start:
                self._fail(SandboxFault(str(error)).as_failure(), should_retry=True)
            await asyncio.sleep(_FAULT_PAUSE_S)
            return False
        return True

    # -- deeds

    async def _deploy(self) -> None:
        """Start a run and make it the one that visitors get.

        1. With the strategy `replace` end every run there is first, holding requests meanwhile.
        2. Wait for a place, start, wait until it accepts. Fails: what served goes on serving.
        3. Remember the run, publish the route, retire the run before it.
        """
        spec = self.spec
        is_change, has_served = self._notes.take_run(), self._serving is not None
        self._is_stopped = False
        self._back_off.begin_try(is_change=is_change)
        try:
            if spec.reload_strategy is ReloadStrategy.REPLACE:
                await self._end_all_runs()
            try:
                await self._start_and_switch(spec)
            except SandboxFault as fault:  # the platform's own faults seldom last, and nobody else would try again
                log.error("sandbox could not be started; once more", website=self.domain, error=str(fault))
                await self._notes.unless_interrupted(asyncio.sleep(_FAULT_PAUSE_S))
                await self._start_and_switch(spec)
            self._reloads += has_served
        except Interrupted:
            # The loop plans again for what is wanted now.
            self._notes.put_back(is_change=is_change, is_wanted=self._is_wanted and not self._is_deleted)
        except RunFailed as failed:
            self._fail(failed.failure, should_retry=not is_change)
        except GateClosed as closed:
            failure = Failure(reason=Reason.GATE_CLOSED, detail=str(closed))
            self._fail(failure, should_retry=False)  # until `retry_refused`
        except SandboxFault as fault:
            log.error("sandbox could not be started", website=self.domain, error=str(fault))
            self._fail(fault.as_failure(), should_retry=True)

    async def _start_and_switch(self, spec: WebsiteSpec) -> None:
        """Steps 2 and 3 of a deploy. On any failure the run before serves, and nothing of the new one is left."""
        before = self._serving
        with self.tenant.surge(spec.limits) if before is not None else contextlib.nullcontext():
            sandbox = await self._start(spec)
            failpoint.reach("website.deploy.accepted")
            await self._switch(sandbox, before)
            self._note_deploy(Phase.DRAINING if before is not None else Phase.DONE, version=spec.version)
            if before is not None:
                self.retirement.begin(before)

    async def _start(self, spec: WebsiteSpec) -> Sandbox:
        """A new run that accepts connections. Raises RunFailed, SandboxFault or Interrupted; nothing is left then."""
        sandboxes = self._parts.sandboxes
        async with contextlib.AsyncExitStack() as slots:
            for place in (self.tenant.start_slots, self._parts.start_slots):
                await self._enter_place(place, slots)
            await self._hold(self._hold_s())  # the clock of visitors who wait begins here
            failpoint.reach("website.deploy.held")
            await self.tenant.ensure()
            if self.spec.tenant != SYSTEM_TENANT:
                await self._parts.gates.require(self.tenant.socket_directory)
            if spec.listens_on is Listens.PORT:
                await self.tenant.let_edge_in()
            began = time.monotonic()
            run = self._parts.launcher.website(self._parts.complete(spec), self.tenant)
            sandbox = await sandboxes.start(run, self.tenant)
            self._beginning = sandbox.run
            try:
                accepting = asyncio.create_task(until_accepting(sandbox, spec, sandboxes=sandboxes))
                await self._notes.unless_interrupted(asyncio.wait({accepting}, timeout=START_SLOT_S))
                await slots.aclose()
                await self._notes.unless_interrupted(accepting)
            except BaseException:
                accepting.cancel()
                await sandboxes.stop(sandbox, grace_s=1.0)
                raise
            finally:
                self._beginning = None
        took_s = time.monotonic() - began
        starts_s = (*self.record.starts_s, round(took_s, 3))[-_STARTS_KEPT:]
        self.record = replace(self.record, starts_s=starts_s)  # to disk with the run, at the switch
        log.info("sandbox ready", website=self.domain, run=sandbox.run, took_ms=round(took_s * 1000))
        return sandbox

    async def _enter_place(self, place: asyncio.Semaphore, slots: contextlib.AsyncExitStack) -> None:
        """A free one is taken before anything else can happen: many who wake at once would all find it free."""
        if not place.locked():
            await slots.enter_async_context(place)
            return
        await self._hold(_QUEUE_S)
        await self._notes.unless_interrupted(slots.enter_async_context(place))

    async def _switch(self, sandbox: Sandbox, before: Sandbox | None) -> None:
        """From the moment this returns, every new request goes to `sandbox`.

        If it cannot be recorded or published, `before` goes on serving, its route is published again, and `sandbox`
        is retired: the edge may have heard of it.
        """
        try:
            self._remember(replace(self.record, run=sandbox.run))
            failpoint.reach("website.switch.remembered")
            self._take(sandbox)
            await self._publish(RouteState.RUNNING)
            failpoint.reach("website.switch.published")
        except BaseException:
            self._serving, self._is_route_due = before, True
            with contextlib.suppress(OSError):
                self._remember(replace(self.record, run=before.run if before else None))
            self.retirement.begin(sandbox)
            raise

    def _limit_serving(self, limits: Limits) -> bool:
        """False where what serves needs more than that: a new run then shows whether the command can do with it."""
        return self._serving is None or cgroup.change_limits(self._serving.cgroup, limits)

    def _take(self, sandbox: Sandbox) -> None:
        self._serving = sandbox
        self._sleeper.begin_anew()
        self._limit_serving(self.spec.limits)  # they may have changed while it started
        if self.spec.tenant != SYSTEM_TENANT:
            cgroup.set_oom_score(sandbox.cgroup, OOM_SCORE)
        self._serving_since = time.monotonic()
        self._failure = None
        sandbox.exit.add_done_callback(lambda _: self._notes.look_again())
        unsaid, self._unsaid = self._unsaid, []
        for line in unsaid:
            sandbox.say(line)
        self._enter(State.RUNNING)

    async def _note_crash(self) -> None:
        """The serving run has ended by itself: clean up, say why, plan the next start with back-off."""
        ended = self._serving
        if ended is None:
            return
        stderr = await self._parts.sandboxes.tail(ended)
        failure = describe_exit(ended.exit.result(), self.spec.limits, stderr)
        self._note(self.record.with_failure(failure))
        self._back_off.forget_if_healthy(time.monotonic() - self._serving_since)
        was_asleep, self._serving = self._state is State.ASLEEP and not self.spec.always_on, None
        log.warning("website crashed", website=self.domain, run=ended.run, reason=failure.reason.value)
        if was_asleep:  # nobody misses it: the next visitor starts it
            self._is_route_due = True
            self._enter(State.ASLEEP)
        else:  # no failure of a change that is under way: that is still to be tried
            self._be_down(failure, should_retry=True)
        failpoint.reach("website.crash.noted")
        self.retirement.begin(ended)  # nothing to drain: only what is left of it to be removed
        await self._publish_current()

    def _fail(self, failure: Failure, *, should_retry: bool) -> None:
        """A start has failed. What serves goes on serving; if nothing does, visitors are held or told."""
        record = self.record.with_failure(failure)
        if record.deploy.phase is Phase.STARTING:
            deploy = replace(record.deploy, phase=Phase.FAILED, failure=failure)
            record = replace(record, deploy=deploy, run=self._serving.run if self._serving else None)
        self._note(record)
        if self._serving is None:
            self._be_down(failure, should_retry=should_retry)

    def _be_down(self, failure: Failure, *, should_retry: bool) -> None:
        """Nothing serves. The panel is tried again in any case: nobody could mend it through the panel."""
        self._failure, self._is_route_due = failure, True
        if should_retry or self.spec.tenant == SYSTEM_TENANT:
            jitter = random.random()  # noqa: S311  # spreads restarts, hides nothing
            self._back_off.plan_retry(now=time.monotonic(), jitter=jitter)
            self._enter(State.BACKING_OFF)
        else:
            self._enter(State.FAILED)

    async def _stop(self) -> None:
        is_suspended = self.tenant.is_suspended
        await self._publish(RouteState.SUSPENDED if is_suspended else RouteState.DISABLED)
        failpoint.reach("website.stop.published")
        if self._is_wanted:  # again, meanwhile
            self._is_route_due = True
            return
        self._drop_serving(should_forget=not is_suspended)
        failpoint.reach("website.stop.dropped")
        self._is_stopped, self._failure = True, None
        self._back_off.forget()
        self._notes.drop_runs()
        self._enter(self._state_when_stopped())
        if not is_suspended:
            self._note_deploy(Phase.DONE)

    async def _sleep(self) -> None:
        """Freeze the run, or end it, unless a visitor comes before that is done.

        1. Publish *held*: requests that the edge binds to the run from here on go to the hold, and wake the website.
        2. If the edge has bound none before, nobody is at the run, and nobody comes. Else undo.
        3. Freeze or end it. Who has been held meanwhile is heard of now at the latest.
        """
        serving = self._serving
        self._sleeper.heed()
        if serving is None or self.spec.sleep is Sleep.OFF:
            return
        is_to_stop = self.spec.sleep is Sleep.STOP
        if not is_to_stop and not self._sleeper.may_freeze(serving):
            return
        with self._sleeper.drowsing():
            await self._publish(RouteState.ASLEEP)
            self._is_route_due = True  # until it is known what comes of it
            failpoint.reach("website.sleep.published")
            bound = await self._parts.publication.bound(serving.run)
            if bound.plain or bound.streaming or not self._is_sleepy(serving):
                return
            if is_to_stop:
                self._drop_serving(should_forget=True)
                failpoint.reach("website.sleep.dropped")
            elif not await self._sleeper.freeze(serving, is_still_wanted=lambda: self._is_sleepy(serving)):
                return
            self._is_route_due = False
            self._enter(State.ASLEEP)

    def _is_sleepy(self, serving: Sandbox) -> bool:
        """Whether, while it falls asleep, nobody has come and nothing else is wanted."""
        is_asked = self._notes.are_open or self._is_deleted or not self._is_wanted
        return not (self._sleeper.is_awaited or is_asked or serving.exit.done())

    async def _thaw(self) -> None:
        """Let the frozen run go on; then visitors are sent to it. Where it was killed they stay held for the next."""
        serving = self._serving
        if serving is None:
            return
        self._is_route_due = True
        goes_on = self._sleeper.thaw(serving)
        failpoint.reach("website.thawed")
        if not goes_on:
            await asyncio.wait([serving.exit], timeout=_END_DEADLINE_S)
        if serving.exit.done():
            return  # which is seen to next
        self._enter(State.RUNNING)
        await self._publish_current()

    async def _remove(self) -> None:
        await self._publish(RouteState.DELETED)
        await self._release(self.names | set(self.record.names))
        failpoint.reach("website.remove.published")
        file = self._parts.paths.websites / f"{self.domain}.json"
        file.unlink(missing_ok=True)
        sync_directory(file.parent)
        failpoint.reach("website.remove.unlinked")
        before, self._serving = self._serving, None
        if before is not None:
            self.retirement.begin(before)

    async def _hold(self, hold_s: float) -> None:
        """Where nothing serves let visitors wait, each for `hold_s`; who comes to a crash loop is told so instead."""
        if self._serving is None and not self._back_off.is_crash_loop:
            self._enter(State.STARTING)
            await self._publish(RouteState.HELD, hold_s=hold_s)

    async def _end_all_runs(self) -> None:
        """Requests are held until no run is left: also none that still ends after a change before this one.

        If the edge cannot be told, the serving run goes on.
        """
        if self._serving is not None:
            await self._publish(RouteState.HELD, hold_s=_QUEUE_S)
            before, self._serving = self._serving, None
            self._enter(State.STARTING)
            self.retirement.begin(before)
        elif self.retirement.runs:
            await self._hold(_QUEUE_S)
        await self._notes.unless_interrupted(self.retirement.done())

    def _drop_serving(self, *, should_forget: bool) -> None:
        """The record keeps the run of a website that shall come back as it was."""
        if should_forget:
            self._remember(replace(self.record, run=None))
        before, self._serving = self._serving, None
        if before is not None:
            self.retirement.begin(before)

    async def spread(self, sandbox: Sandbox) -> None:
        """The WebSockets of `sandbox` are about to be closed in one instant: let the edge spread their coming back."""
        if self.spec.ws_spread_s and self._serving is not sandbox:
            self._spread_from = time.time()
            if self._serving is not None:
                self._is_route_due = True
                await self.settle(self._notes.leave(), wait_s=_SPREAD_DEADLINE_S)

    async def _look(self, serving: Sandbox) -> None:
        """The edge could not connect to the serving run. If it accepts (again), say so: held requests try once more.

        A run that has ended needs no look: its end is noticed at once.
        """
        try:
            while serving is self._serving and not serving.exit.done():
                if await serving.probe() is Found.ACCEPTS:
                    self._is_route_due = True
                    self._notes.look_again()
                    return
                await asyncio.sleep(_LOOK_AGAIN_S)
        finally:
            self._looking = None

    # -- bookkeeping

    @property
    def _is_wanted(self) -> bool:
        return self.spec.enabled and not self.tenant.is_suspended

    def _state_when_stopped(self) -> State:
        return State.SUSPENDED if self.tenant.is_suspended else State.DISABLED

    async def _settle(self) -> None:
        """Nothing is left to do: all notes so far are dealt with."""
        if self.record.deploy.phase is Phase.DRAINING and not self.retirement.runs:
            self._note_deploy(Phase.DONE)
        self._notes.settle()

    def _enter(self, state: State) -> None:
        if state is not self._state:
            log.info("website is in another state", website=self.domain, state=state.value, was=self._state.value)
            self._state, self._since = state, _now()

    def _note_deploy(self, phase: Phase, *, version: Version | None = None) -> None:
        """Record how far the last change has got; nothing if `version` is no longer the wanted one."""
        if version in (None, self.spec.version):
            self._note(replace(self.record, deploy=Deploy(version=self.spec.version, phase=phase)))

    def _note(self, record: WebsiteRecord) -> None:
        """Keep what nobody was promised: if it cannot be written, it is known for as long as the agent lives."""
        try:
            self._remember(record)
        except OSError as error:
            log.error("website record could not be written", website=self.domain, error=str(error))
            self.record = record

    def _remember(self, record: WebsiteRecord) -> None:
        """To disk first: what could not be kept is not taken for kept. Nothing is written of a deleted website."""
        if record != self.record and not self._is_deleted:
            write_website(self._parts.paths, record)
            self.record = record

    async def _publish_current(self) -> None:
        """Make visitors meet what the website's state says."""
        if self._serving is not None:
            self._remember(replace(self.record, run=self._serving.run))
        async with self._parts.publication.turns:
            await self._publish(self._current_route())

    def _current_route(self) -> RouteState:
        if self._serving is not None:
            return RouteState.ASLEEP if self.is_frozen else RouteState.RUNNING
        if self.tenant.is_suspended:
            return RouteState.SUSPENDED
        if not self.spec.enabled:
            return RouteState.DISABLED
        if self._state is State.ASLEEP:
            return RouteState.ASLEEP
        is_down_for_long = self._state is State.BACKING_OFF and self._back_off.is_long
        return RouteState.FAILED if self._state is State.FAILED or is_down_for_long else RouteState.HELD

    def _hold_s(self) -> float:
        """How long a visitor waits for a start: longer where starts have taken long."""
        usual_s = statistics.median(self.record.starts_s) if self.record.starts_s else 0.0
        return max(_HOLD_FIRST_S, 3.5 * usual_s)

    async def _publish(self, state: RouteState, *, hold_s: float | None = None) -> None:
        self._is_route_due = self.is_route_told = False
        names = self.names - {self.domain}
        gone = set(self.record.names) - names
        try:
            # First, for an agent that comes after this one.
            self._remember(replace(self.record, names=tuple(sorted(names | gone))))
            await self._parts.publication.publish(
                self.spec,
                state,
                sandbox=self._serving if state is RouteState.RUNNING else None,
                tenant=self.tenant,
                hold_s=self._hold_s() if hold_s is None else hold_s,
                spread_from=self._spread_from,
            )
            await self._parts.publication.withdraw(gone)
        except BaseException:
            self._is_route_due = True
            raise
        self.is_route_told = True
        if gone:
            self._remember(replace(self.record, names=tuple(sorted(names))))
            await self._release(gone - self.names)

    def _claim(self) -> None:
        for name in self.names | set(self.record.names):
            self._parts.names[name] = self.domain

    async def _release(self, names: Iterable[str]) -> None:
        """Visitors meet nothing there any more: the names are free, and their certificates are nobody's."""
        for name in names:
            await self._parts.keyring.drop(name)
            self._parts.names.pop(name, None)


def _now() -> str:
    """As reports have it; there may be a thousand of them in one answer."""
    return datetime.now(UTC).isoformat()


_OF_A_RUN = ("command", "expose_token", "working_directory", "listens_on")


def _runs_differently(new: WebsiteSpec, old: WebsiteSpec) -> bool:
    return any(getattr(new, name) != getattr(old, name) for name in _OF_A_RUN)
