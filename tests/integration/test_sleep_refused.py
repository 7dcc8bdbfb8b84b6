"""An idle website that cannot sleep stays awake and says why; short of memory a machine lets those sleep first that
nobody has used for longest.

Of the platform's machine a part is given: what others use cannot be brought there (tests/other_machine.py).
"""

import contextlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hostel.agent import cgroup
from hostel.agent.idleness import PRESSED_PERCENT, read_pressure
from live import Platform, User, running
from other_machine import APART, memory, without_controller
from sleepers import TALKING, Site, open_websocket, told
from swap import enough_swap
from waiting import until

# Before a server: a child one of whose threads is traced by its parent, and that becomes another program. For that the
# kernel ends the thread and waits, in state D, until the tracer has heard of it. The tracer waits at a FIFO.
STUCK = """
import os, subprocess, sys, threading, time
program = '''
import ctypes, os, threading, time
def be_traced():
    ctypes.CDLL(None).ptrace(0, 0, 0, 0)
    is_traced.set()
    time.sleep(3600)
is_traced = threading.Event()
threading.Thread(target=be_traced).start()
is_traced.wait()
os.execvp("sleep", ["sleep", "3600"])
'''
child = subprocess.Popen([sys.executable, "-c", program])
while open(f"/proc/{child.pid}/stat").read().split()[2] != "D":
    time.sleep(0.01)
def hear_of_it():
    open(os.environ["FIFO"]).read()
    os.waitpid(-1, 0x40000000)
threading.Thread(target=hear_of_it, daemon=True).start()
"""
# Before a server: a child that reads a larger file than the website's limit has room for, again and again, and waits
# for room at most pages. The file is a hole, so that nobody's disk is kept busy.
GREEDY = """
import mmap, os
if os.fork() == 0:
    file = os.open("hole", os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, 96 << 20)
    pages = mmap.mmap(file, 0, prot=mmap.PROT_READ)
    while True:
        for place in range(0, len(pages), 4096):
            pages[place]
"""
# Answers a request when somebody has written to a FIFO.
LATE = """
import os, socket
listening = socket.socket(socket.AF_UNIX)
listening.bind(os.environ["DOMAIN_SOCKET"])
listening.listen()
while True:
    connection, _ = listening.accept()
    if connection.recv(65536):
        open("late").read()
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nlate")
    connection.close()
"""

NO_SWAP = {"SwapTotal": 0, "SwapFree": 0}


@pytest.fixture(scope="module")
def little() -> Iterator[Platform]:
    with enough_swap(256), running("[limits]\nsite_sleep_after_s = 1", started_by=APART) as platform:
        yield platform


@pytest.fixture(scope="module")
def greta(little: Platform) -> User:
    user = little.add_user_with_server("greta")
    for name, script in (("stuck", STUCK), ("greedy", GREEDY)):
        little.in_home("greta", f"(cat; cat answer.py) > {name}.py", stdin=script)
    for name, script in (("talking", TALKING), ("late", LATE)):
        little.in_home("greta", f"cat > {name}.py", stdin=script)
    little.in_home("greta", "mkfifo late heard unheard")
    return user


@pytest.fixture(scope="module")
def quiet(little: Platform, greta: User) -> Site:
    """It sleeps after a second where that can be."""
    site = Site(little, greta, "greta").create("hibernate")
    site.first = site.get()
    return site


@pytest.fixture(scope="module")
def resting(little: Platform, greta: User, quiet: Site) -> tuple[Site, Site]:
    """Two whose own time is not over for long: one that nobody has used since it was made, and one made before it that
    was used since.
    """
    newer, older = (
        Site(little, greta, f"{name}-greta").create("hibernate", sleep_after_s=3600) for name in ("newer", "older")
    )
    quiet.get()
    quiet.until_asleep()  # by then the agent has looked at the two
    newer.first = newer.get()
    return older, newer


def check_of_sleep(platform: Platform) -> dict[str, Any]:
    checks = json.loads(platform.hostel("doctor", "--json", check=False).stdout)
    return dict(next(check for check in checks if check["name"] == "sleep"))


def until_awake_because(site: Site, reason: str, words: str) -> None:
    def is_told() -> bool:
        why = site.status()["stays_awake"] or {"reason": "", "detail": ""}
        return why["reason"] == reason and words in why["detail"]

    until(is_told, f"{site.label} stays awake: {words}")
    assert site.state == "running"


def test_where_there_is_no_swap_a_website_stays_awake_until_there_is(little: Platform, quiet: Site) -> None:
    with memory(little, **NO_SWAP):
        assert quiet.get() == quiet.first
        until_awake_because(quiet, "no_swap", "This machine has no swap")
        tries = len(told(little, "website is idle"))
        until(lambda: len(told(little, "website is idle")) > tries, "its time has come")
        check = check_of_sleep(little)
        assert check["status"] == "warning"
        assert check["message"].startswith("of 1 websites that may hibernate 1 cannot: This machine has no swap")
        assert check["message"].endswith(f"; awake: greta.{little.domain}")
        assert check["hint"].startswith("make swap: ")
        with memory(little, SwapTotal=1 << 20, SwapFree=2 << 10):
            until_awake_because(quiet, "no_swap", "swap has less room left than the website's memory needs")
            assert check_of_sleep(little)["hint"].startswith("make swap: ")
    quiet.until_asleep()
    assert quiet.status()["stays_awake"] is None
    assert quiet.get() == quiet.first


@pytest.mark.skipif(cgroup.is_unified(), reason="version 2 of cgroups freezes without a controller")
def test_where_the_freezer_is_missing_a_website_stays_awake(little: Platform, quiet: Site) -> None:
    with memory(little, **NO_SWAP):
        assert quiet.get() == quiet.first  # and from here on it is awake
        with without_controller(little, "freezer"):
            until_awake_because(quiet, "cannot_freeze", "This machine's kernel cannot freeze a website")
            assert quiet.get() == quiet.first
            assert check_of_sleep(little)["hint"].startswith("hibernation needs cgroups of version 2")


@pytest.mark.usefixtures("resting")  # which takes time, that passes here
def test_one_that_cannot_be_frozen_stays_awake_and_is_tried_again(little: Platform, greta: User, quiet: Site) -> None:
    heard, unheard = (
        Site(little, greta, f"{name}-greta").create("hibernate", f"FIFO={name} exec python3 stuck.py")
        for name in ("heard", "unheard")
    )
    heard.first = heard.get()
    assert quiet.get() == quiet.first
    for each in (heard, unheard):
        until_awake_because(each, "cannot_freeze", "one of its processes waits for something that cannot be")
    check = check_of_sleep(little)
    assert check["status"] == "warning"
    assert "2 cannot: The kernel could not freeze the website within 1 s: one of its processes" in check["message"]
    assert check["message"].endswith(f"; awake: heard-greta.{little.domain}, unheard-greta.{little.domain}")
    assert "state D" in check["hint"]
    tries = len(told(little, "website is idle"))
    until(lambda: len(told(little, "website is idle")) > tries + 1, "both are tried again, just now")
    assert heard.get() == heard.first
    quiet.until_asleep()
    little.in_home("greta", "echo > heard")
    heard.until_asleep()
    assert heard.status()["stays_awake"] is None
    assert heard.get() == heard.first
    pid = unheard.pid
    for each in (heard, unheard):
        assert each.call("DELETE").status_code == 204
    until(lambda: not os.path.exists(f"/proc/{pid}"), "nothing is left of one that could not be frozen")


def test_short_of_memory_those_sleep_first_that_nobody_has_used_for_longest(
    little: Platform, greta: User, resting: tuple[Site, Site]
) -> None:
    older, newer = resting
    late, talking = (
        Site(little, greta, f"{name}-greta").create("stop", f"python3 {name}.py", grace_s=1)
        for name in ("late", "talking")
    )
    with ThreadPoolExecutor() as visitors, contextlib.closing(open_websocket(little, talking.label)) as connection:
        answer = visitors.submit(little.get, late.label)
        until(lambda: late.status()["in_flight"]["requests"], "a request is in flight")
        runs = {site.label: site.status()["run"]["id"] for site in (older, newer, late, talking)}
        greedy = Site(little, greta, "greedy-greta").create("off", "python3 greedy.py", memory_mb=32)
        until(lambda: read_pressure() >= PRESSED_PERCENT, "processes wait for memory")
        assert newer.state == older.state == "running", "want of one user's, who has filled a limit of their own"
        with memory(little, MemAvailable=64 << 10):
            for each in (older, newer):
                each.until_asleep()
            assert {site.label: site.status()["run"]["id"] for site in (older, newer, late, talking)} == runs
            assert late.state == talking.state == "running"
            little.in_home("greta", "echo > late")
            assert answer.result().text == "late"
        idle = [line["website"].partition(".")[0] for line in told(little, "website is idle")]
        assert [label for label in idle if label in runs][:2] == ["older-greta", "newer-greta"]
        assert newer.get() == newer.first
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
    for each in (greedy, late, talking):  # the last two do not heed TERM
        assert each.call("DELETE").status_code == 204
