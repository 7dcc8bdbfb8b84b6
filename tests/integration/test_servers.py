"""The servers people use, on one small account: their deaths, reloads, broken deploys, and the limits of memory."""

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from live import ANSWER, Platform, User, answering, running
from load import Account, Load, under
from servers import SERVERS, install, put
from waiting import until

SITE_MEMORY_MB = 256
APPETITE_MB = 180
DEADLINE_S = 30.0
CGROUPS = Path("/sys/fs/cgroup")
SERVED_AGAIN_S = 2.0
# One website may use all that its owner may use: during a reload two runs do not fit but for the surge.
SETTINGS = f"""
[limits]
site_memory_mb = {SITE_MEMORY_MB}
user_memory_mb = {SITE_MEMORY_MB}
"""
RAISES = 'raise RuntimeError("broken on purpose")\n'


class Broken(NamedTuple):
    command: str
    reason: str
    words: str
    start_deadline_s: float = 30.0


BROKEN = {
    "raises": Broken("venv/bin/uvicorn --uds $DOMAIN_SOCKET raising:asgi", "exited", "exit code 1"),
    "raises-gunicorn": Broken("venv/bin/gunicorn --bind unix:$DOMAIN_SOCKET raising:wsgi", "exited", "exit code 3"),
    "silent": Broken("exec sleep 600", "never_listened", "within 3 seconds", 3.0),
    "port": Broken("python3 -m http.server 8000 --bind 127.0.0.1", "listened_elsewhere", "127.0.0.1:8000"),
    "zero": Broken("exit 0", "exited", "exit code 0"),
}


@pytest.fixture(scope="module")
def small() -> Iterator[Platform]:
    with running(SETTINGS) as small:
        yield small


@pytest.fixture(scope="module")
def grace(small: Platform) -> User:
    user = small.add_user("grace")
    install(small, user)
    put(small, user, "raising.py", RAISES)
    return user


@pytest.fixture(scope="module")
def henry(small: Platform) -> User:
    return small.add_user_with_server("henry")


@pytest.fixture
def site(small: Platform, grace: User) -> Iterator[str]:
    """The label of no website yet; whatever is there afterwards is deleted."""
    yield "grace"
    with small.api(grace) as api:
        api.delete(f"websites/grace.{small.domain}/")
    for name in ("record.txt", "life.txt"):
        (small.paths.homes / "grace" / name).unlink(missing_ok=True)


def create(small: Platform, user: User, label: str, command: str, **webapp: object) -> None:
    created = small.create(user, label, command, **webapp)
    assert created.json()["webapp"]["state"] == "running", created.text


Deed = Callable[[httpx.AsyncClient], Coroutine[object, object, httpx.Response]]


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
    recorded = Counter((small.paths.homes / user.name / "record.txt").read_text().split())
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
            kill(pid)
            # A server that ends with its worker resets what has just connected to it: one request may be lost.
            assert served_again_s(small, site, may_fail=1) < SERVED_AGAIN_S
    kill(first_process(small, site))
    assert served_again_s(small, site, may_fail=0) < SERVED_AGAIN_S
    account, answer = while_loaded(small, grace, site, reload(small, site))
    assert (answer.status_code, answer.json()) == (200, {"status": "OK"}), answer.text
    assert_nothing_was_lost(small, grace, account)


def kill(pid: int) -> None:
    """And wait until its last thread has ended: until then it can accept a request."""
    with contextlib.suppress(ProcessLookupError):  # it ended with a process that was killed before
        pidfd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            assert select.select([pidfd], [], [], 5)[0]
        finally:
            os.close(pidfd)


def served_again_s(small: Platform, label: str, *, may_fail: int) -> float:
    """How long it takes from now until a request has been answered. Each is made once."""
    began = time.monotonic()
    for _ in range(may_fail + 1):
        answer = small.get(label)
        if answer.status_code == 200:
            return time.monotonic() - began
    raise AssertionError(answer.text)


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
def broken_deploys(small: Platform, grace: User) -> dict[str, tuple[Account, httpx.Response]]:
    """Each broken command, deployed to a website of its own that serves well; all at once."""
    put(small, grace, "answer.py", ANSWER.read_text())

    def deploy(name: str) -> tuple[Account, httpx.Response]:
        create(small, grace, f"{name}-grace", answering("--x-id"))
        command, _, _, deadline_s = BROKEN[name]
        broken = change(small, f"{name}-grace", command=command, start_deadline_s=deadline_s)
        return while_loaded(small, grace, f"{name}-grace", broken, rate_per_s=20.0)

    with ThreadPoolExecutor(len(BROKEN)) as pool:
        deploys = dict(zip(BROKEN, pool.map(deploy, BROKEN), strict=True))
    for name in BROKEN:
        small.delete(grace, f"{name}-grace")
    return deploys


@pytest.mark.parametrize("name", BROKEN)
def test_d8_a_broken_deploy_leaves_the_old_version_serving_and_says_why(
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
    """A website at 80 % of its memory, which is all the memory that its owner has: no other run still ends."""
    until(lambda: not traces(small), deadline_s=DEADLINE_S)
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


@pytest.mark.parametrize("way", ["disabled and enabled", "deleted and made again"])
def test_a_website_that_was_gone_has_room_beside_its_run_that_still_ends(
    small: Platform, henry: User, way: str
) -> None:
    serve = f"x = b'x' * ({APPETITE_MB} << 20); exec(open('answer.py').read())"
    command = f'exec python3 -c "{serve}"'
    create(small, henry, "henry", command, buffer_requests=False)
    with socket.create_connection(("127.0.0.1", small.http_port), timeout=30) as visitor, small.api(henry) as api:
        visitor.sendall(f"POST / HTTP/1.0\r\nHost: henry.{small.domain}\r\nContent-Length: 4\r\n\r\nhe".encode())
        until(lambda: small.edge_status("henry")["requests"] == 1, deadline_s=DEADLINE_S)
        if way == "deleted and made again":
            small.delete(henry, "henry")
            create(small, henry, "henry", command)
        else:
            for enabled in (False, True):
                answer = api.patch(f"websites/henry.{small.domain}/", json={"enabled": enabled})
            assert answer.json()["webapp"]["state"] == "running", answer.text
        second = small.get("henry").json()["run"]
        visitor.sendall(b"re")
        answered = visitor.makefile("rb").read()
    small.delete(henry, "henry")
    assert b" 200 OK" in answered
    assert second.encode() not in answered, "the first run had ended before the second came"


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
    life = [line.split() for line in (small.paths.homes / "grace/life.txt").read_text().splitlines()]
    assert [what for what, _ in life] == ["begin", "end", "begin", "end", "begin"], life
    assert life[0][1] == life[1][1] != life[2][1] == life[3][1]


def test_a_website_deleted_during_its_reload_leaves_nothing(small: Platform, grace: User, site: str) -> None:
    for after_s in (0.0, 0.1, 0.25):
        create(small, grace, site, SERVERS["uvicorn"].command)
        assert traces(small)
        asyncio.run(delete_amid_reload(small, grace, site, after_s=after_s))
        assert small.get(site).status_code == 404
        until(lambda: not traces(small), deadline_s=DEADLINE_S)


async def delete_amid_reload(small: Platform, user: User, label: str, *, after_s: float) -> None:
    async with api_of(small, user) as api:
        reloading = asyncio.create_task(reload(small, label)(api))
        await asyncio.sleep(after_s)
        assert (await api.delete(f"websites/{label}.{small.domain}/")).status_code == 204
        assert (await reloading).status_code in (200, 404)


def traces(small: Platform) -> set[str]:
    """What is on the machine of runs and websites but the panel's: bundles, FIFOs, sockets, runc's state, records."""
    paths, panel = small.paths, f"www.{small.domain}"
    panel_run = serving_run(small, "www")
    installation = json.loads(paths.installation_file.read_text())["id"]
    tenants = [each for top in ("", "*/") for each in CGROUPS.glob(f"{top}hostel-{installation}/*") if each.is_dir()]
    places = [*tenants, *paths.sockets.iterdir(), paths.runs, paths.streams, paths.run / "runc"]
    runs = {str(entry) for place in places for entry in place.iterdir() if entry.is_dir()}
    records = {str(file) for file in paths.websites.iterdir() if file.name != f"{panel}.json"}
    return {trace for trace in runs if not trace.endswith(f"/{panel_run}")} | records
