"""Everything of the platform may die at any moment: what each death costs, and what it must not."""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

import httpx
import pytest

from hostel.wire.process import ProcessIdentity
from live import Platform, User, answering, running, send_signal, unmount_below
from load import Account, Load, under
from waiting import until

REBOOTED, REBOOTED_LONG = 25, 50


@pytest.fixture(scope="module")
def mortal() -> Iterator[Platform]:
    """A platform of which parts are killed."""
    with running(f"[limits]\nuser_websites = {REBOOTED_LONG + 1}") as mortal:
        yield mortal


@pytest.fixture(scope="module")
def erin(mortal: Platform) -> User:
    return mortal.add_user_with_server("erin")


@pytest.fixture
def site(mortal: Platform, erin: User) -> Iterator[str]:
    """The label of a live website."""
    assert mortal.create(erin, "erin", answering()).json()["webapp"]["state"] == "running"
    yield "erin"
    mortal.delete(erin, "erin")


def agent_answers(mortal: Platform) -> bool:
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.connect(str(mortal.paths.agent_for_root / "agent.sock"))
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        return client.recv(64).startswith(b"HTTP/1.1 200")
    return False


def kill_agent(mortal: Platform) -> None:
    """And wait for the next one."""
    before = mortal.part_pid("agent")
    send_signal(before, signal.SIGKILL)
    until(lambda: mortal.part_pid("agent") not in (0, before) and agent_answers(mortal))


def site_pid(mortal: Platform, label: str) -> int:
    """The host's pid of PID 1 of a website's serving run."""
    run = json.loads(mortal.hostel("website", "show", f"{label}.{mortal.domain}", "--json").stdout)["run"]
    return int(json.loads((mortal.paths.runs / run / "run.json").read_text())["process"]["pid"])


def test_i1_a_site_serves_while_the_agent_is_killed_and_is_adopted(mortal: Platform, erin: User, site: str) -> None:
    before = mortal.get(site).json()
    kill_agent(mortal)
    assert mortal.get(site).json() == before
    with mortal.api(erin) as api:
        shown = api.get(f"websites/{site}.{mortal.domain}/").json()
        assert shown["webapp"]["state"] == "running"
        assert api.post(f"websites/{site}.{mortal.domain}/reload/").json() == {"status": "OK"}
    assert mortal.get(site).json()["run"] != before["run"]


def test_i1_the_agent_killed_amid_reloads_loses_no_request(mortal: Platform, erin: User, site: str) -> None:
    """At any moment of a reload; afterwards exactly one run is left."""
    url = f"{mortal.panel_url}api/v1/user/erin/websites/{site}.{mortal.domain}/reload/"

    async def schedule() -> Account:
        load = Load(host=f"{site}.{mortal.domain}", port=mortal.http_port, seed=2, clients=8, post_share=0)
        headers = {"Authorization": f"Token {erin.token}"}
        async with (
            under(load) as account,
            httpx.AsyncClient(verify=mortal.tls(), headers=headers, timeout=90, trust_env=False) as api,
        ):
            for moment in range(4):
                reload = asyncio.create_task(api.post(url))
                await asyncio.sleep(0.07 * moment)
                await asyncio.to_thread(kill_agent, mortal)
                assert (await reload).status_code in (200, 202, 503)
        return account

    command = answering("--x-id")
    with mortal.api(erin) as api:
        changed = api.patch(f"websites/{site}.{mortal.domain}/", json={"webapp": {"command": command}})
        assert changed.status_code == 200, changed.text
    account = asyncio.run(schedule())
    assert account.failed == []
    assert account.total > 200
    until(lambda: len(runs_of(mortal, site)) == 1)


def runs_of(mortal: Platform, label: str) -> list[Path]:
    return [file for file in mortal.paths.runs.glob("*/run.json") if f'"{label}.' in file.read_text()]


def test_i2_a_killed_site_is_served_again_within_two_seconds(mortal: Platform, site: str) -> None:
    before = mortal.get(site).json()["run"]
    process = ProcessIdentity.of(site_pid(mortal, site))
    process.send(signal.SIGKILL)
    until(lambda: not process.is_alive())  # what reaches it before that is in its hands, and lost with it
    began = time.monotonic()
    answer = mortal.get(site)  # held, not failed
    assert answer.status_code == 200
    assert answer.json()["run"] != before
    assert time.monotonic() - began < 2


def test_whoever_asks_a_killed_panel_waits_for_the_next_one(mortal: Platform, erin: User, site: str) -> None:
    process = ProcessIdentity.of(site_pid(mortal, "www"))
    process.send(signal.SIGKILL)
    until(lambda: not process.is_alive())
    with mortal.api(erin) as api:
        assert api.get(f"websites/{site}.{mortal.domain}/").json()["webapp"]["state"] == "running"


def words_of(text: str) -> str:
    return " ".join(text.split())


def test_a_changed_configuration_is_taken_over_while_everybody_is_served(
    mortal: Platform, erin: User, site: str
) -> None:
    with mortal.api(erin) as api:
        api.patch(f"websites/{site}.{mortal.domain}/", json={"webapp": {"command": answering("--x-id")}})
    file, before = mortal.paths.config_file, {label: site_pid(mortal, label) for label in (site, "www")}
    old = file.read_text()
    changed = old.replace("user_websites", "user_memory_mb = 3000\nuser_websites")

    async def reload() -> Account:
        host = f"{site}.{mortal.domain}"
        async with under(Load(host=host, port=mortal.http_port, seed=5, clients=4, pause_share=0)) as account:
            one = asyncio.create_task(asyncio.to_thread(mortal.hostel, "reload"))
            await asyncio.to_thread(until, lambda: not agent_answers(mortal))
            for said in await asyncio.gather(one, asyncio.to_thread(mortal.hostel, "reload")):  # amid the first
                assert "Agent, logger and panel run with it" in said.stderr
            return account

    try:
        file.write_text(changed)
        assert "was changed since it was taken over" in words_of(mortal.hostel("doctor", check=False).stdout)
        account = asyncio.run(reload())
        assert account.failed == []
        assert account.total > 20
        assert site_pid(mortal, site) == before[site]
        assert site_pid(mortal, "www") != before["www"]
        assert "was changed since" not in words_of(mortal.hostel("doctor", check=False).stdout)
        limits = json.loads(mortal.hostel("user", "limits", erin.name, "--json").stdout)
        assert next(limit["value"] for limit in limits if limit["limit"] == "memory_mb") == 3000
        mortal.hostel("reload")
        after = site_pid(mortal, "www")
        for text, words in (
            ("[limits", "hostel.toml"),
            (f'{old}\n[network]\npool = "10.0.0.0/8"', "cannot be taken over"),
        ):
            file.write_text(text)
            refused = mortal.hostel("reload", check=False)
            assert refused.returncode == 1
            assert words in refused.stderr
        assert site_pid(mortal, "www") == after
    finally:
        file.write_text(old)
        mortal.hostel("reload")


@pytest.mark.parametrize(
    ("is_gone", "outlook"),
    [(False, "the one before goes on"), pytest.param(True, "is tried again every ten seconds", marks=pytest.mark.soak)],
)
def test_a_panel_that_does_not_start_with_a_changed_configuration_is_tried_again_by_the_next_reload(
    mortal: Platform, is_gone: bool, outlook: str
) -> None:
    file, before = mortal.paths.config_file, site_pid(mortal, "www")
    old = file.read_text()
    file.write_text(old.replace("user_websites", "user_memory_mb = 3001\nuser_websites"))
    try:
        with contextlib.closing(sqlite3.connect(mortal.paths.panel / "panel.sqlite3", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            if is_gone:
                send_signal(before, signal.SIGKILL)
            refused = mortal.hostel("reload", check=False)
            assert refused.returncode == 1
            assert "database is locked" in refused.stderr
            assert outlook in refused.stderr
            assert is_gone or site_pid(mortal, "www") == before
        mortal.hostel("reload")
        assert site_pid(mortal, "www") != before
    finally:
        file.write_text(old)
        mortal.hostel("reload")


def test_i2_a_worker_of_nginx_may_die(mortal: Platform, erin: User, site: str) -> None:
    master = mortal.part_pid("edge")
    for pid in children(master):
        send_signal(pid, signal.SIGKILL)
    until(lambda: len(children(master)) >= 1)
    assert mortal.get(site).status_code == 200
    with mortal.api(erin) as api:
        assert api.post(f"websites/{site}.{mortal.domain}/reload/").json() == {"status": "OK"}
    assert mortal.get(site).status_code == 200


def test_i2_after_the_death_of_nginxs_master_no_route_is_stale(mortal: Platform, erin: User, site: str) -> None:
    old = mortal.get(site).json()["run"]
    before = mortal.part_pid("edge")
    send_signal(before, signal.SIGKILL)
    until(lambda: mortal.part_pid("edge") not in (0, before) and mortal.is_up())
    with mortal.api(erin) as api:
        assert api.post(f"websites/{site}.{mortal.domain}/reload/").json() == {"status": "OK"}
    seen = {mortal.get(site).json()["run"] for _ in range(200)}
    assert old not in seen
    assert len(seen) == 1


def test_i2_no_log_line_is_lost_while_the_logger_is_killed(mortal: Platform, erin: User) -> None:
    count = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exec python3 answer.py"
    before = mortal.part_pid("logger")
    with ThreadPoolExecutor(1) as pool:
        created = pool.submit(mortal.create, erin, "lines-erin", count)
        for _ in range(3):
            until(lambda: mortal.part_pid("logger") > 0)
            with contextlib.suppress(ProcessLookupError):
                send_signal(mortal.part_pid("logger"), signal.SIGKILL)
            time.sleep(0.15)
        assert created.result().json()["webapp"]["state"] == "running"
    until(lambda: mortal.part_pid("logger") not in (0, before))
    log = f"/var/log/lines-erin.{mortal.domain}.server.log"
    until(lambda: "listening" in mortal.shell("erin", f"tail -n 1 {log}"))
    assert mortal.shell("erin", f"cat {log}").split("\n")[:20_000] == [f"line {i}" for i in range(20_000)]
    mortal.delete(erin, "lines-erin")


def test_i2_a_killed_supervisor_takes_nothing_along_and_its_successor_adopts(mortal: Platform, site: str) -> None:
    before = mortal.get(site).json()
    parts = {part: mortal.part_pid(part) for part in ("agent", "edge", "logger")}
    send_signal(mortal.supervisor_pid, signal.SIGKILL)
    mortal.forget_supervisor()
    assert mortal.get(site).json() == before
    mortal.up()
    assert {part: mortal.part_pid(part) for part in parts} == parts
    assert mortal.get(site).json() == before


def test_stopped_with_its_agent_dead_the_platform_leaves_nothing(mortal: Platform, site: str) -> None:
    installation = json.loads(mortal.paths.installation_file.read_text())["id"]
    process = ProcessIdentity.of(site_pid(mortal, site))
    assert process.is_alive()
    assert cgroups(installation)
    send_signal(mortal.part_pid("agent"), signal.SIGKILL)
    mortal.down()
    assert not process.is_alive()
    assert not cgroups(installation)
    assert f"{mortal.root}/" not in Path("/proc/self/mountinfo").read_text()
    assert not [name for _, name in socket.if_nameindex() if name.startswith(f"h{installation}")]
    mortal.up()
    assert mortal.get(site).status_code == 200


def cgroups(installation: str) -> list[str]:
    return [
        place for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/*") for place in glob(f"{root}/hostel-{installation}*")
    ]


@pytest.mark.parametrize("sites", [REBOOTED, pytest.param(REBOOTED_LONG, marks=pytest.mark.soak)])
def test_i4_a22_after_a_reboot_the_first_request_to_each_site_succeeds_also_if_all_come_at_once(
    mortal: Platform, erin: User, sites: int
) -> None:
    """And none is started twice."""
    labels = [f"s{number}-erin" for number in range(sites)]
    with ThreadPoolExecutor(4) as pool:
        created = list(pool.map(lambda label: mortal.create(erin, label, answering(label)), labels))
    assert {each.json()["webapp"]["state"] for each in created} == {"running"}
    reboot(mortal)
    agent_log = mortal.paths.log / "agent.log"
    before = agent_log.stat().st_size
    mortal.up()
    with ThreadPoolExecutor(sites) as pool:
        answers = list(pool.map(mortal.get, labels))
    started = Counter(
        event["website"]
        for event in map(json.loads, agent_log.read_text()[before:].splitlines())
        if event["event"] == "sandbox ready" and event["website"] != f"www.{mortal.domain}"
    )
    assert started == {f"{label}.{mortal.domain}": 1 for label in labels}
    assert [answer.status_code for answer in answers] == [200] * sites
    assert [answer.json()["word"] for answer in answers] == labels
    for label in labels:
        mortal.delete(erin, label)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def reboot(mortal: Platform) -> None:
    """What a power cut leaves: no process, nothing in run/, no mounts. (The kernel's cgroups and rules stay here.)"""
    pids = [mortal.supervisor_pid, *(mortal.part_pid(part) for part in ("agent", "edge", "logger"))]
    pids += children(mortal.part_pid("edge"))
    for pid in pids:
        send_signal(pid, signal.SIGKILL)
    mortal.forget_supervisor()
    for file in mortal.paths.runs.glob("*/run.json"):
        process = json.loads(file.read_text())["process"]
        if process:
            with contextlib.suppress(ProcessLookupError):
                send_signal(process["pid"], signal.SIGKILL)
    unmount_below(mortal.root)
    shutil.rmtree(mortal.paths.run)
