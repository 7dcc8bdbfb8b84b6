"""The agent dies, or stands still, while a website falls asleep or wakes: every visitor is answered all the same.

A website that hibernates keeps its run through all of it; of none are there ever two.
"""

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from live import Platform, User, answering, running
from schedule_plan import SLEEP_PLACES, Fault, How
from schedules import Arena, arena
from swap import enough_swap

DEADLINE_S = 30.0
VISITORS = 4
STANDS_STILL_S = 0.6  # longer than a visitor needs to come
FAULTS = (
    *(Fault(place=place) for place in SLEEP_PLACES),
    Fault(place="website.sleep.published", how=How.STOP, stop_s=STANDS_STILL_S),
)


@pytest.fixture(scope="module")
def mortal() -> Iterator[Platform]:
    with enough_swap(256), running("[limits]\nsite_sleep_after_s = 1") as platform:
        yield platform


@pytest.fixture(scope="module")
def ruth(mortal: Platform) -> User:
    user = mortal.add_user_with_server("ruth")
    for label, tier in (("ruth", "hibernate"), ("s-ruth", "stop")):
        assert mortal.create(user, label, answering(), sleep=tier).json()["webapp"]["state"] == "running"
    return user


async def until_hit(playground: Arena, place: str, hits: int, owner: User) -> None:
    """Until the agent has died or stands still at `place`; a visitor wakes what must be woken for that."""
    end = time.monotonic() + DEADLINE_S
    while playground.agent.hits[place] == hits:
        assert time.monotonic() < end, f"not hit: {place}"
        if place in ("website.wake.frozen", "website.thawed") and await state_of(playground, "ruth") == "asleep":
            assert (await visit(playground, "ruth")) is not None
        await asyncio.sleep(0.05)


async def state_of(playground: Arena, label: str) -> str:
    response = await playground.api.get(f"websites/{label}.{playground.platform.domain}/")
    return str(response.json()["webapp"]["state"])


async def visit(playground: Arena, label: str) -> str:
    """The run that answered."""
    response = await asyncio.to_thread(playground.platform.get, label)
    assert response.status_code == 200, f"{label}: {response.status_code} {response.headers}"
    return str(response.json()["run"])


def live_runs(platform: Platform, label: str) -> int:
    records = [json.loads(file.read_text()) for file in platform.paths.runs.glob("*/run.json")]
    return sum(record["website"] == f"{label}.{platform.domain}" for record in records)


def test_i1_whoever_comes_is_answered_whenever_the_agent_dies(mortal: Platform, ruth: User) -> None:
    async def play() -> None:
        async with arena(mortal, [ruth]) as playground:
            first = await visit(playground, "ruth")
            for fault in FAULTS:
                hits = playground.agent.hits[fault.place]
                await playground.agent.replace(fault)
                await until_hit(playground, fault.place, hits, ruth)
                visits = [visit(playground, label) for label in ("ruth", "s-ruth") for _ in range(VISITORS)]
                runs = await asyncio.gather(*visits)
                assert set(runs[:VISITORS]) == {first}, str(fault)
                assert len(set(runs[VISITORS:])) == 1, str(fault)
            assert not playground.agent.complaints

    asyncio.run(play())
    end = time.monotonic() + DEADLINE_S
    while (counts := [live_runs(mortal, label) for label in ("ruth", "s-ruth")]) not in ([1, 1], [1, 0]):
        assert time.monotonic() < end, f"runs left: {counts}"
        time.sleep(0.1)
    assert "fault in a task" not in (mortal.paths.log / "agent.log").read_text()
