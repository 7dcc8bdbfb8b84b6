"""How long visitors wait: for a place among the starts, for a slow start, and for another run to end."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from test_deaths import kill_agent, reboot

from live import Platform, User, answering, running
from waiting import until

QUEUED = 8
# Says so in the home if another run of it is still at work.
SINGLE = "exec 9> lock; flock --nonblock 9 || echo overlap >> overlaps; exec python3 answer.py"


@pytest.fixture(scope="module")
def mortal() -> Iterator[Platform]:
    with running() as mortal:
        yield mortal


@pytest.fixture(scope="module")
def lena(mortal: Platform) -> User:
    return mortal.add_user_with_server("lena")


def test_queueing_for_a_place_does_not_use_up_a_visitors_patience(mortal: Platform, lena: User) -> None:
    """One user's websites start two at a time: the last of these begins when the hold clock of the first is over."""
    labels = [f"q{number}-lena" for number in range(QUEUED)]
    mortal.in_home("lena", "touch quick")
    with ThreadPoolExecutor(QUEUED) as pool:
        list(
            pool.map(lambda label: mortal.create(lena, label, f"test -e quick || sleep 3; exec {answering()}"), labels)
        )
        mortal.in_home("lena", "rm quick")
        reboot(mortal)
        mortal.up()
        began = time.monotonic()
        answers = list(pool.map(mortal.get, labels))
        took_s = time.monotonic() - began
        list(pool.map(lambda label: mortal.delete(lena, label), labels))
    assert [answer.status_code for answer in answers] == [200] * QUEUED
    assert took_s > 10.5, "nobody had to wait for long"


def test_visitors_wait_as_long_as_starts_have_taken_also_for_the_next_agent(mortal: Platform, lena: User) -> None:
    mortal.create(lena, "slow-lena", f"sleep 4; exec {answering()}")
    kill_agent(mortal)
    route = mortal.paths.routes / f"slow-lena.{mortal.domain}.json"
    until(lambda: json.loads(route.read_text())["hold_s"] > 3.5 * 4)
    mortal.delete(lena, "slow-lena")


@pytest.fixture
def single(mortal: Platform, lena: User) -> Iterator[str]:
    """The label of a website of which never two runs may be at work."""
    mortal.create(lena, "lena", SINGLE, reload_strategy="replace")
    yield "lena"
    mortal.delete(lena, "lena")
    assert mortal.shell("lena", "cat overlaps || true") == ""


def test_visitors_are_held_while_the_run_that_is_replaced_drains(mortal: Platform, lena: User, single: str) -> None:
    url = f"websites/{single}.{mortal.domain}/reload/"
    with ThreadPoolExecutor(2) as pool, mortal.api(lena) as api:
        slow = pool.submit(mortal.get, single, "/slow?s=12")
        time.sleep(0.3)
        reload = pool.submit(api.post, url)
        until(lambda: not is_running(mortal, single))
        assert mortal.get(single).status_code == 200
        assert (slow.result().status_code, reload.result().json()) == (200, {"status": "OK"})


def is_running(mortal: Platform, label: str) -> bool:
    return bool(mortal.ask_agent("GET", f"/websites/{label}.{mortal.domain}").json()["state"] == "running")


def test_a_change_amid_a_replacement_starts_nothing_beside_what_still_ends(
    mortal: Platform, lena: User, single: str
) -> None:
    url = f"websites/{single}.{mortal.domain}/"
    with ThreadPoolExecutor(2) as pool, mortal.api(lena) as api:
        slow = pool.submit(mortal.get, single, "/slow?s=4")
        time.sleep(0.3)
        reload = pool.submit(api.post, f"{url}reload/")
        until(lambda: not is_running(mortal, single))
        changed = api.patch(url, json={"webapp": {"command": f"{SINGLE} changed"}})
        assert (changed.json()["webapp"]["state"], reload.result().status_code) == ("running", 200)
        assert (mortal.get(single).json()["word"], slow.result().status_code) == ("changed", 200)


def test_enabled_again_at_once_it_waits_for_what_still_ends(mortal: Platform, lena: User, single: str) -> None:
    url = f"websites/{single}.{mortal.domain}/"
    with ThreadPoolExecutor(2) as pool, mortal.api(lena) as api:
        slow = pool.submit(mortal.get, single, "/slow?s=4")
        time.sleep(0.3)
        assert api.patch(url, json={"enabled": False}).json()["webapp"]["state"] == "disabled"
        enabling = pool.submit(api.patch, url, json={"enabled": True})
        until(lambda: mortal.edge_status(single)["held"] == 0 and route_state(mortal, single) == "held")
        assert mortal.get(single).status_code == 200
        assert (enabling.result().json()["webapp"]["state"], slow.result().status_code) == ("running", 200)


def route_state(mortal: Platform, label: str) -> str:
    return str(json.loads((mortal.paths.routes / f"{label}.{mortal.domain}.json").read_text())["state"])


def test_killed_amid_a_replacement_the_next_agent_starts_nothing_beside_it(
    mortal: Platform, lena: User, single: str
) -> None:
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(mortal.get, single, "/slow?s=5")
        time.sleep(0.3)
        reload = pool.submit(mortal.ask_agent, "POST", f"/websites/{single}.{mortal.domain}/reload?wait_s=30")
        until(lambda: not is_running(mortal, single))
        kill_agent(mortal)
        assert mortal.get(single).status_code == 200
        assert slow.result().status_code == 200
        assert reload.exception() is not None
    until(lambda: is_running(mortal, single))
