"""Schedules of deeds and deaths against a real platform, and the checker of what must hold whatever dies when.

`Arena` takes a platform's agent and logger over from its supervisor and keeps websites under light traffic beside the
one that the schedules are about. `Arena.run(seed)` plays one schedule and says what was wrong:

1. An answer for a host comes from a run of its owner, and from none that an acknowledged change has replaced.
2. What the API has acknowledged is what the world converges to, within CONVERGE_S.
3. An enabled website has one live run outside a drain, a disabled or deleted one has none.
4. No request to another website fails, and none to the website itself while it is meant to serve.
5. After a deletion nothing is left: no process, cgroup, mount, interface, socket directory, FIFO, bundle, runc state.
6. Each answered request is logged once, in its own website's log (but where agent, logger and run die at once: nobody
   holds the run's pipes then).
7. No part ends by itself, and no task of the agent has a fault.
"""

import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from hostel.agent import cgroup
from hostel.agent.installation import PANEL_NUMBER, Installation
from hostel.wire.codec import parse
from live import SITES, Platform, User, send_signal
from schedule_history import Answer, History, LogReader, Span, Traffic
from schedule_parts import MortalPart
from schedule_plan import LOGGER_PLACES, PLACES, RECOVERY_PLACES, Deed, Fault, Schedule, Stage, plan_schedule

CONVERGE_S = 10.0
TASK_FAULT = '"event": "fault in a task of the agent'
_FIRE_S = 2.0  # a deed may be answered before its background work has passed the place
_STEP_S = 0.1


@dataclass
class Outcome:
    schedule: Schedule
    violations: list[str] = field(default_factory=list)
    requests: int = 0
    took_s: float = 0.0
    converged_s: float = 0.0  # the longest of its two waits
    last_difference: str = ""  # what that one waited for last

    def __str__(self) -> str:
        lines = [f"seed {self.schedule.seed}: {self.schedule}", *(f"    {violation}" for violation in self.violations)]
        return "\n".join(lines)


@dataclass
class Subject:
    """The website of a schedule as the API has acknowledged it."""

    label: str
    history: History
    exists: bool = False
    enabled: bool = False
    is_broken: bool = False
    version: int = 0

    @property
    def command(self) -> str:
        return "exit 3" if self.is_broken else f"exec python3 witness.py {self.label}-v{self.version}"


class Arena:
    """One platform, whose agent and logger this process starts. Made by `arena`."""

    def __init__(self, platform: Platform, owner: User, agent: Sequence[str] | None = None) -> None:
        self.platform = platform
        self.owner = owner
        argv = {name: _recorded(platform, name)["argv"] for name in ("agent", "logger")}
        self._is_true = agent is None
        log, runc = platform.paths.log, platform.paths.run / "runc"
        self.agent = MortalPart("agent", agent or argv["agent"], log / "agent.log", runc)
        self.logger = MortalPart("logger", argv["logger"], log / "logger.log", runc)
        self.others: list[tuple[Traffic, LogReader]] = []
        self._succession: Fault | None = None  # the next stage's fault, where a successor has it armed
        self._visitor = httpx.AsyncClient(verify=False, limits=_NO_POOL, timeout=CONVERGE_S, trust_env=False)
        headers = {"Authorization": f"Token {owner.token}"}
        base = f"{platform.panel_url}api/v1/user/{owner.name}/"
        self.api = httpx.AsyncClient(base_url=base, headers=headers, verify=platform.tls(), timeout=90, trust_env=False)
        self._sockets = {
            name: httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=str(directory / "agent.sock"), limits=_NO_POOL),
                base_url="http://agent",
                timeout=5,
            )
            for name, directory in (("panel", platform.paths.agent_for_panel), ("root", platform.paths.agent_for_root))
        }

    @property
    def hits(self) -> Counter[str]:
        return self.agent.hits + self.logger.hits

    # -- its life

    async def begin(self, others: Sequence[tuple[User, str]]) -> None:
        """Take over from the supervisor, which dies and takes nothing along."""
        platform = self.platform
        await asyncio.to_thread(self._take_over)
        await self.logger.start()
        await self.agent.start()
        for owner, label in others:
            history = History(label)
            history.begin_duty(time.monotonic())
            log = LogReader(self._log_of(owner.name, label), label)
            host = f"{label}.{platform.domain}"
            self.others.append((Traffic(history, host=host, port=platform.http_port, seed=0), log))

    async def _until_supervised(self) -> None:
        """The panel answers all the time, so `up` does not wait for the parts to be adopted."""
        wanted = {"agent": self.agent.pid if self._is_true else None, "logger": self.logger.pid}
        end = time.monotonic() + CONVERGE_S
        for name, pid in wanted.items():
            while (found := self.platform.part_pid(name)) != pid and (pid or not found or found == self.agent.pid):
                if time.monotonic() > end:
                    raise RuntimeError(f"the supervisor has not taken over the {name}:\n{self.platform.logs()}")
                await asyncio.sleep(_STEP_S)

    def _take_over(self) -> None:
        pids = [self.platform.part_pid(name) for name in ("agent", "logger")]
        assert all(pids), "a part is down"
        send_signal(self.platform.supervisor_pid, signal.SIGKILL)
        self.platform.forget_supervisor()
        for pid in pids:
            send_signal(pid, signal.SIGKILL)

    async def end(self) -> None:
        """The platform is whole again: a supervisor, and the parts that it knows."""
        for traffic, _ in self.others:
            await traffic.end()
        for client in (self.api, self._visitor, *self._sockets.values()):
            await client.aclose()
        await self.logger.release()
        await (self.agent.release() if self._is_true else self.agent.end())
        await asyncio.to_thread(self.platform.up)
        await self._until_supervised()

    # -- one schedule

    async def run(self, seed: int) -> Outcome:
        return await self.play(plan_schedule(seed))

    async def play(self, schedule: Schedule) -> Outcome:
        outcome = Outcome(schedule)
        self._succession = None
        label = f"s{schedule.seed % 3}-{self.owner.name}"
        subject = Subject(label, History(label))
        log = LogReader(self._log_of(self.owner.name, label), label)
        began = time.monotonic()
        others_before = [len(traffic.history.answers) for traffic, _ in self.others]
        agent_log = self.platform.paths.log / "agent.log"
        logged_before = agent_log.stat().st_size
        traffic = Traffic(
            subject.history, host=f"{label}.{self.platform.domain}", port=self.platform.http_port, seed=schedule.seed
        )
        try:
            if schedule.logger:
                await self.logger.replace(schedule.logger)
            for number, stage in enumerate(schedule.stages):
                outcome.violations += await self._play_stage(stage, schedule.stages[number + 1 :], subject)
            if self.agent.has_faults:  # not hit; it shall not be hit by the check
                await self.agent.replace()
            outcome.violations += await self._converge(subject, log, outcome)
            if subject.exists:
                outcome.violations += await self._do(Deed.DELETE, subject)
                outcome.violations += await self._converge(subject, log, outcome)
        finally:
            await traffic.end()
            if outcome.violations:
                await self._clean_up(subject)
        outcome.violations += subject.history.complaints()
        outcome.violations += self._others_complaints(others_before)
        outcome.violations += dict.fromkeys(self.agent.complaints + self.logger.complaints)
        self.agent.complaints, self.logger.complaints = [], []
        with agent_log.open() as opened:
            opened.seek(logged_before)
            outcome.violations += [f"the agent says: {line.strip()}" for line in opened if TASK_FAULT in line]
        answered = [
            traffic.history.answers[before:] for (traffic, _), before in zip(self.others, others_before, strict=True)
        ]
        outcome.requests = len(subject.history.answers) + sum(map(len, answered))
        outcome.took_s = time.monotonic() - began
        return outcome

    async def _play_stage(self, stage: Stage, later: Sequence[Stage], subject: Subject) -> list[str]:
        faults = [fault for fault in (stage.fault, stage.recovery) if fault]
        if later and not later[0].is_asleep and later[0].fault:
            faults.append(later[0].fault)  # armed in the successor already, if this stage's faults make one
        if stage.is_asleep or stage.fault is not self._succession or self.agent.will_expect(stage.fault):
            between = (lambda: self._put_to_sleep(subject)) if stage.is_asleep else None
            await self.agent.replace(*(faults or [None]), between=between)
        self._succession = later[0].fault if faults and later and later[0].fault is faults[-1] else None
        if not stage.is_hasty:
            await self._until_agent_answers()
        found = []
        for deed in stage.deeds:
            found += await self._do(deed, subject)
        end = time.monotonic() + _FIRE_S
        while self.agent.expects(stage.fault, stage.recovery) and time.monotonic() < end:
            await asyncio.sleep(_STEP_S)
        return found

    async def _do(self, deed: Deed, subject: Subject) -> list[str]:
        """Do it through the API as a user would; returns what is wrong with the answer."""
        try:
            return await _DEEDS[deed](self, subject)
        except httpx.HTTPError as error:
            return [f"{deed.value}: the API did not answer: {error!r}"]

    # -- deeds

    async def create(self, subject: Subject) -> list[str]:
        subject.history.end_silence(time.monotonic())
        subject.version += 1
        subject.exists, subject.enabled, subject.is_broken = True, True, False
        body = {"domain_name": self._domain(subject), "enabled": True, "webapp": {"command": subject.command}}
        return self._note_change(subject, "create", await self.api.post("websites/", json=body), expected=201)

    async def change(self, subject: Subject) -> list[str]:
        subject.history.end_silence(time.monotonic())
        subject.version += 1
        subject.enabled, subject.is_broken = True, False
        body = {"enabled": True, "webapp": {"command": subject.command}}
        return self._note_change(subject, "change", await self.api.patch(self._path(subject), json=body), expected=200)

    async def break_(self, subject: Subject) -> list[str]:
        if (
            not subject.history.is_back()
        ):  # killed a moment ago: there is no run that a failed deploy could leave serving
            subject.history.end_duty(time.monotonic())
        subject.is_broken = True
        response = await self.api.patch(self._path(subject), json={"webapp": {"command": subject.command}})
        if response.status_code != 200:
            return [f"break: {response.status_code} {response.text[:200]}"]
        return []

    async def disable(self, subject: Subject) -> list[str]:
        subject.history.end_duty(time.monotonic())
        subject.enabled = False
        response = await self.api.patch(self._path(subject), json={"enabled": False})
        if response.status_code != 200:
            return [f"disable: {response.status_code} {response.text[:200]}"]
        webapp = response.json()["webapp"]
        if webapp["state"] == "disabled" and webapp["deploy"]["phase"] == "done":
            subject.history.begin_silence(time.monotonic())
        return []

    async def delete(self, subject: Subject) -> list[str]:
        subject.history.end_duty(time.monotonic())
        subject.exists = False
        response = await self.api.delete(self._path(subject))
        return [] if response.status_code == 204 else [f"delete: {response.status_code} {response.text[:200]}"]

    async def recreate(self, subject: Subject) -> list[str]:
        return [*await self.delete(subject), *await self.create(subject)]

    async def reload(self, subject: Subject) -> list[str]:
        seen = subject.history.runs_seen()
        response = await self.api.post(f"{self._path(subject)}reload/")
        if response.status_code == 200:
            subject.history.retired.append((time.monotonic(), seen))
        return (
            [] if response.status_code in (200, 202, 503) else [f"reload: {response.status_code} {response.text[:200]}"]
        )

    async def two_reloads(self, subject: Subject) -> list[str]:
        first, second = await asyncio.gather(self.reload(subject), self.reload(subject))
        return first + second

    async def delete_amid_reload(self, subject: Subject) -> list[str]:
        reload = asyncio.create_task(self.api.post(f"{self._path(subject)}reload/"))
        await asyncio.sleep(0.05)
        found = await self.delete(subject)
        await reload  # however it ends: its website is gone
        return found

    async def crash(self, subject: Subject) -> list[str]:
        self._kill_processes(subject)
        return []

    async def tenant(self, subject: Subject) -> list[str]:
        """As the panel does it, which repeats what was not acknowledged."""
        name, epoch = f"t{time.monotonic_ns() % 10**9}", int(time.time())
        spec = {"name": name, "version": {"epoch": epoch, "revision": 1}}
        found = await self._repeat("PUT", name, spec)
        return found + await self._repeat("DELETE", name, {"name": name, "version": {"epoch": epoch, "revision": 2}})

    async def _repeat(self, method: str, name: str, message: dict[str, object]) -> list[str]:
        end = time.monotonic() + CONVERGE_S
        last = ""
        while time.monotonic() < end:
            try:
                response = await self._sockets["panel"].request(method, f"/tenants/{name}", json=message)
                if response.status_code == 200:
                    return []
                last = f"{response.status_code} {response.text[:200]}"
            except httpx.HTTPError as error:
                last = repr(error)
            await asyncio.sleep(_STEP_S)
        return [f"{method} of a tenant was not acknowledged within {CONVERGE_S:g} s: {last}"]

    def _note_change(self, subject: Subject, what: str, response: httpx.Response, *, expected: int) -> list[str]:
        """From here on a website that the API calls running must run, and be this version."""
        if response.status_code != expected:
            return [f"{what}: {response.status_code} {response.text[:200]}"]
        now, webapp = time.monotonic(), response.json()["webapp"]
        if webapp["state"] == "running" and webapp["deploy"]["phase"] in ("draining", "done"):
            subject.history.versions.append((now, subject.version))
            subject.history.begin_duty(now)
        return []

    def _put_to_sleep(self, subject: Subject) -> None:
        self._kill_processes(subject)

    def _kill_processes(self, subject: Subject) -> None:
        """All of them at once, as the end of the machine does. A broken website does not come back from that."""
        records = [each for each in self._run_records() if each["website"] == self._domain(subject)]
        cgroups = [f"{self._cgroup_of(each['number'])}/{each['run']}" for each in records]
        death = Span(time.monotonic())
        subject.history.deaths.append(death)
        if subject.is_broken:
            subject.history.end_duty(death.since)
        for pid in [pid for each in cgroups for pid in cgroup.processes(each)]:
            with contextlib.suppress(ProcessLookupError):
                _kill(pid)
        death.until = time.monotonic()

    # -- the checker

    async def _converge(self, subject: Subject, log: LogReader, outcome: Outcome) -> list[str]:
        """What is still wrong after CONVERGE_S, or nothing as soon as nothing is."""
        began = time.monotonic()
        found: list[str] = []
        while True:
            before, found = found, await self._differences(subject, log, began)
            took_s = time.monotonic() - began
            if not found or took_s > CONVERGE_S:
                if took_s > outcome.converged_s:
                    outcome.converged_s, outcome.last_difference = took_s, "; ".join(before)
                if not found and subject.exists and subject.enabled and not subject.is_broken:
                    subject.history.begin_duty(time.monotonic())
                return [f"after {CONVERGE_S:g} s: {each}" for each in found]
            await asyncio.sleep(_STEP_S)

    async def _differences(self, subject: Subject, log: LogReader, before: float) -> list[str]:
        try:
            found = await self._report_differences(subject)
        except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
            return [f"the agent or the API does not answer: {error!r}"]
        return found + self._log_differences(subject, log, before)

    async def _report_differences(self, subject: Subject) -> list[str]:
        domain = self._domain(subject)
        reports = {each["domain_name"]: each for each in (await self._root("/websites"))["websites"]}
        panel = await self._root(f"/websites/www.{self.platform.domain}")
        serving = {each["run"] for each in (*reports.values(), panel) if each["run"]}
        found = self._machine_differences(serving)
        row = await self.api.get(self._path(subject))
        answer = await self._visit(domain)
        report = reports.get(domain)
        if not subject.exists:
            if row.status_code != 404:
                found.append(f"the API still shows the deleted website: {row.status_code}")
            if report is not None:
                found.append(f"the agent still has the deleted website: {report['state']}")
            if answer.status != 404:
                found.append(f"a visitor of the deleted website meets {answer}")
            return found
        if row.status_code != 200:
            return [*found, f"the API lost the website: {row.status_code} {row.text[:100]}"]
        shown = row.json()
        if (shown["enabled"], shown["webapp"]["command"]) != (subject.enabled, subject.command):
            found.append(f"the API lost an acknowledged change: {shown['enabled']}, {shown['webapp']['command']}")
        if report is None:
            return [*found, "the agent does not know the website"]
        return found + _state_differences(subject, report, answer)

    def _machine_differences(self, serving: set[str]) -> list[str]:
        """Runs and tenants of which something is on this machine, against those that should be."""
        numbers = {str(PANEL_NUMBER)}
        numbers |= {str(json.loads(file.read_text())["number"]) for file in self.platform.paths.tenants.glob("*.json")}
        found = []
        for place, runs in self._runs_left().items():
            if runs - serving:
                found.append(f"{place} left of runs that do not serve: {', '.join(sorted(runs - serving))}")
            if serving - runs:
                found.append(f"{place} missing of serving runs: {', '.join(sorted(serving - runs))}")
        for place, tenants in self._tenants_left().items():
            if tenants - numbers:
                found.append(f"{place} left of removed tenants: {', '.join(sorted(tenants - numbers))}")
        return found

    def _runs_left(self) -> dict[str, set[str]]:
        paths = self.platform.paths
        cgroups = {(tenant, run) for tenant in self._tenant_cgroups() for run in cgroup.children(tenant)}
        return {
            "bundles": _names(paths.runs),
            "FIFOs": _names(paths.streams),
            "runc's states": _names(paths.run / "runc"),
            "cgroups": {run for _, run in cgroups},
            "processes": {run for tenant, run in cgroups if cgroup.processes(f"{tenant}/{run}")},
            "socket directories": {run for tenant in paths.sockets.iterdir() for run in _names(tenant)},
        }

    def _tenants_left(self) -> dict[str, set[str]]:
        paths, prefix = self.platform.paths, f"h{self._installation.id}"
        mounts = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        return {
            "cgroups": {path.rpartition("/")[2] for path in self._tenant_cgroups()},
            "mounts": {Path(place).name for place in mounts if Path(place).parent == paths.sockets},
            "socket directories": _names(paths.sockets),
            "interfaces": {name[len(prefix) :] for name in os.listdir("/sys/class/net") if name.startswith(prefix)},
            "account files": _names(paths.run / "accounts"),
        }

    def _log_differences(self, subject: Subject, log: LogReader, before: float) -> list[str]:
        """Of what was answered `before`: a line may be on its way."""
        unheld = self._unheld_until()
        found = log.complaints([each for each in subject.history.answers if unheld < each.ended < before])
        for traffic, reader in self.others:
            found += reader.complaints([answer for answer in traffic.history.answers if answer.ended < before])
        return found

    def _unheld_until(self) -> float:
        """When agent and logger were dead at once last: then a run that ends too takes what is in its pipes along."""
        gaps = [(one, other) for one in self.agent.gaps for other in self.logger.gaps]
        return max(
            (min(one.until, other.until) for one, other in gaps if one.since < other.until and other.since < one.until),
            default=0.0,
        )

    def _others_complaints(self, before: list[int]) -> list[str]:
        """Of the answers since `before`, so that each is held against one schedule."""
        found = []
        for (traffic, _), count in zip(self.others, before, strict=True):
            full = traffic.history
            recent = History(full.label, answers=full.answers[count:], duties=full.duties)
            found += [f"another website, {each}" for each in recent.complaints()]
        return found

    # -- looking

    async def _visit(self, domain: str) -> Answer:
        answer = Answer(began=time.monotonic(), ended=0.0, request_id="-")
        url = f"http://127.0.0.1:{self.platform.http_port}/"
        response = await self._visitor.get(url, headers={"Host": domain})
        answer.status, answer.ended = response.status_code, time.monotonic()
        if answer.status == 200:
            answer.word = response.json()["word"]
        return answer

    async def _root(self, path: str) -> dict[str, list[dict[str, str]]]:
        response = await self._sockets["root"].get(path)
        response.raise_for_status()
        return response.json()

    async def _until_agent_answers(self) -> None:
        end = time.monotonic() + CONVERGE_S
        while time.monotonic() < end:
            with contextlib.suppress(httpx.HTTPError, OSError):
                await self._root("/health")
                return
            await asyncio.sleep(_STEP_S)

    def _run_records(self) -> list[dict[str, object]]:
        records = []
        for file in self.platform.paths.runs.glob("*/run.json"):
            with contextlib.suppress(OSError, ValueError):
                records.append(json.loads(file.read_text()))
        return records

    @property
    def _installation(self) -> Installation:
        return parse(Installation, json.loads(self.platform.paths.installation_file.read_text()))

    def _cgroup_of(self, number: int) -> str:
        return self._installation.cgroup_of(number)

    def _tenant_cgroups(self) -> list[str]:
        return [f"{tree}/{number}" for tree in self._installation.cgroups for number in cgroup.children(tree)]

    def _domain(self, subject: Subject) -> str:
        return f"{subject.label}.{self.platform.domain}"

    def _path(self, subject: Subject) -> str:
        return f"websites/{self._domain(subject)}/"

    def _log_of(self, username: str, label: str) -> Path:
        return self.platform.paths.site_logs / username / f"{label}.{self.platform.domain}.server.log"

    # -- after a violation

    async def _clean_up(self, subject: Subject) -> None:
        """What one schedule left must not be held against the next."""
        with contextlib.suppress(httpx.HTTPError):
            await self.api.delete(self._path(subject))
        await self._until_agent_answers()
        with contextlib.suppress(httpx.HTTPError, OSError, ValueError):
            reports = (await self._root("/websites"))["websites"]
            panel = await self._root(f"/websites/www.{self.platform.domain}")
            serving = {each["run"] for each in (*reports, panel)}
            await asyncio.to_thread(self._remove_all_but, serving)

    def _remove_all_but(self, serving: set[str]) -> None:
        paths = self.platform.paths
        for tenant in self._tenant_cgroups():
            cgroup.kill_trees(f"{tenant}/{run}" for run in cgroup.children(tenant) if run not in serving)
        for directory in (paths.runs, paths.streams, paths.run / "runc", *paths.sockets.iterdir()):
            for name in _names(directory) - serving:
                shutil.rmtree(directory / name, ignore_errors=True)


ALL_PLACES = (*PLACES, *RECOVERY_PLACES, *LOGGER_PLACES)
# Without any fault: a change that fails, which the version before must outlive.
CHANGE_FOR_THE_WORSE = Schedule(seed=0, stages=(Stage(deeds=(Deed.CREATE, Deed.BREAK)),))
_NO_POOL = httpx.Limits(max_keepalive_connections=0)
_DEEDS = {
    Deed.CREATE: Arena.create,
    Deed.CHANGE: Arena.change,
    Deed.RELOAD: Arena.reload,
    Deed.TWO_RELOADS: Arena.two_reloads,
    Deed.BREAK: Arena.break_,
    Deed.DISABLE: Arena.disable,
    Deed.ENABLE: Arena.change,
    Deed.DELETE: Arena.delete,
    Deed.DELETE_AMID_RELOAD: Arena.delete_amid_reload,
    Deed.RECREATE: Arena.recreate,
    Deed.CRASH: Arena.crash,
    Deed.TENANT: Arena.tenant,
}


def _state_differences(subject: Subject, report: dict, answer: Answer) -> list[str]:
    """Of a website that the agent knows."""
    state, phase = report["state"], report["deploy"]["phase"]
    if not subject.enabled:
        is_right = state == "disabled" and answer.status not in (200, 0)
        return [] if is_right else [f"disabled, but the agent says {state} and a visitor meets {answer}"]
    if subject.is_broken:
        is_serving = state == "running" and answer.status == 200 and phase == "failed"
        is_right = is_serving or (not subject.history.has_duty and state in ("failed", "backing_off"))
        return [] if is_right else [f"broken: the agent says {state}, {phase}, and a visitor meets {answer}"]
    is_right = (state, phase, answer.word) == ("running", "done", f"{subject.label}-v{subject.version}")
    return [] if is_right else [f"version {subject.version}: the agent says {state}, {phase}; a visitor meets {answer}"]


def _kill(pid: int) -> None:
    """And wait for its end: for some milliseconds its socket goes on accepting."""
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], 1.0)
    finally:
        os.close(pidfd)


def _recorded(platform: Platform, part: str) -> dict:
    """As the supervisor wrote it down: its successor knows a part by its command line."""
    return json.loads((platform.paths.supervisor / f"{part}.json").read_text())


def _names(directory: Path) -> set[str]:
    return {entry.name for entry in directory.iterdir()} if directory.is_dir() else set()


@contextlib.asynccontextmanager
async def arena(platform: Platform, users: Sequence[User], agent: Sequence[str] | None = None) -> AsyncIterator[Arena]:
    """`users[0]` owns the websites of the schedules; each of `users` has one that nothing is done to."""
    labels = [(user, f"steady-{user.name}") for user in users]
    for user, label in labels:
        await asyncio.to_thread(_start_steady, platform, user, label)
    made = Arena(platform, users[0], agent)
    await made.begin(labels)
    try:
        yield made
    finally:
        await made.end()


def _start_steady(platform: Platform, user: User, label: str) -> None:
    with platform.api(user) as api:
        if api.get(f"websites/{label}.{platform.domain}/").status_code == 200:
            return
    script = (SITES / "witness.py").read_text()
    platform.hostel("shell", user.name, "--", "bash", "-c", "cat > witness.py", stdin=script)
    created = platform.create(user, label, f"exec python3 witness.py {label}-v1")
    assert created.json()["webapp"]["state"] == "running", created.text


def table(hits: Counter[str]) -> str:
    """How often each place was hit."""
    width = max(map(len, ALL_PLACES))
    return "\n".join(f"{place:<{width}}  {hits[place]:>5}" for place in ALL_PLACES)
