"""The servers people use, on one small account: their deaths, reloads, broken deploys, and the limits of memory."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from live import ANSWER, Platform, User, answering
from load import Account, Load, under
from servers import SERVERS, install, put

SITE_MEMORY_MB = 256
APPETITE_MB = 180
GONE_S = 15.0
CGROUPS = Path("/sys/fs/cgroup")
START_DEADLINE_S = 6.0
SERVED_AGAIN_S = 2.0
# One website may use all that its owner may use: during a reload two runs do not fit but for the surge.
SETTINGS = f"""
[limits]
start_deadline_s = {START_DEADLINE_S}
site_memory_mb = {SITE_MEMORY_MB}
user_memory_mb = {SITE_MEMORY_MB}
"""
RAISES = 'raise RuntimeError("broken on purpose")\n'


class Broken(NamedTuple):
    command: str
    reason: str
    words: str


BROKEN = {
    "raises": Broken("venv/bin/uvicorn --uds $DOMAIN_SOCKET raising:asgi", "exited", "exit code 1"),
    "raises-gunicorn": Broken("venv/bin/gunicorn --bind unix:$DOMAIN_SOCKET raising:wsgi", "exited", "exit code 3"),
    "silent": Broken("exec sleep 600", "never_listened", f"within {START_DEADLINE_S:g} seconds"),
    "port": Broken("python3 -m http.server 8000 --bind 127.0.0.1", "listened_elsewhere", "127.0.0.1:8000"),
    "zero": Broken("exit 0", "exited", "exit code 0"),
}


@pytest.fixture(scope="module")
def small() -> Iterator[Platform]:
    small = Platform(settings=SETTINGS)
    try:
        small.up()
        yield small
    finally:
        small.remove()


@pytest.fixture(scope="module")
def grace(small: Platform) -> User:
    user = small.add_user("grace")
    install(small, user)
    put(small, user, "raising.py", RAISES)
    return user


@pytest.fixture
def site(small: Platform, grace: User) -> Iterator[str]:
    """The label of no website yet; whatever is there afterwards is deleted."""
    yield "grace"
    with small.api(grace) as api:
        api.delete(f"websites/grace.{small.domain}/")
    small.shell("grace", "rm -f record.txt life.txt")


def create(small: Platform, user: User, label: str, command: str, **webapp: object) -> None:
    created = small.create(user, label, command, **webapp)
    assert created.json()["webapp"]["state"] == "running", created.text


Deed = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


def while_loaded(
    small: Platform, user: User, label: str, deed: Deed, *, rate_per_s: float = 100.0
) -> tuple[Account, httpx.Response]:
    """Do `deed` with the user's API while four visitors come, from a moment before it to a moment after it."""
    host = f"{label}.{small.domain}"
    light = Load(host=host, port=small.http_port, seed=3, clients=4, gap_share=0, pause_share=0, rate_per_s=rate_per_s)

    async def run() -> tuple[Account, httpx.Response]:
        async with under(light) as account, api_of(small, user) as api:
            await asyncio.sleep(0.3)
            answer = await deed(api)
            await asyncio.sleep(0.3)
        return account, answer

    return asyncio.run(run())


def api_of(small: Platform, user: User) -> httpx.AsyncClient:
    base = f"{small.panel_url}api/v1/user/{user.name}/"
    headers = {"Authorization": f"Token {user.token}"}
    return httpx.AsyncClient(base_url=base, headers=headers, verify=small.tls(), timeout=90, trust_env=False)


def reload(small: Platform, label: str) -> Deed:
    return lambda api: api.post(f"websites/{label}.{small.domain}/reload/")


def change(small: Platform, label: str, **webapp: object) -> Deed:
    return lambda api: api.patch(f"websites/{label}.{small.domain}/", json={"webapp": webapp})


def assert_nothing_was_lost(small: Platform, user: User, account: Account) -> None:
    assert account.failed == []
    assert account.total > 20
    recorded = Counter(small.shell(user.name, "cat record.txt").split())
    assert recorded & account.answered == account.answered
    assert max(recorded.values()) == 1


# -- deaths and reloads


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_is_served_again_after_each_death_and_reloads(
    small: Platform, grace: User, site: str, server: str
) -> None:
    create(small, grace, site, SERVERS[server].command)
    if SERVERS[server].has_workers:
        for pid in descendants(first_process(small, site)):
            assert served_again_s(small, site, pid) < SERVED_AGAIN_S
    assert served_again_s(small, site, first_process(small, site)) < SERVED_AGAIN_S
    account, answer = while_loaded(small, grace, site, reload(small, site))
    assert (answer.status_code, answer.json()) == (200, {"status": "OK"}), answer.text
    assert_nothing_was_lost(small, grace, account)


def served_again_s(small: Platform, label: str, pid: int) -> float:
    """Kill a process that serves; how long it takes until a request made then has its answer, without a retry."""
    os.kill(pid, signal.SIGKILL)
    wait_until_dead(pid)
    began = time.monotonic()
    answer = small.get(label)
    assert answer.status_code == 200, answer.text
    return time.monotonic() - began


def wait_until_dead(pid: int) -> None:
    """Until then it could answer the request that is to show what happens after it."""
    deadline = time.monotonic() + 5
    while state_of(pid) not in ("", "Z") and time.monotonic() < deadline:
        time.sleep(0.001)


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""


def first_process(small: Platform, label: str) -> int:
    """The host's pid of PID 1 of the serving run."""
    record = json.loads((small.paths.runs / serving_run(small, label) / "run.json").read_text())
    return int(record["process"]["pid"])


def serving_run(small: Platform, label: str) -> str:
    """Which run visitors get, as the edge has it."""
    return str(json.loads((small.paths.routes / f"{label}.{small.domain}.json").read_text())["run"])


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [each for child in children for each in descendants(child)]


# -- deploys that fail


@pytest.fixture(scope="module")
def broken_deploys(small: Platform, grace: User) -> Iterator[dict[str, tuple[Account, httpx.Response]]]:
    """Each broken command, deployed to a website of its own that serves well; all at once."""
    put(small, grace, "answer.py", ANSWER.read_text())

    def deploy(name: str) -> tuple[Account, httpx.Response]:
        create(small, grace, f"{name}-grace", answering("--x-id"))
        broken = change(small, f"{name}-grace", command=BROKEN[name].command)
        return while_loaded(small, grace, f"{name}-grace", broken, rate_per_s=20.0)

    with ThreadPoolExecutor(len(BROKEN)) as pool:
        deploys = dict(zip(BROKEN, pool.map(deploy, BROKEN), strict=True))
    yield deploys
    for name in BROKEN:
        small.delete(grace, f"{name}-grace")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_deploy_leaves_the_old_version_serving_and_says_why(
    small: Platform, grace: User, broken_deploys: dict[str, tuple[Account, httpx.Response]], name: str
) -> None:
    account, answer = broken_deploys[name]
    webapp = answer.json()["webapp"]
    assert account.failed == []
    assert account.total > 10
    assert (webapp["state"], webapp["deploy"]["phase"]) == ("running", "failed"), answer.text
    assert webapp["deploy"]["reason"] == BROKEN[name].reason
    assert BROKEN[name].words in webapp["deploy"]["detail"]


@pytest.mark.parametrize("name", ["raises", "raises-gunicorn"])
def test_the_answer_shows_the_traceback(broken_deploys: dict[str, tuple[Account, httpx.Response]], name: str) -> None:
    _, answer = broken_deploys[name]
    assert any("broken on purpose" in line for line in answer.json()["webapp"]["deploy"]["stderr"]), answer.text


# -- memory


def hungry(appetite_mb: int) -> str:
    return f"env APPETITE_MB={appetite_mb} {SERVERS['uvicorn'].command}"


def resident_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmRSS"))


@pytest.fixture
def filled(small: Platform, grace: User, site: str) -> str:
    """A website at 80 % of its memory, which is all the memory that its owner has."""
    create(small, grace, site, hungry(APPETITE_MB))
    assert 0.75 < resident_mb(first_process(small, site)) / SITE_MEMORY_MB < 0.85
    return site


def test_a_reload_at_four_fifths_of_the_memory_ends_neither_run(small: Platform, grace: User, filled: str) -> None:
    before = serving_run(small, filled)
    account, answer = while_loaded(small, grace, filled, reload(small, filled))
    assert answer.json() == {"status": "OK"}
    assert serving_run(small, filled) != before
    assert_nothing_was_lost(small, grace, account)


def test_a_new_run_that_needs_too_much_is_ended_and_not_the_serving_one(
    small: Platform, grace: User, filled: str
) -> None:
    before = first_process(small, filled)
    account, answer = while_loaded(small, grace, filled, change(small, filled, command=hungry(2 * SITE_MEMORY_MB)))
    deploy = answer.json()["webapp"]["deploy"]
    assert (deploy["phase"], deploy["reason"]) == ("failed", "out_of_memory"), answer.text
    assert first_process(small, filled) == before
    assert_nothing_was_lost(small, grace, account)


def test_a_website_that_starts_does_not_push_a_serving_one_out_of_memory(
    small: Platform, grace: User, filled: str
) -> None:
    """Both have room in their own limits, not in their owner's: of the two the one that starts must go."""
    before = first_process(small, filled)

    async def create_another(api: httpx.AsyncClient) -> httpx.Response:
        webapp = {"command": hungry(SITE_MEMORY_MB // 2)}
        body = {"domain_name": f"another-grace.{small.domain}", "enabled": True, "webapp": webapp}
        return await api.post("websites/", json=body)

    account, answer = while_loaded(small, grace, filled, create_another)
    small.delete(grace, "another-grace")
    webapp = answer.json()["webapp"]
    assert (webapp["state"], webapp["reason"]) == ("failed", "out_of_memory"), answer.text
    assert first_process(small, filled) == before
    assert_nothing_was_lost(small, grace, account)


# -- other ways to reload


def test_with_the_strategy_replace_two_runs_never_overlap_and_no_request_fails(
    small: Platform, grace: User, site: str
) -> None:
    create(small, grace, site, SERVERS["uvicorn"].command, reload_strategy="replace")

    async def reload_twice(api: httpx.AsyncClient) -> httpx.Response:
        assert (await reload(small, site)(api)).json() == {"status": "OK"}
        return await reload(small, site)(api)

    account, answer = while_loaded(small, grace, site, reload_twice)
    assert answer.json() == {"status": "OK"}
    assert_nothing_was_lost(small, grace, account)
    life = [line.split() for line in small.shell("grace", "cat life.txt").splitlines()]
    assert [what for what, _ in life] == ["begin", "end", "begin", "end", "begin"], life
    assert life[0][1] == life[1][1] != life[2][1] == life[3][1]


def test_a_website_deleted_during_its_reload_leaves_nothing(small: Platform, grace: User, site: str) -> None:
    before = traces(small)
    for moment in range(4):
        create(small, grace, site, SERVERS["uvicorn"].command)
        assert traces(small) != before
        asyncio.run(delete_amid_reload(small, grace, site, after_s=0.1 * moment))
        assert small.get(site).status_code == 404
        deadline = time.monotonic() + GONE_S
        while traces(small) != before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert traces(small) == before


async def delete_amid_reload(small: Platform, user: User, label: str, *, after_s: float) -> None:
    async with api_of(small, user) as api:
        reloading = asyncio.create_task(reload(small, label)(api))
        await asyncio.sleep(after_s)
        assert (await api.delete(f"websites/{label}.{small.domain}/")).status_code == 204
        answer = await reloading
        print(after_s, answer.status_code, answer.text)
        assert answer.status_code < 500


def traces(small: Platform) -> set[str]:
    """What runs and websites leave on the machine: bundles, FIFOs, sockets, runc's state, records, cgroups."""
    paths = small.paths
    installation = json.loads(paths.installation_file.read_text())["id"]
    places = [*paths.sockets.iterdir(), paths.runs, paths.streams, paths.run / "runc", paths.websites]
    places += [each for each in CGROUPS.glob(f"*/*{installation}/*") if each.is_dir()]
    places += [each for each in CGROUPS.glob(f"*{installation}/*") if each.is_dir()]
    return {str(entry) for place in places for entry in place.iterdir() if entry.is_dir() or place == paths.websites}
