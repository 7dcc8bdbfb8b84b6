"""G12: somebody has the panel. The agent derives uid, paths and limits itself and refuses what it cannot believe."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from live import Platform, User, answering, send_signal
from waiting import until


@contextlib.contextmanager
def database(platform: Platform) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(platform.paths.panel / "panel.sqlite3", timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        with connection:
            yield connection


def copy_row(connection: sqlite3.Connection, table: str, where: str, **changes: Any) -> int:
    """Another row like the one that is there, with changes and the next revision, as no panel would write it."""
    row = dict(connection.execute(f"SELECT * FROM {table} WHERE {where}").fetchone())
    connection.execute("UPDATE wanted_counter SET revision = revision + 1")
    (revision,) = connection.execute("SELECT revision FROM wanted_counter").fetchone()
    del row["id"]
    row |= {"revision": revision, **changes}
    names, marks = ", ".join(row), ", ".join("?" for _ in row)
    return int(connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values())).lastrowid or 0)


HOSTILE_USERS = ["../../etc", "root", "hostel", "UPPER", "a b", "a\nb", "x" * 400, "", ".", "é"]
HOSTILE_WEBSITES: list[dict[str, Any]] = [
    {"domain_name": "../../../etc/cron.d/x"},
    {"domain_name": "evil-mona.hostel.localhost/../../x"},
    {"domain_name": "evil1-mona.hostel.localhost", "command": "x" * (1 << 20)},
    {"domain_name": "evil2-mona.hostel.localhost", "command": "true\0 --root"},
    {"domain_name": "evil3-mona.hostel.localhost", "command": "true\nfalse"},
    {"domain_name": "evil4-mona.hostel.localhost", "drain_s": "soon"},
    {"domain_name": "evil5-mona.hostel.localhost", "grace_s": 1e308},
    {"domain_name": "evil6-mona.hostel.localhost", "read_timeout_s": -5},
    {"domain_name": "evil7-mona.hostel.localhost", "command": b"\xff\x00"},
    {"domain_name": "evil8-mona.hostel.localhost", "reload_strategy": "never"},
    {"domain_name": "\uff45vil9-mona.hostel.localhost"},
    {"domain_name": "www.hostel.localhost"},
]


@pytest.fixture
def hostile_rows(spare: Platform, mona: User) -> Iterator[list[str]]:
    """Rows straight into the database; the names of those that the agent must not take. One is good."""
    template = f"base-mona.{spare.domain}"
    with spare.api(mona) as api:
        body = {"domain_name": template, "enabled": False, "webapp": {"command": answering("written")}}
        assert api.post("websites/", json=body).status_code == 201
    users, websites = [], []
    with database(spare) as rows:
        users = [copy_row(rows, "accounts_user", "username = 'mona'", username=name) for name in HOSTILE_USERS]
        good = {"domain_name": f"good-mona.{spare.domain}", "enabled": True}
        for changes in (*HOSTILE_WEBSITES, good):
            canonical = {"canonical_name": changes["domain_name"]}
            where = f"canonical_name = '{template}'"
            websites.append(copy_row(rows, "websites_website", where, **{"enabled": True, **canonical, **changes}))
    yield [changes["domain_name"] for changes in HOSTILE_WEBSITES]
    with database(spare) as rows:
        rows.executemany("DELETE FROM websites_website WHERE id = ?", [(number,) for number in websites[:-1]])
        rows.executemany("DELETE FROM accounts_user WHERE id = ?", [(number,) for number in users])
    for label in ("base-mona", "good-mona"):
        spare.delete(mona, label)


def names_below(*directories: Path) -> set[str]:
    return {entry.name for directory in directories for entry in directory.iterdir()}


def test_g12_hostile_rows_are_refused_and_logged_and_nobody_else_notices(
    spare: Platform, mona: User, otto: User, hostile_rows: list[str]
) -> None:
    """Positive control: the good row among them, written by the same hand, is carried out by the same pull."""
    paths = spare.paths
    assert spare.create(otto, "calm-otto", answering("calm")).json()["webapp"]["state"] == "running"
    run = spare.get("calm-otto").json()["run"]
    known = names_below(paths.homes, paths.tenants, paths.site_logs, paths.root)
    log = paths.log / "agent.log"
    before, told = spare.part_pid("agent"), log.stat().st_size
    send_signal(before, 9)  # its successor pulls everything
    until(lambda: spare.get("good-mona").status_code == 200)
    assert spare.get("good-mona").json()["word"] == "written"
    assert spare.get("calm-otto").json()["run"] == run
    assert spare.is_up(), "the panel's own name was not taken"

    assert names_below(paths.homes, paths.tenants, paths.site_logs, paths.root) == known
    recorded = {file.stem for file in paths.websites.glob("*.json")}
    assert recorded & set(hostile_rows) <= {f"www.{spare.domain}"}
    assert not any("evil" in name for name in recorded | names_below(paths.routes))
    assert not Path("/etc/cron.d/x").exists()
    refused = log.read_bytes()[told:].decode()
    assert refused.count("wanted state could not be applied") >= len(HOSTILE_USERS)
    for word in (
        "A user name starts with",
        "is reserved",
        "at most 16384 bytes",
        "newline or a NUL",
        "0 to 86400",
    ):
        assert word in refused, word
    panel_log = (paths.site_logs / "hostel" / f"www.{spare.domain}.error.log").read_text()
    assert panel_log.count("a row cannot be read; it is left out") >= 3
    assert all(process_uids(spare)), "nothing runs as root"
    spare.delete(otto, "calm-otto")


def process_uids(platform: Platform) -> list[int]:
    found = []
    for file in platform.paths.runs.glob("*/run.json"):
        process = json.loads(file.read_text())["process"]
        with contextlib.suppress(FileNotFoundError):
            found.append(Path(f"/proc/{process['pid']}").stat().st_uid)
    return found


ODD_MESSAGES: list[tuple[str, dict[str, Any]]] = [
    ("/tenants/eve", {"uid": 0}),
    ("/tenants/eve", {"gid": 0}),
    ("/tenants/eve", {"home": "/root"}),
    ("/tenants/eve", {"limits": {"memory_bytes": -1, "pids": 1, "cpu": 1.0}}),
    ("/tenants/eve", {"name": "root"}),
    ("/tenants/hostel", {"name": "hostel"}),
    ("/websites/evil-mona.hostel.localhost", {"uid": 0}),
    ("/websites/evil-mona.hostel.localhost", {"mounts": ["/"]}),
    ("/websites/evil-mona.hostel.localhost", {"tenant": "hostel"}),
    ("/websites/evil-mona.hostel.localhost", {"tenant": "../otto"}),
    ("/websites/evil-mona.hostel.localhost", {"limits": {"memory_bytes": 1 << 60, "pids": 1, "cpu": 1.0}}),
    ("/websites/evil-mona.hostel.localhost", {"domain_name": "../evil-mona.hostel.localhost"}),
    ("/websites/www.hostel.localhost", {"domain_name": "www.hostel.localhost"}),
    ("/websites/..%2f..%2fevil", {"domain_name": "../../evil"}),
]


@pytest.mark.parametrize(("path", "change"), ODD_MESSAGES)
def test_g12_a_message_that_names_what_the_agent_decides_is_refused(
    spare: Platform, mona: User, path: str, change: dict[str, Any]
) -> None:
    """At the panel's own door. Positive control: without the change, as in the next test, it is taken."""
    answer = spare.ask_agent("PUT", path, message(path, change))
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/json" or answer.status_code == 404
    assert not (spare.paths.homes / "eve").exists()


def message(path: str, change: dict[str, Any]) -> dict[str, Any]:
    version = {"epoch": 1 << 40, "revision": 1}
    if path.startswith("/tenants"):
        return {"name": "eve", "version": version, **change}
    domain = "evil-mona.hostel.localhost"
    return {"domain_name": domain, "tenant": "mona", "version": version, "enabled": False, "command": "true", **change}


def test_g12_the_same_messages_without_the_change_are_taken(spare: Platform, mona: User) -> None:
    domain = f"evil-mona.{spare.domain}"
    (row,) = json.loads(
        spare.hostel("shell", "hostel", "--", "python", "-m", "hostel.panel", "user", "list", "--json").stdout
    )[:1]
    assert row["name"]
    sent = message(f"/websites/{domain}", {}) | {"version": {"epoch": 1, "revision": 1}}
    assert spare.ask_agent("PUT", f"/websites/{domain}", sent).status_code == 200
    tombstone = {"name": domain, "version": {"epoch": 1, "revision": 2}}
    assert spare.ask_agent("DELETE", f"/websites/{domain}", tombstone).status_code == 200


def test_g12_no_other_door_is_open_to_the_panel(spare: Platform) -> None:
    """From its sandbox: only its own socket of the agent is there. Positive control: that one answers."""
    look = (
        "import socket,sys\nfor p in sys.argv[1:]:\n s = socket.socket(socket.AF_UNIX)\n"
        " try: s.connect(p); print('in')\n except OSError as e: print(type(e).__name__)"
    )
    doors = [spare.paths.agent_for_panel, spare.paths.agent_for_root, spare.paths.agent_for_edge]
    inside = [f"/{door.relative_to(spare.root)}/agent.sock" for door in doors]
    outside = [str(spare.paths.edge_socket), f"{doors[1]}/agent.sock"]
    shown = spare.hostel("shell", "hostel", "--", "python3", "-c", look, *inside, *outside).stdout.split()
    assert shown[0] == "in"
    assert "in" not in shown[1:]
