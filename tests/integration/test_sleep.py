"""Websites that nobody uses sleep, and wake for whoever comes: frozen with their memory in the swap, or ended."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from live import Platform, User, answering
from sleepers import TALKING, Site, open_websocket, told
from swap import enough_swap
from waiting import until

AFTER_S = 1
MONITOR = {"User-Agent": "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"}
WORKING = "import threading\ndef work():\n    while True: pass\nthreading.Thread(target=work, daemon=True).start()\n"


@pytest.fixture(scope="module", autouse=True)
def _swap() -> Iterator[None]:
    with enough_swap(256):
        yield


@pytest.fixture(scope="module")
def nora(platform: Platform) -> User:
    user = platform.add_user_with_server("nora")
    platform.hostel("user", "limits", "nora", f"site_sleep_after_s={AFTER_S}")
    return user


@pytest.fixture(scope="module")
def hibernating(platform: Platform, nora: User) -> Iterator[dict[str, Site]]:
    """Five websites that fall asleep side by side, by what each is for."""
    labels = {"back": "nora", "reload": "r-nora", "disable": "d-nora", "crash": "c-nora", "delete": "x-nora"}
    sites = {what: Site(platform, nora, label).create("hibernate") for what, label in labels.items()}
    for each in sites.values():
        each.first = each.get()
    yield {what: each.until_asleep() for what, each in sites.items()}
    for what in sites.keys() - {"delete"}:
        assert sites[what].call("DELETE").status_code == 204


def test_a_frozen_website_goes_on_as_it_was_and_monitors_leave_it_alone(
    platform: Platform, hibernating: dict[str, Site]
) -> None:
    site = hibernating["back"]
    until(site.is_in_swap, "its memory is in the swap")
    with platform.visitor() as client:
        told = client.get(platform.url(site.label), headers=MONITOR)
    assert (told.status_code, told.headers["hostel-state"]) == (200, "asleep")
    assert site.state == "asleep"
    checks = json.loads(platform.hostel("doctor", "--json", check=False).stdout)
    assert [check["status"] for check in checks if check["name"] == "sleep"] == ["ok"]
    assert platform.shell("nora", "echo a console is not frozen") == "a console is not frozen\n"
    assert site.get() == site.first, "the same process, and all it knew"
    assert site.status()["stays_awake"] is None
    until(site.until_asleep().is_in_swap, "what it has used since is there too")
    assert site.get() == site.first, "with what it used the last time, which is fetched first"


def test_a_frozen_website_is_reloaded(hibernating: dict[str, Site]) -> None:
    site = hibernating["reload"]
    assert site.call("POST", "reload/").json()["status"] == "OK"
    assert site.get()["run"] != site.first["run"]


def test_a_frozen_website_is_disabled_and_enabled(hibernating: dict[str, Site]) -> None:
    site = hibernating["disable"]
    pid = site.pid
    assert site.call("PATCH", enabled=False).json()["webapp"]["state"] == "disabled"
    until(lambda: not os.path.exists(f"/proc/{pid}"), "its processes are gone")
    assert site.call("PATCH", enabled=True).json()["webapp"]["state"] == "running"
    assert site.get()["run"] != site.first["run"]


def test_a_frozen_website_that_is_killed_is_started_by_the_next_visitor(hibernating: dict[str, Site]) -> None:
    site = hibernating["crash"]
    os.kill(site.pid, signal.SIGKILL)  # on version 1 of cgroups it ends when it is thawed
    assert site.get()["run"] != site.first["run"]


def test_a_frozen_website_is_deleted(platform: Platform, hibernating: dict[str, Site]) -> None:
    site = hibernating["delete"]
    pid = site.pid
    assert site.call("DELETE").status_code == 204
    until(lambda: not os.path.exists(f"/proc/{pid}"), "its processes are gone")
    assert platform.get(site.label).status_code == 404


def test_one_that_works_or_talks_stays_awake_and_an_idle_one_is_ended(
    platform: Platform, nora: User, hibernating: dict[str, Site]
) -> None:
    platform.hostel("shell", "nora", "--", "bash", "-c", "cat > talking.py", stdin=TALKING)
    platform.hostel("shell", "nora", "--", "bash", "-c", "(cat; cat answer.py) > working.py", stdin=WORKING)
    talking = Site(platform, nora, "t-nora").create("stop", "python3 talking.py")
    working = Site(platform, nora, "w-nora").create("stop", "python3 working.py")
    connection = open_websocket(platform, talking.label)
    idle = Site(platform, nora, "s-nora").create("stop")  # after them: they are looked at at least as often
    try:
        idle.first = idle.get()
        idle.until_asleep()
        assert idle.status()["run"] is None
        assert [talking.state, working.state] == ["running", "running"]
        connection.close()
        talking.until_asleep()
        assert idle.get()["run"] != idle.first["run"]
        frozen_pid = hibernating["back"].until_asleep().pid
        platform.hostel("user", "suspend", "nora")
        until(lambda: not os.path.exists(f"/proc/{frozen_pid}"), "of a suspended user nothing is left, frozen or not")
        platform.hostel("user", "resume", "nora")
        until(lambda: talking.state != "suspended", "nora is back")
        assert talking.state == "asleep", "who resumes starts nothing that need not run"
    finally:
        connection.close()
        for each in (talking, working, idle):
            each.call("DELETE")


def test_those_that_wait_for_their_start_are_not_started_twice(platform: Platform, nora: User) -> None:
    platform.shell("nora", "rm -f slow")
    command = f"[ -e slow ] && sleep 1.5; exec {answering()}"
    sites = [Site(platform, nora, f"q{number}-nora").create("stop", command) for number in range(4)]
    try:
        for each in sites:
            each.until_asleep()
        platform.shell("nora", "touch slow")  # two starts of one user go on at once: the others wait
        wake_together(platform, sites)
        until(lambda: "starting" in [each.state for each in sites], "the first of them start")
        wake_together(platform, sites)
        for each in sites:
            assert each.get()
        for each in sites:
            each.until_asleep()  # which none is while anything of it is to be done
        ready = [line["website"].partition(".")[0] for line in told(platform, "sandbox ready")]
        assert [ready.count(each.label) for each in sites] == [2, 2, 2, 2]
    finally:
        for each in sites:
            assert each.call("DELETE").status_code == 204


def wake_together(platform: Platform, sites: list[Site]) -> None:
    """As the edge asks for it, all in the same instant."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in sites]
        for connection in connections:
            connection.connect(str(platform.paths.agent_for_edge / "agent.sock"))
        for connection, site in zip(connections, sites, strict=True):
            path = f"/wake/{site.label}.{platform.domain}"
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\n\r\n".encode())
        for connection in connections:
            assert b" 20" in connection.recv(1000)
