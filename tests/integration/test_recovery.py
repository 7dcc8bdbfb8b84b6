"""What once went wrong, or nearly: deeds that cross each other, and deaths between two steps of one."""

import contextlib
import json
import os
import re
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from test_deaths import kill_agent

from hostel.wire.process import ProcessIdentity
from live import AT_PORT, Platform, User, answering, running, send_signal
from waiting import until

FLAKY = "test -e ok && exec python3 answer.py; exit 1"


@pytest.fixture(scope="module")
def mortal() -> Iterator[Platform]:
    with running() as mortal:
        yield mortal


@pytest.fixture(scope="module")
def gina(mortal: Platform) -> User:
    return mortal.add_user_with_server("gina")


def state(mortal: Platform, user: User, label: str) -> dict[str, object]:
    with mortal.api(user) as api:
        return dict(api.get(f"websites/{label}.{mortal.domain}/").json()["webapp"])


def record(mortal: Platform, label: str) -> dict[str, object] | None:
    with contextlib.suppress(FileNotFoundError):
        return dict(json.loads((mortal.paths.websites / f"{label}.{mortal.domain}.json").read_text()))
    return None


def serving_pid(mortal: Platform, label: str) -> int:
    shown = json.loads(mortal.hostel("website", "show", f"{label}.{mortal.domain}", "--json").stdout)
    return int(json.loads((mortal.paths.runs / shown["run"] / "run.json").read_text())["process"]["pid"])


def test_i1_a_site_that_was_backing_off_comes_up_by_itself_after_the_agents_death(mortal: Platform, gina: User) -> None:
    mortal.shell("gina", "touch ok")
    mortal.create(gina, "gina", FLAKY)
    mortal.shell("gina", "rm ok")
    send_signal(serving_pid(mortal, "gina"), signal.SIGKILL)
    until(lambda: mortal.get("gina").status_code == 502)  # so often that visitors are told
    mortal.shell("gina", "touch ok")
    kill_agent(mortal)
    until(lambda: mortal.get("gina").status_code == 200)
    mortal.delete(gina, "gina")


def test_i1_a_site_at_a_port_is_adopted_and_its_next_run_has_another_port(mortal: Platform, gina: User) -> None:
    mortal.hostel("shell", "gina", "--", "bash", "-c", "cat > at_port.py", stdin=AT_PORT.read_text())
    mortal.create(gina, "gina", "exec python3 at_port.py", listens_on="port")
    first, pid = mortal.get("gina").json()["port"], serving_pid(mortal, "gina")
    kill_agent(mortal)
    assert (mortal.get("gina").json()["port"], serving_pid(mortal, "gina")) == (first, pid)
    with mortal.api(gina) as api:
        assert api.post(f"websites/gina.{mortal.domain}/reload/").json() == {"status": "OK"}
    assert mortal.get("gina").json()["port"] != first
    mortal.delete(gina, "gina")


def test_a_site_deleted_while_it_drains_does_not_come_back(mortal: Platform, gina: User) -> None:
    mortal.create(gina, "gina", answering())
    with ThreadPoolExecutor(1) as pool, mortal.api(gina) as api:
        slow = pool.submit(mortal.get, "gina", "/slow?s=3")
        time.sleep(0.3)
        assert api.post(f"websites/gina.{mortal.domain}/reload/").status_code == 200
        mortal.delete(gina, "gina")
        assert slow.result().status_code == 200
    until(lambda: not list(mortal.paths.runs.glob("*/run.json")) or not runs_of(mortal, "gina"))
    assert record(mortal, "gina") is None
    kill_agent(mortal)
    assert mortal.get("gina").status_code == 404


def runs_of(mortal: Platform, label: str) -> list[str]:
    return [each.parent.name for each in mortal.paths.runs.glob("*/run.json") if f'"{label}.' in each.read_text()]


def test_a_replaced_site_deleted_amid_a_slow_request_leaves_the_name_free(mortal: Platform, gina: User) -> None:
    mortal.create(gina, "gina", answering("old"), reload_strategy="replace")
    with ThreadPoolExecutor(2) as pool, mortal.api(gina) as api:
        slow = pool.submit(mortal.get, "gina", "/slow?s=4")
        time.sleep(0.3)
        reload = pool.submit(api.post, f"websites/gina.{mortal.domain}/reload/")
        time.sleep(0.3)
        mortal.delete(gina, "gina")
        assert mortal.create(gina, "gina", answering("new")).json()["webapp"]["state"] == "running"
        assert slow.result().status_code == 200
        reload.result()
    time.sleep(2.0)
    assert mortal.get("gina").json()["word"] == "new"
    assert record(mortal, "gina") is not None
    mortal.delete(gina, "gina")


def test_i1_the_run_of_a_deleted_site_ends_although_the_agent_died(mortal: Platform, gina: User) -> None:
    mortal.create(gina, "gina", answering())
    pid = serving_pid(mortal, "gina")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(mortal.get, "gina", "/slow?s=4")
        time.sleep(0.3)
        mortal.delete(gina, "gina")
        kill_agent(mortal)
        assert slow.result().status_code == 200
    until(lambda: not os.path.exists(f"/proc/{pid}") and not runs_of(mortal, "gina"))


def test_one_tenants_limits_do_not_keep_the_agent_from_starting(mortal: Platform, gina: User) -> None:
    mortal.create(gina, "gina", answering())
    file = mortal.paths.tenants / "gina.json"
    kept = json.loads(file.read_text())
    # Less CPU than its own website has, and less memory than is in use: version 1 of cgroups refuses both.
    file.write_text(json.dumps(kept | {"limits": {"memory_bytes": 1 << 20, "pids": 1024, "cpu": 0.1}}))
    kill_agent(mortal)
    assert mortal.get("gina").status_code == 200
    file.write_text(json.dumps(kept))
    kill_agent(mortal)
    mortal.delete(gina, "gina")


def test_an_edge_that_hangs_amid_a_reload_wedges_nothing(mortal: Platform, gina: User) -> None:
    mortal.create(gina, "gina", answering())
    domain = f"gina.{mortal.domain}"
    stopped = [mortal.part_pid("edge"), *children(mortal.part_pid("edge"))]
    for pid in stopped:
        send_signal(pid, signal.SIGSTOP)
    try:
        answer = mortal.ask_agent("POST", f"/websites/{domain}/reload?wait_s=8")
    finally:
        for pid in stopped:
            send_signal(pid, signal.SIGCONT)
    assert answer.json()["deploy"]["phase"] in ("failed", "starting")
    until(lambda: mortal.get("gina").status_code == 200)
    before = mortal.get("gina").json()["run"]
    with mortal.api(gina) as api:
        until(lambda: api.post(f"websites/{domain}/reload/").json() == {"status": "OK"})
    assert mortal.get("gina").json()["run"] != before
    until(lambda: len(runs_of(mortal, "gina")) == 1, deadline_s=45)
    now = mortal.get("gina").json()["run"]
    kill_agent(mortal)
    assert mortal.get("gina").json()["run"] == now
    mortal.delete(gina, "gina")


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def test_a_site_created_disabled_is_answered_at_once(mortal: Platform, gina: User) -> None:
    body = {"domain_name": f"gina.{mortal.domain}", "enabled": False, "webapp": {"command": answering()}}
    began = time.monotonic()
    with mortal.api(gina) as api:
        created = api.post("websites/", json=body)
        assert created.status_code == 201
        assert (created.json()["webapp"]["state"], created.json()["webapp"]["deploy"]["phase"]) == ("disabled", "done")
        changed = api.patch(f"websites/gina.{mortal.domain}/", json={"webapp": {"command": answering("later")}})
        assert changed.status_code == 200
        assert time.monotonic() - began < 5
        assert mortal.get("gina").status_code == 503
        assert api.patch(f"websites/gina.{mortal.domain}/", json={"enabled": True}).status_code == 200
    assert mortal.get("gina").json()["word"] == "later"
    mortal.delete(gina, "gina")


def test_a_changed_budget_starts_no_new_run(mortal: Platform, gina: User) -> None:
    mortal.create(gina, "gina", answering())
    before = mortal.get("gina").json()["run"]
    with mortal.api(gina) as api:
        changed = api.patch(f"websites/gina.{mortal.domain}/", json={"webapp": {"drain_s": 7}})
        assert changed.status_code == 200
        assert changed.json()["webapp"]["deploy"]["phase"] == "done"
    assert mortal.get("gina").json()["run"] == before
    mortal.delete(gina, "gina")


def test_whoever_gets_a_name_next_sees_no_log_of_who_had_it(mortal: Platform) -> None:
    former = mortal.add_user_with_server("hugo")
    mortal.create(former, "hugo", "echo private >&2; exec python3 answer.py")
    until(lambda: "private" in mortal.shell("hugo", "cat /var/log/hugo.*.error.log"))
    mortal.hostel("user", "remove", "hugo", "--yes")
    mortal.add_user("hugo")
    assert mortal.shell("hugo", "ls /var/log") == ""


def test_metrics_outlast_an_agent_that_ends_in_order_and_a_torn_file_begins_anew(mortal: Platform, gina: User) -> None:
    # Names that no other test has: requests to a website that is just deleted may be counted to the next one.
    for label in ("counted-gina", "torn-gina"):
        mortal.create(gina, label, answering())
        mortal.get(label)

    def seen(label: str) -> int:
        points = mortal.ask_agent("GET", f"/websites/{label}.{mortal.domain}/metrics").json()["points"]
        return sum(point["answered"][0] for point in points)

    until(lambda: (seen("counted-gina"), seen("torn-gina")) == (1, 1))
    before = mortal.part_pid("agent")
    send_signal(before, signal.SIGTERM)
    until(lambda: mortal.part_pid("agent") not in (0, before))
    until(mortal.is_up)
    (mortal.paths.metrics / f"torn-gina.{mortal.domain}").write_bytes(b"metrics1 and no more")
    assert seen("counted-gina") == 1
    assert seen("torn-gina") == 0
    assert "metrics cannot be read and begin anew" in (mortal.paths.log / "agent.log").read_text()
    mortal.get("torn-gina")
    until(lambda: seen("torn-gina") == 1)
    for label in ("counted-gina", "torn-gina"):
        mortal.delete(gina, label)
        assert not (mortal.paths.metrics / f"{label}.{mortal.domain}").exists()


def test_sites_that_never_listen_do_not_keep_others_from_starting(mortal: Platform, gina: User) -> None:
    with ThreadPoolExecutor(9) as pool:
        stuck = [pool.submit(mortal.create, gina, f"s{number}-gina", "sleep 600") for number in range(8)]
        time.sleep(1.0)
        other = mortal.add_user_with_server("ines")
        began = time.monotonic()
        assert mortal.create(other, "ines", answering()).json()["webapp"]["state"] == "running"
        assert time.monotonic() - began < 12
        for number in range(8):
            mortal.delete(gina, f"s{number}-gina")
        for answer in stuck:
            answer.result()
    mortal.delete(other, "ines")


def test_a_half_made_run_leaves_its_owners_memory_limit_as_it_was(mortal: Platform, gina: User) -> None:
    mortal.create(gina, "gina", answering())
    limit = memory_limit(mortal, "gina")
    run = mortal.paths.runs / runs_of(mortal, "gina")[0]
    left = run.with_name("0f0f0f0f0f0f0f")  # what an agent leaves that is killed before it calls runc
    left.mkdir(mode=0o700)
    kept = json.loads((run / "run.json").read_text())
    (left / "run.json").write_text(json.dumps(kept | {"run": left.name, "process": None}))
    kill_agent(mortal)
    until(lambda: not left.exists())
    assert memory_limit(mortal, "gina") == limit
    mortal.delete(gina, "gina")


def memory_limit(mortal: Platform, user: str) -> int:
    """In force for all that the user runs, in whichever version of cgroups."""
    installation = json.loads(mortal.paths.installation_file.read_text())["id"]
    number = json.loads((mortal.paths.tenants / f"{user}.json").read_text())["number"]
    place = f"hostel-{installation}/**/{number}/memory.{{}}"
    roots = {"/sys/fs/cgroup/memory": "limit_in_bytes", "/sys/fs/cgroup": "max"}
    found = [each for root, kind in roots.items() for each in Path(root).glob(place.format(kind))]
    return int(found[0].read_text())


def test_no_route_is_stale_after_the_newest_record_was_torn(mortal: Platform, gina: User) -> None:
    """nginx knows a higher number than the next agent finds on disk."""
    mortal.create(gina, "gina", answering())
    route = mortal.paths.routes / f"gina.{mortal.domain}.json"
    with mortal.api(gina) as api:
        for _ in range(8):
            assert api.post(f"websites/gina.{mortal.domain}/reload/").json() == {"status": "OK"}
        route.write_bytes(route.read_bytes()[:40])
        kill_agent(mortal)
        before = mortal.get("gina").json()["run"]
        assert api.post(f"websites/gina.{mortal.domain}/reload/").json() == {"status": "OK"}
    assert mortal.get("gina").json()["run"] != before
    mortal.delete(gina, "gina")


@contextlib.contextmanager
def unwritable(route: Path) -> Iterator[None]:
    """A directory lies where the record of a route belongs."""
    aside = route.with_name(f".{route.name}.aside")
    route.rename(aside)
    route.mkdir()
    try:
        yield
    finally:
        route.rmdir()
        aside.rename(route)


def test_a_route_that_cannot_be_written_changes_no_state(mortal: Platform, gina: User) -> None:
    mortal.create(gina, "off-gina", answering())
    with mortal.api(gina) as api:
        api.patch(f"websites/off-gina.{mortal.domain}/", json={"enabled": False})
    mortal.create(gina, "bad-gina", "exit 3")
    labels = {"off-gina": "disabled", "bad-gina": "failed"}
    with contextlib.ExitStack() as broken:
        for label in labels:
            broken.enter_context(unwritable(mortal.paths.routes / f"{label}.{mortal.domain}.json"))
        kill_agent(mortal)
        time.sleep(2.5)  # it tries once a second
        assert {label: state(mortal, gina, label)["state"] for label in labels} == labels
    time.sleep(1.5)
    assert {label: state(mortal, gina, label)["state"] for label in labels} == labels
    for label in labels:
        mortal.delete(gina, label)


def test_a_replacement_that_cannot_be_told_to_the_edge_leaves_the_old_run_and_only_that(
    mortal: Platform, gina: User
) -> None:
    mortal.create(gina, "gina", answering(), reload_strategy="replace")
    before = mortal.get("gina").json()
    url = f"websites/gina.{mortal.domain}/reload/"
    with mortal.api(gina) as api:
        with unwritable(mortal.paths.routes / f"gina.{mortal.domain}.json"):
            failed = mortal.ask_agent("POST", f"/websites/gina.{mortal.domain}/reload?wait_s=3").json()
            assert (failed["state"], failed["deploy"]["phase"]) == ("running", "failed")
            assert mortal.get("gina").json() == before
        until(lambda: bool(api.post(url).json() == {"status": "OK"}))
    assert mortal.get("gina").json()["run"] != before["run"]
    until(lambda: len(runs_of(mortal, "gina")) == 1)
    mortal.delete(gina, "gina")


@contextlib.contextmanager
def slow_to_take_routes(mortal: Platform, take: Callable[[bytes], bool]) -> Iterator[None]:
    """Between agent and nginx: each route that is pushed goes on only if `take` says so."""
    place = mortal.paths.edge_socket
    nginx = place.with_name("nginx.sock")
    place.rename(nginx)

    class Relay(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:  # an agent that is killed here
                    return
                head += line
            length = re.search(rb"content-length: (\d+)", head.lower())
            body = self.rfile.read(int(length[1])) if length else b""
            if head.startswith(b"PUT /route") and not take(body):
                return
            with socket.socket(socket.AF_UNIX) as onward:
                onward.connect(str(nginx))
                onward.sendall(head + body)
                onward.shutdown(socket.SHUT_WR)
                while data := onward.recv(65_536):
                    self.wfile.write(data)
                    if data.endswith((b"}", b"\n0\r\n\r\n")):
                        return

    with socketserver.ThreadingUnixStreamServer(str(place), Relay) as relay:
        thread = threading.Thread(target=relay.serve_forever)
        thread.start()
        try:
            yield
        finally:
            relay.shutdown()
            thread.join()
            nginx.rename(place)


def test_a_run_is_not_ended_before_visitors_are_sent_to_the_next_one(mortal: Platform, gina: User) -> None:
    """The agent dies between the record of a new run and its route; the next one finds nothing in flight at the old."""
    mortal.create(gina, "gina", answering())
    before = mortal.get("gina").json()
    old = ProcessIdentity.of(serving_pid(mortal, "gina"))
    run = runs_of(mortal, "gina")[0]
    seen: list[bool] = []

    def take(body: bytes) -> bool:
        if b'"gina.' not in body or run.encode() in body:
            return True
        if mortal.part_pid("agent") == agent:
            return False
        time.sleep(1.0)
        seen.append(old.is_alive())
        return True

    agent = mortal.part_pid("agent")
    with slow_to_take_routes(mortal, take):
        mortal.ask_agent("POST", f"/websites/gina.{mortal.domain}/reload?wait_s=0")
        until(lambda: (record(mortal, "gina") or {})["run"] != run)
        kill_agent(mortal)
        until(lambda: bool(seen))
        until(lambda: mortal.get("gina").json() != before)
    assert seen[0], "the old run was ended while visitors were still sent to it"
    until(lambda: not old.is_alive())
    mortal.delete(gina, "gina")


def test_a_socket_of_its_own_does_not_shorten_a_long_deadline(mortal: Platform, gina: User) -> None:
    """As of a command that begins with a `multiprocessing.Manager` and then loads for a while."""
    own = "import socket, time; own = socket.socket(1); own.bind('/tmp/own'); own.listen(); time.sleep(6.5)"
    command = f"""exec python3 -c "{own}; exec(open('answer.py').read())" """
    created = mortal.create(gina, "gina", command.strip(), start_deadline_s=60)
    assert created.json()["webapp"]["state"] == "running", created.text
    mortal.delete(gina, "gina")
