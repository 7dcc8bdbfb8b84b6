"""Wanted state in trouble: calls that cross, a database that is locked, full or restored, records that are torn.

Each has one clear outcome, as docs/reference/api.md says; websites go on whatever happens.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from live import Platform, User, answering, send_signal
from waiting import until

SLOW = f"sleep 1; exec {answering('slow')}"


def patch(platform: Platform, user: User, label: str, **changes: Any) -> httpx.Response:
    with platform.api(user) as api:
        return api.patch(f"websites/{label}.{platform.domain}/", json=changes)


def reload(platform: Platform, user: User, label: str) -> httpx.Response:
    with platform.api(user) as api:
        return api.post(f"websites/{label}.{platform.domain}/reload/")


def show(platform: Platform, user: User, label: str) -> httpx.Response:
    with platform.api(user) as api:
        return api.get(f"websites/{label}.{platform.domain}/")


def report(platform: Platform, label: str) -> dict[str, Any]:
    """How the agent says it is; {} for one that it does not know."""
    answer = tell_agent(platform, "GET", f"/websites/{label}.{platform.domain}")
    return dict(answer.json()) if answer.status_code == 200 else {}


def is_starting(platform: Platform, label: str) -> bool:
    found = report(platform, label)
    return bool(found) and found["deploy"]["phase"] == "starting"


def tell_agent(platform: Platform, method: str, path: str, **message: Any) -> httpx.Response:
    """As the panel does; only it and root can."""
    return ask(platform.paths.agent_for_panel, method, path, **message)


def ask(directory: Path, method: str, path: str, **message: Any) -> httpx.Response:
    transport = httpx.HTTPTransport(uds=str(directory / "agent.sock"))
    with httpx.Client(transport=transport, base_url="http://agent", timeout=60) as client:
        return client.request(method, path, **({"json": message} if message else {}))


def complaints(platform: Platform, about: str) -> list[str]:
    """What `hostel doctor` says that is not in order: of the running agent's own checks, the ones with this name."""
    checks = ask(platform.paths.agent_for_root, "GET", "/doctor").json()["checks"]
    return [f"{check['message']} ({check['hint']})" for check in checks if check["name"] == about and not check["ok"]]


# -- Settings


def test_a_changed_time_holds_at_once_for_the_run_that_serves(platform: Platform, alice: User) -> None:
    assert platform.create(alice, "times-alice", answering(), read_timeout_s=30).status_code == 201
    run = platform.get("times-alice").json()["run"]
    changed = patch(platform, alice, "times-alice", webapp={"read_timeout_s": 1, "drain_s": 5})
    assert (changed.status_code, changed.json()["webapp"]["deploy"]["phase"]) == (200, "done")
    assert platform.get("times-alice", "/slow?s=1.3").status_code >= 500
    assert patch(platform, alice, "times-alice", webapp={"read_timeout_s": 30}).status_code == 200
    assert platform.get("times-alice", "/slow?s=1.3").json()["run"] == run
    platform.delete(alice, "times-alice")


def test_times_of_a_disabled_website_are_kept_without_waiting(platform: Platform, alice: User) -> None:
    platform.create(alice, "off-alice", answering())
    assert patch(platform, alice, "off-alice", enabled=False).json()["webapp"]["state"] == "disabled"
    began = time.monotonic()
    changed = patch(platform, alice, "off-alice", webapp={"grace_s": 2, "command": answering("later")})
    assert time.monotonic() - began < 5
    assert changed.json()["webapp"]["state"] == "disabled"
    assert patch(platform, alice, "off-alice", enabled=True).json()["webapp"]["grace_s"] == 2.0
    assert platform.get("off-alice").json()["word"] == "later"
    platform.delete(alice, "off-alice")


# -- Bad input, and calls that cross


def test_enabled_with_a_command_that_is_refused_changes_neither(platform: Platform, alice: User) -> None:
    platform.create(alice, "both-alice", answering())
    run = platform.get("both-alice").json()["run"]
    refused = patch(platform, alice, "both-alice", enabled=False, webapp={"command": "two\nlines"})
    assert refused.status_code == 400
    assert list(refused.json()["webapp"]) == ["command"]
    assert platform.get("both-alice").json()["run"] == run
    platform.delete(alice, "both-alice")


def test_enabled_with_a_command_that_fails_takes_both(platform: Platform, alice: User) -> None:
    platform.create(alice, "both-alice", answering())
    disabled = patch(platform, alice, "both-alice", enabled=False, webapp={"command": "exit 7"})
    assert disabled.status_code == 200
    assert (disabled.json()["enabled"], disabled.json()["webapp"]["state"]) == (False, "disabled")
    enabled = patch(platform, alice, "both-alice", enabled=True)
    webapp = enabled.json()["webapp"]
    assert (enabled.status_code, webapp["state"], webapp["reason"]) == (200, "failed", "exited")
    mended = patch(platform, alice, "both-alice", webapp={"command": answering("mended")})
    assert mended.json()["webapp"]["state"] == "running"
    bad = patch(platform, alice, "both-alice", enabled=True, webapp={"command": "exit 7"}).json()["webapp"]
    assert (bad["state"], bad["deploy"]["phase"], bad["deploy"]["reason"]) == ("running", "failed", "exited")
    assert platform.get("both-alice").json()["word"] == "mended"
    platform.delete(alice, "both-alice")


def test_any_change_tries_again_what_failed_before(platform: Platform, alice: User) -> None:
    failed = platform.create(alice, "retry-alice", f"test -e ready-to-go && exec {answering()}")
    assert (failed.json()["webapp"]["state"], failed.json()["webapp"]["reason"]) == ("failed", "exited")
    platform.shell("alice", "touch ready-to-go")
    changed = patch(platform, alice, "retry-alice", webapp={"start_deadline_s": 11})
    assert changed.json()["webapp"]["state"] == "running"
    platform.delete(alice, "retry-alice")


def test_two_reloads_at_once_are_one_deed(platform: Platform, alice: User) -> None:
    platform.create(alice, "twice-alice", SLOW)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: reload(platform, alice, "twice-alice"), range(2)))
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"status": "OK"})] * 2
    log = (platform.paths.site_logs / "alice" / f"twice-alice.{platform.domain}.server.log").read_text()
    assert log.split().count("listening") == 2, "the first, and one for both reloads"
    platform.delete(alice, "twice-alice")


def test_a_website_deleted_during_a_reload_is_gone_and_the_reload_says_so(platform: Platform, alice: User) -> None:
    platform.create(alice, "gone-alice", SLOW)
    with ThreadPoolExecutor(1) as pool:
        reloading = pool.submit(reload, platform, alice, "gone-alice")
        until(lambda: is_starting(platform, "gone-alice"))
        platform.delete(alice, "gone-alice")
        answer = reloading.result()
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})
    assert show(platform, alice, "gone-alice").status_code == 404
    assert platform.get("gone-alice").status_code == 404


def test_a_change_of_a_website_that_is_being_deleted_is_not_found(platform: Platform, alice: User) -> None:
    platform.create(alice, "gone-alice", answering())
    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(patch, platform, alice, "gone-alice", webapp={"command": SLOW})
        until(lambda: is_starting(platform, "gone-alice"))
        platform.delete(alice, "gone-alice")
        answers = [changing.result(), patch(platform, alice, "gone-alice", enabled=True)]
    answers.append(reload(platform, alice, "gone-alice"))
    assert [(answer.status_code, answer.json()) for answer in answers] == [(404, {"detail": "Not found."})] * 3
    assert platform.get("gone-alice").status_code == 404


def edge_has_request(platform: Platform, label: str) -> bool:
    """Whether a request is with the serving run."""
    transport = httpx.HTTPTransport(uds=str(platform.paths.edge_socket))
    with httpx.Client(transport=transport) as client:
        return bool(client.get(f"http://edge/bound?run={report(platform, label)['run']}").json()["plain"])


def test_a_domain_is_free_as_soon_as_its_deletion_is_answered(platform: Platform, alice: User) -> None:
    platform.create(alice, "again-alice", answering("old"))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(platform.get, "again-alice", "/slow?s=2")
        until(lambda: edge_has_request(platform, "again-alice"))
        for word in ("first", "second"):
            platform.delete(alice, "again-alice")
            created = platform.create(alice, "again-alice", answering(word))
            assert (created.status_code, created.json()["webapp"]["state"]) == (201, "running")
            assert platform.get("again-alice").json()["word"] == word
        assert slow.result().json()["word"] == "old", "what the deleted one had begun was finished"
    platform.delete(alice, "again-alice")


def test_a_stale_revision_is_answered_with_the_newer_result(platform: Platform, alice: User) -> None:
    platform.create(alice, "stale-alice", answering("first"))
    domain = f"stale-alice.{platform.domain}"
    record = json.loads((platform.paths.websites / f"{domain}.json").read_text())["spec"]
    patch(platform, alice, "stale-alice", webapp={"command": answering("second")})
    newer = report(platform, "stale-alice")["deploy"]["version"]
    answer = tell_agent(platform, "PUT", f"/websites/{domain}?wait_s=20", **record)
    assert answer.status_code == 200
    assert answer.json()["deploy"]["version"] == newer != record["version"]
    assert platform.get("stale-alice").json()["word"] == "second"
    platform.delete(alice, "stale-alice")
    late = tell_agent(platform, "PUT", f"/websites/{domain}", **record)
    assert (late.status_code, late.json()["code"]) == (409, "stale_spec")
    assert platform.get("stale-alice").status_code == 404


def test_a_domain_of_another_user_is_taken_for_the_agent_too(platform: Platform, alice: User, bob: User) -> None:
    platform.create(alice, "mine-alice", answering("mine"))
    domain = f"mine-alice.{platform.domain}"
    spec = json.loads((platform.paths.websites / f"{domain}.json").read_text())["spec"]
    spec |= {"tenant": "bob", "version": {"epoch": spec["version"]["epoch"] + 1, "revision": 1}}
    answer = tell_agent(platform, "PUT", f"/websites/{domain}", **spec)
    assert (answer.status_code, answer.json()["code"]) == (409, "domain_taken")
    assert platform.get("mine-alice").json()["word"] == "mine"
    platform.delete(alice, "mine-alice")


# -- A platform whose database and records are treated badly


@pytest.fixture(scope="module")
def fragile() -> Iterator[Platform]:
    """The panel's database lies on a small file system of its own."""
    fragile = Platform()
    fragile.paths.panel.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", fragile.paths.panel], check=True)
    try:
        fragile.up()
        yield fragile
    finally:
        fragile.remove()


@pytest.fixture(scope="module")
def erin(fragile: Platform) -> User:
    return fragile.add_user_with_server("erin")


@pytest.fixture(scope="module")
def site(fragile: Platform, erin: User) -> str:
    assert fragile.create(erin, "erin", answering("old")).json()["webapp"]["state"] == "running"
    return "erin"


def database(platform: Platform) -> Path:
    return platform.paths.panel / "panel.sqlite3"


def log_in(platform: Platform, user: User) -> httpx.Response:
    """Writes a session, so it needs the database."""
    with platform.visitor(follow_redirects=False) as client:
        url = f"{platform.panel_url}login/"
        token = client.get(url).text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        form = {"username": user.name, "password": user.password, "csrfmiddlewaretoken": token}
        return client.post(url, data=form, headers={"Referer": url})


def assert_api_and_pages_say(platform: Platform, user: User, site: str, status: int, code: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        creating = pool.submit(platform.create, user, "more-erin", answering())
        logging_in = pool.submit(log_in, platform, user)
        with platform.api(user) as api:
            listed = api.get("websites/")
        assert platform.get(site).json()["word"] == "old"
        created, page = creating.result(), logging_in.result()
    assert (created.status_code, created.json()["code"]) == (status, code)
    assert int(created.headers["Retry-After"]) > 0
    assert list(created.json()) == ["detail", "code"]
    assert (page.status_code, page.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert "Traceback" not in page.text + created.text
    assert listed.status_code == 200, "reading goes on"
    assert platform.get(site).json()["word"] == "old"


def assert_recovered(platform: Platform, user: User) -> None:
    assert platform.create(user, "more-erin", answering()).json()["webapp"]["state"] == "running"
    platform.delete(user, "more-erin")
    assert log_in(platform, user).status_code == 302


def test_i5_a_locked_database_is_a_503_and_costs_no_website(fragile: Platform, erin: User, site: str) -> None:
    with contextlib.closing(sqlite3.connect(database(fragile), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert_api_and_pages_say(fragile, erin, site, 503, "database_busy")
    assert_recovered(fragile, erin)


def test_k6_a_full_disk_is_a_507_and_costs_no_website(fragile: Platform, erin: User, site: str) -> None:
    filler = fragile.paths.panel / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        assert_api_and_pages_say(fragile, erin, site, 507, "database_full")
    finally:
        filler.unlink()
    assert_recovered(fragile, erin)


@pytest.fixture(scope="module")
def hugo(fragile: Platform) -> User:
    """Added by commands, which print no log."""
    added = fragile.hostel("user", "add", "hugo", "--password-stdin", stdin=secrets.token_urlsafe(12) + "\n")
    token = fragile.hostel("token", "create", "hugo")
    assert (added.stderr, token.stderr) == ("", "")
    return User("hugo", "", token.stdout.strip())


def restore_database(platform: Platform, copy: Path) -> None:
    """As an operator does: the file in place of the old one, without what SQLite keeps beside it."""
    file = database(platform)
    owner = file.stat()
    for leftover in platform.paths.panel.glob("panel.sqlite3*"):
        leftover.unlink()
    file.write_bytes(copy.read_bytes())
    os.chown(file, owner.st_uid, owner.st_gid)


@pytest.fixture(scope="module")
def restored(fragile: Platform, erin: User, site: str, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """`fragile` with yesterday's database: since then two websites and the user gina were added, `site` was changed.

    One of the two has a domain that was deleted before, so yesterday's database holds a tombstone of it.
    """
    copy = tmp_path_factory.mktemp("copy") / "yesterday.sqlite3"
    fragile.create(erin, "back-erin", answering("one"))
    fragile.delete(erin, "back-erin")
    with contextlib.closing(sqlite3.connect(database(fragile))) as now, contextlib.closing(sqlite3.connect(copy)) as to:
        now.backup(to)
    for label in ("newer-erin", "back-erin"):
        assert fragile.create(erin, label, answering(label)).status_code == 201
    assert patch(fragile, erin, site, webapp={"command": answering("today")}).status_code == 200
    gina = fragile.add_user_with_server("gina")
    assert fragile.create(gina, "gina", answering("gina")).status_code == 201
    fragile.down()
    restore_database(fragile, copy)
    fragile.up()
    until(lambda: len(complaints(fragile, "wanted state")) == 3)
    return fragile


def test_i10_what_a_restored_database_does_not_know_goes_on_and_doctor_names_it(restored: Platform, erin: User) -> None:
    found = complaints(restored, "wanted state")
    assert [sum(words in message for message in found) for words in ("newer-erin.", "back-erin.", "user gina ")] == [
        1
    ] * 3
    doctor = restored.hostel("doctor", "--quiet", check=False)
    assert doctor.returncode == 1
    assert doctor.stdout.count("does not know") == 3
    assert "`hostel user add gina` gives them an account again" in doctor.stdout
    for label in ("newer-erin", "back-erin", "gina"):
        assert restored.get(label).json()["word"] == label
    with restored.api(erin) as api:
        listed = [website["domain_name"] for website in api.get("websites/").json()]
    assert listed == [f"erin.{restored.domain}"]


def test_i10_what_a_restored_database_knows_is_as_it_says_and_can_be_changed(
    restored: Platform, erin: User, site: str
) -> None:
    assert restored.get(site).json()["word"] == "old", "as it was yesterday"
    changed = patch(restored, erin, site, webapp={"command": answering("changed")})
    assert changed.json()["webapp"]["deploy"]["phase"] in ("draining", "done")
    assert restored.get(site).json()["word"] == "changed"
    patch(restored, erin, site, webapp={"command": answering("old")})


def test_its_owner_takes_an_unknown_website_back_and_nobody_else(restored: Platform, erin: User, hugo: User) -> None:
    assert restored.create(hugo, "newer-erin", answering("thief")).status_code == 400
    run = restored.get("newer-erin").json()["run"]
    assert restored.create(erin, "newer-erin", answering("newer-erin")).json()["webapp"]["state"] == "running"
    assert restored.get("newer-erin").json()["run"] == run, "the same command goes on"
    assert restored.create(erin, "back-erin", answering("mine")).status_code == 201
    for label in ("newer-erin", "back-erin"):
        restored.delete(erin, label)
        assert restored.get(label).status_code == 404


def test_an_unknown_user_added_again_has_home_and_websites_again(restored: Platform) -> None:
    again = restored.add_user("gina")
    assert restored.get("gina").json()["word"] == "gina"
    created = restored.create(again, "gina", answering("again"))
    assert (created.status_code, created.json()["webapp"]["state"]) == (201, "running")
    assert restored.get("gina").json()["word"] == "again", "served from the home of before"
    restored.hostel("user", "remove", "gina", "--yes")
    assert restored.get("gina").status_code == 404
    assert complaints(restored, "wanted state") == []


def kill_agent(platform: Platform) -> None:
    before = platform.part_pid("agent")
    send_signal(before, signal.SIGKILL)
    until(lambda: platform.part_pid("agent") not in (0, before))


def agent_listens(platform: Platform) -> bool:
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.connect(str(platform.paths.agent_for_root / "agent.sock"))
        return True
    return False


def test_torn_and_foreign_records_are_ignored_and_told_while_websites_go_on(
    fragile: Platform, erin: User, site: str
) -> None:
    """One website's record is torn, another's route, and the record of their owner, whose uid owns the home."""
    paths, domain = fragile.paths, fragile.domain
    assert fragile.create(erin, "torn-erin", answering("torn")).status_code == 201
    uid, held = (paths.homes / "erin").stat().st_uid, fragile.edge_status("torn-erin")["held_total"]
    foreign = [paths.tenants / "copy.json", paths.websites / "notes.txt"]
    foreign[0].write_bytes((paths.tenants / "erin.json").read_bytes())
    foreign[1].write_text("not a record")
    torn = [
        paths.websites / f"torn-erin.{domain}.json",
        paths.tenants / "erin.json",
        paths.routes / f"{site}.{domain}.json",
    ]
    for file in torn:
        file.write_bytes(file.read_bytes()[:40])
    assert sorted(told_of(fragile)) == sorted([*torn, *foreign])

    answers = []
    kill_agent(fragile)
    deadline = time.monotonic() + 30
    while not agent_listens(fragile) or set(told_of(fragile)) != set(foreign):
        assert time.monotonic() < deadline, told_of(fragile)
        answers += [fragile.get("torn-erin"), fragile.get(site)]
    answers += [fragile.get("torn-erin"), fragile.get(site)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["word"] for answer in answers} == {"torn", "old"}
    assert fragile.edge_status("torn-erin")["held_total"] == held, "it was served all the time"
    assert (paths.homes / "erin").stat().st_uid == uid
    assert fragile.shell("erin", "id -u; ls answer.py").split() == [str(uid), "answer.py"]
    until(lambda: len([file for file in paths.runs.glob("*/run.json") if '"torn-erin.' in file.read_text()]) == 1)
    for file in foreign:
        file.unlink()
    assert told_of(fragile) == []
    fragile.delete(erin, "torn-erin")


def told_of(platform: Platform) -> list[Path]:
    """Files that doctor says cannot be read."""
    return [Path(message.split(" ")[0]) for message in complaints(platform, "records")]
