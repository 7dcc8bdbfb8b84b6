"""From a seed to a schedule of deeds and faults. Pure: the same seed is the same schedule on every machine."""

import random
from dataclasses import dataclass
from enum import StrEnum


class Deed(StrEnum):
    """What is done to the one website a schedule is about (`TENANT`: to a tenant of its own)."""

    CREATE = "create"
    CHANGE = "change"
    RELOAD = "reload"
    TWO_RELOADS = "two reloads at once"
    BREAK = "change to a command that fails"
    DISABLE = "disable"
    ENABLE = "enable"
    DELETE = "delete"
    DELETE_AMID_RELOAD = "delete amid a reload"
    RECREATE = "delete and create at once"
    CRASH = "kill its processes"
    TENANT = "add and remove a user"


class How(StrEnum):
    KILL = "kill"  # -9
    STOP = "stop"  # SIGSTOP, and SIGCONT after a while


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    place: str
    passes: int = 0
    how: How = How.KILL
    stop_s: float = 0.0
    kill_runc_after_s: float | None = None  # what runc was asked to do is cut short too

    def __str__(self) -> str:
        how = self.how.value if self.how is How.KILL else f"stop for {self.stop_s:.1f} s"
        runc = "" if self.kill_runc_after_s is None else f", runc too after {self.kill_runc_after_s * 1000:.0f} ms"
        return f"{how} at {self.place}{f' (pass {self.passes + 1})' if self.passes else ''}{runc}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Deeds of one agent that is started with `fault` armed; `recovery` is armed in the one after its death."""

    deeds: tuple[Deed, ...]
    fault: Fault | None = None
    recovery: Fault | None = None
    is_asleep: bool = False  # the website's processes are killed while no agent lives, as a reboot does
    is_hasty: bool = False  # the deeds do not wait for the agent's start


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    seed: int
    stages: tuple[Stage, ...]
    logger: Fault | None = None

    def __str__(self) -> str:
        words = []
        for stage in self.stages:
            asleep = "put to sleep, " if stage.is_asleep else ""
            faults = "; ".join(str(fault) for fault in (stage.fault, stage.recovery) if fault)
            words.append(f"{asleep}{', '.join(stage.deeds)} [{faults or 'no fault'}]")
        return " → ".join(words) + (f" | logger: {self.logger}" if self.logger else "")


_STARTING = (Deed.CREATE, Deed.CHANGE, Deed.RELOAD, Deed.ENABLE, Deed.RECREATE)
_SWITCHING = (Deed.CHANGE, Deed.RELOAD)
_ENDING = (Deed.CHANGE, Deed.RELOAD, Deed.DISABLE, Deed.DELETE, Deed.RECREATE)
_REMOVING = (Deed.DELETE, Deed.RECREATE, Deed.DELETE_AMID_RELOAD)
_TENANT = (Deed.TENANT,)

_REMEMBERED = (Deed.CREATE, Deed.CHANGE, Deed.DISABLE, Deed.ENABLE, Deed.DELETE, Deed.RECREATE)

# Every place in the agent that a deed passes, and deeds that surely pass it.
PLACES: dict[str, tuple[Deed, ...]] = {
    "website.want": (Deed.CHANGE, Deed.DISABLE, Deed.ENABLE),
    "website.wake": (),  # by a visitor, once the website is asleep
    "website.deploy.held": (Deed.CREATE, Deed.ENABLE, Deed.RECREATE),
    "website.deploy.accepted": _STARTING,
    "website.switch.remembered": _STARTING,
    "website.switch.published": _STARTING,
    "website.crash.noted": (Deed.CRASH,),
    "website.stop.published": (Deed.DISABLE,),
    "website.stop.dropped": (Deed.DISABLE,),
    "website.remove.published": _REMOVING,
    "website.remove.unlinked": _REMOVING,
    "website.retire.drained": _ENDING,
    "node.put_website.written": (Deed.CREATE, Deed.RECREATE),
    "node.put_tenant.written": _TENANT,
    "node.delete_tenant.released": _TENANT,
    "node.delete_tenant.moved": _TENANT,
    "sandbox.bundled": _STARTING,
    "sandbox.prepared": _STARTING,
    "sandbox.announced": _STARTING,
    "sandbox.started": _STARTING,
    "sandbox.remembered": _STARTING,
    "sandbox.stop.termed": _ENDING,
    "sandbox.remove.deleted": (*_ENDING, Deed.CRASH),
    "sandbox.remove.closed": (*_ENDING, Deed.CRASH),
    "sandbox.remove.unstreamed": (*_ENDING, Deed.CRASH),
    "runc.start.spawned": _STARTING,
    "runc.delete.spawned": (*_ENDING, Deed.CRASH),
    "tenant.release.network": _TENANT,
    "tenant.release.sockets": _TENANT,
    "publication.numbered": _STARTING,
    "publication.drained": _SWITCHING,
    "publish.written": (*_STARTING, *_REMOVING, Deed.DISABLE),
    "publish.pushed": (*_STARTING, *_REMOVING, Deed.DISABLE),
    "streams.made": _STARTING,
    "streams.asked": _STARTING,
}
# Passed by a website that falls asleep or is woken, which none does that has visitors: tests/integration/test_sleep.py
# lets the agent die there.
SLEEP_PLACES = (
    "website.sleep.published",
    "website.sleep.frozen",
    "website.sleep.dropped",
    "website.wake.frozen",
    "website.thawed",
)
# Passed by every agent that starts where something runs.
RECOVERY_PLACES = (
    "tenant.ensure.cgroup",
    "tenant.ensure.home",
    "node.restore.adopted",
    "node.restore.published",
    "node.clean",
    "node.apply.deleted",
)
_OFTEN = {"logger.turn": 20, "logger.moved": 20}  # passed for each line or two
LOGGER_PLACES = ("logger.start", "logger.open", "logger.turn", "logger.moved", "logger.close", "logger.answer")


class _Site(StrEnum):
    ABSENT = "absent"
    ENABLED = "enabled"
    BROKEN = "broken"
    DISABLED = "disabled"


_ALLOWED: dict[_Site, dict[Deed, _Site]] = {
    _Site.ABSENT: {Deed.CREATE: _Site.ENABLED},
    _Site.ENABLED: {
        Deed.CHANGE: _Site.ENABLED,
        Deed.RELOAD: _Site.ENABLED,
        Deed.TWO_RELOADS: _Site.ENABLED,
        Deed.BREAK: _Site.BROKEN,
        Deed.DISABLE: _Site.DISABLED,
        Deed.DELETE: _Site.ABSENT,
        Deed.DELETE_AMID_RELOAD: _Site.ABSENT,
        Deed.RECREATE: _Site.ENABLED,
        Deed.CRASH: _Site.ENABLED,
    },
    _Site.BROKEN: {Deed.CHANGE: _Site.ENABLED, Deed.DISABLE: _Site.DISABLED, Deed.DELETE: _Site.ABSENT},
    _Site.DISABLED: {Deed.ENABLE: _Site.ENABLED, Deed.DELETE: _Site.ABSENT},
}


def plan_schedule(seed: int) -> Schedule:
    """Which places are aimed at goes round with the seed, so that a row of seeds aims at all; the rest is chance."""
    chance = random.Random(seed)
    places = list(PLACES)
    first, second = places[seed % len(places)], places[(seed + len(places) // 2) % len(places)]
    stages: list[Stage] = []
    state = _Site.ABSENT
    for number, place in enumerate((first, second)):
        if place == "website.wake" and state is not _Site.ENABLED:
            deeds, state = _path(chance, state, to=_Site.ENABLED)
            stages.append(Stage(deeds=deeds))
        recovery = None
        if number == 0 and seed % 2 == 0:
            recovery = _fault(chance, RECOVERY_PLACES[seed // 2 % len(RECOVERY_PLACES)])
        stage, state = _stage(chance, place, state, recovery)
        stages.append(stage)
    logger = _fault(chance, LOGGER_PLACES[seed // 2 % len(LOGGER_PLACES)]) if seed % 2 else None
    return Schedule(seed=seed, stages=tuple(stages), logger=logger)


def _stage(chance: random.Random, place: str, state: _Site, recovery: Fault | None) -> tuple[Stage, _Site]:
    deeds: list[Deed] = []
    is_asleep = place == "website.wake" or (state is _Site.ENABLED and chance.random() < 0.15)
    if place != "website.wake":
        deed = chance.choice(PLACES[place])
        if deed is not Deed.TENANT:
            before = [each for each, allowed in _ALLOWED.items() if deed in allowed and _passes(place, deed, each)]
            path, state = _path(chance, state, to=state if state in before else chance.choice(before))
            deeds += path
            state = _ALLOWED[state][deed]
        deeds.append(deed)
    if place != "website.wake" and chance.random() < 0.5:
        more, state = chance.choice(sorted(_ALLOWED[state].items()))
        deeds.append(more)
    stage = Stage(
        deeds=tuple(deeds),
        fault=_fault(chance, place, is_deadly=recovery is not None, sure=_count_passes(place, deeds)),
        recovery=recovery,
        is_asleep=is_asleep,
        # Of several deeds an agent that was away sees the last only, and a reload not at all.
        is_hasty=len(deeds) == 1 and deeds[0] in _REMEMBERED and chance.random() < 0.5,
    )
    return stage, state


def _path(chance: random.Random, state: _Site, *, to: _Site) -> tuple[tuple[Deed, ...], _Site]:
    """Deeds that lead from `state` to `to`, the shortest way."""
    ways: list[tuple[tuple[Deed, ...], _Site]] = [((), state)]
    while True:
        found = [way for way in ways if way[1] is to]
        if found:
            return chance.choice(found)
        ways = [((*deeds, deed), after) for deeds, at in ways for deed, after in sorted(_ALLOWED[at].items())]


def _passes(place: str, deed: Deed, state: _Site) -> bool:
    """Whether `deed` in `state` surely passes `place`: what ends a run needs one."""
    return state is _Site.ENABLED or deed not in _ENDING or not set(_ENDING) <= set(PLACES[place])


def _count_passes(place: str, deeds: list[Deed]) -> int:
    """How often, at least, `deeds` pass `place`."""
    return sum(deed in PLACES[place] for deed in deeds) if set(PLACES[place]) <= set(_STARTING) else 1


def _fault(chance: random.Random, place: str, *, is_deadly: bool = False, sure: int = 1) -> Fault:
    how = How.KILL if is_deadly or chance.random() < 0.65 else How.STOP
    is_runc_cut = place.startswith("runc.") and chance.random() < 0.5
    return Fault(
        place=place,
        passes=chance.randrange(_OFTEN.get(place, max(1, sure))),
        how=how,
        stop_s=round(chance.uniform(0.1, 1.0), 2) if how is How.STOP else 0.0,
        kill_runc_after_s=round(chance.uniform(0.0, 0.05), 3) if is_runc_cut else None,
    )
