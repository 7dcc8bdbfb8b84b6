"""Group G, the panel and its API, on a real platform. What needs a browser: test_g_browser.py; what is controlled by a
setting or a middleware left out, in the panel alone: tests/unit/panel/test_g_controls.py.
"""

import contextlib
import json
import re
import secrets
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from hostel.wire.process import ProcessIdentity
from live import Platform, User, answering

PANEL = [sys.executable, "-P", "-m", "hostel.panel"]


def log_files(platform: Platform) -> list[Path]:
    return [platform.root / "up.log", *(file for file in platform.paths.log.rglob("*") if file.is_file())]


def holders(platform: Platform, mark: str) -> list[str]:
    """Whatever logs and tables of the platform hold `mark`."""
    found = [file.name for file in log_files(platform) if mark.encode() in file.read_bytes()]
    with contextlib.closing(sqlite3.connect(platform.paths.panel / "panel.sqlite3")) as database:
        return found + [line[:80] for line in database.iterdump() if mark in line]


def send_head(platform: Platform, line: str, *headers: str) -> bytes:
    """What nginx itself answers to a request without its body."""
    host = f"www.{platform.domain}"
    with (
        socket.create_connection(("127.0.0.1", platform.https_port), timeout=10) as plain,
        platform.tls().wrap_socket(plain, server_hostname=host) as connection,
    ):
        head = "\r\n".join([f"{line} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", ""])
        connection.sendall(head.encode())
        return connection.recv(4096)


# -- G1, G3


def test_g1_a_token_is_in_no_log_and_not_in_the_database(platform: Platform, alice: User) -> None:
    """Marked, in header, query, referrer and body of calls good and bad. Control: one in the path is found."""
    mark, seen = secrets.token_hex(20), f"seen{secrets.token_hex(16)}"
    headers = [{"Authorization": f"{scheme} {mark}"} for scheme in ("Token", "Bearer", "Basic", "token", "Agent")]
    headers += [{"Authorization": mark}, {"Cookie": f"__Host-session={mark}"}, {"X-Api-Key": mark}]
    own = {"Authorization": f"Token {alice.token}", "Referer": f"{platform.panel_url}?token={mark}"}
    bodies: list[dict[str, object]] = [
        {"json": {"token": mark, "domain_name": mark, "webapp": {"command": ""}}},
        {"json": {"domain_name": f"alice.{platform.domain}", "webapp": {"command": [mark], "api_token": mark}}},
        {"content": '{"token": "' + mark, "headers": {"Content-Type": "application/json"}},
        {"content": "token=" + mark, "headers": {"Content-Type": "text/plain"}},
        {"data": {"token": mark, "enabled": mark}},
        {"content": mark.encode() + bytes(2 << 20)},
    ]
    statuses = set()
    with platform.visitor(base_url=f"{platform.panel_url}api/v1/user/alice/") as client:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            for path in ("websites/", f"websites/none-alice.{platform.domain}/", "nonsense/"):
                for sent in (*headers, own):
                    statuses.add(client.request(method, f"{path}?token={mark}&next=a", headers=sent).status_code)
        for body in bodies:
            sent = {**own, **body.pop("headers", {})}  # type: ignore[dict-item]
            statuses.add(client.post("websites/", params={"api_token": mark}, headers=sent, **body).status_code)
        statuses.add(client.get(f"{platform.panel_url}login/?next=/&token={mark}").status_code)
        statuses.add(
            client.get(f"{platform.panel_url}agent/wanted/", headers={"Authorization": f"Agent {mark}"}).status_code
        )
        assert client.get(f"websites/{seen}/?token={mark}", headers=own).status_code == 404
    assert b" 413 " in send_head(
        platform, f"POST /api/v1/user/alice/websites/?token={mark}", "Content-Length: 209715200"
    )
    assert b" 400 " in send_head(platform, f"GET /?token={mark}", "Content-Length: x")
    assert statuses == {200, 400, 401, 404, 405, 413, 415}
    deadline = time.monotonic() + 10  # a line is written after its answer
    while not (found := holders(platform, seen)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found == [f"www.{platform.domain}.access.log"]
    assert holders(platform, mark) == []
    for token in (alice.token, alice.password):
        assert holders(platform, token) == []


def test_g3_tokens_cannot_be_tried_without_end(platform: Platform, alice: User) -> None:
    """600 a minute from one address, as `panel.requests_per_minute` says; a user with a token is counted apart.

    Positive control: with a higher limit (tests/unit/panel/test_api_errors.py) as many tries are all let in.
    """
    transport = httpx.HTTPTransport(verify=platform.tls(), local_address="127.0.0.77")
    url = f"{platform.panel_url}api/v1/user/alice/websites/"
    with httpx.Client(transport=transport, timeout=30) as client:

        def guess(_: int) -> httpx.Response:
            return client.get(url, headers={"Authorization": f"Token {secrets.token_hex(20)}"})

        answers: list[httpx.Response] = []
        began = time.monotonic()
        with ThreadPoolExecutor(6) as pool:
            while not any(answer.status_code == 429 for answer in answers):
                answers += pool.map(guess, range(60))
        admitted = sum(answer.status_code == 401 for answer in answers)
        assert 600 <= admitted <= 601 + 10 * (time.monotonic() - began)
        assert {answer.status_code for answer in answers} == {401, 429}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers if answer.status_code == 429)
        assert client.get(url, headers={"Authorization": f"Token {alice.token}"}).status_code == 200


# -- The panel's place on the machine


def test_the_deployment_checks_are_clean_under_the_real_settings(platform: Platform) -> None:
    """Positive control: the same checks complain of settings without a secret worth the name."""
    deploy = ["check", "--deploy", "--fail-level", "WARNING"]
    environment = {"HOSTEL_ROOT": str(platform.root), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([*PANEL, *deploy], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "System check identified no issues" in done.stdout
    careless = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'hostel.panel.settings'\n"
        "from django.conf import settings; settings.SESSION_COOKIE_SECURE = False; settings.DEBUG = True\n"
        f"from django.core.management import execute_from_command_line as run; run(['check', *{deploy!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", careless], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "security.W011" in done.stderr
    assert "security.W018" in done.stderr


LOOK = "import os,sys; print([os.path.exists(p) for p in sys.argv[1:]], os.listdir('/home'))"


def test_the_panels_sandbox_has_no_way_to_a_tenants_home(platform: Platform, alice: User) -> None:
    """Neither a mount nor, for the same file under its path on the host, permission. Control: alice's sandbox has."""
    homes, home = str(platform.paths.homes), str(platform.paths.homes / "alice")
    places = [f"{home}/answer.py", "/home/alice/answer.py", homes, str(platform.paths.site_logs / "alice")]
    shown = platform.hostel("shell", "hostel", "--", "python3", "-c", LOOK, *places).stdout
    assert shown.strip() == f"{[False] * 4} []"
    assert platform.hostel("shell", "alice", "--", "python3", "-c", LOOK, *places).stdout.startswith("[False, True,")
    run = json.loads(platform.hostel("website", "show", f"www.{platform.domain}", "--json").stdout)["run"]
    record = json.loads((platform.paths.runs / run / "run.json").read_text())
    pid = int(record["process"]["pid"])
    mounts = Path(f"/proc/{pid}/mountinfo").read_text()
    assert homes not in mounts
    assert f" /var/sockets/www.{platform.domain} " in mounts, "control: it is the list of the panel's mounts"
    uid = ProcessIdentity.of(pid) and Path(f"/proc/{pid}").stat().st_uid
    read = subprocess.run(
        ["cat", f"{home}/answer.py"], user=uid, group=uid, extra_groups=[], capture_output=True, check=False
    )
    assert (read.returncode, b"Permission denied" in read.stderr) == (1, True)


# -- G13


def cpu_and_rss(pid: int) -> tuple[float, int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100, int(fields[21]) * 4096


def test_g13_garbage_at_the_wake_socket_costs_the_agent_nothing_that_stays(platform: Platform, alice: User) -> None:
    """Only root and nginx's user may connect; one verb; nothing is kept of what is not a website.

    Positive control: what a wake is for still works, `test_i4_...`; another verb works on root's own socket.
    """
    directory = platform.paths.agent_for_edge
    path = directory / "agent.sock"
    assert (directory.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o750, 0o660)
    assert path.exists()
    assert "agent" not in platform.shell("alice", "ls -R /run /var/run 2>/dev/null; true")
    pid = platform.part_pid("agent")
    transport = httpx.HTTPTransport(uds=str(path))
    with httpx.Client(transport=transport, base_url="http://agent", timeout=10) as client:

        def wake(number: int) -> int:
            return client.post(f"/wake/{'../' * (number % 3)}{secrets.token_hex(number % 40 + 1)}%00%ff").status_code

        [wake(number) for number in range(300)]  # what is allocated once is allocated
        _, rss = cpu_and_rss(pid)
        statuses = {wake(number) for number in range(1500)}
        for verb in ("GET /tenants", "GET /doctor", "PUT /tenants/eve", "DELETE /runs/x", "POST /tenants/alice/exec"):
            statuses.add(client.request(*verb.split(" ")).status_code)
    assert statuses <= {202, 400, 404, 405}
    for _ in range(100):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(path))
            with contextlib.suppress(OSError):
                raw.sendall(secrets.token_bytes(4096))
    cpu, after = cpu_and_rss(pid)
    assert after - rss < 8 << 20
    assert platform.hostel("user", "list").returncode == 0
    assert cpu_and_rss(pid)[0] - cpu < 1, "it does not work on after the flood"
    root = httpx.HTTPTransport(uds=str(platform.paths.agent_for_root / "agent.sock"))
    with httpx.Client(transport=root, base_url="http://agent") as client:
        assert client.get("/tenants").status_code == 200


# -- G14, G16

ODD_KEYS: dict[str, object] = {
    "id": 1,
    "user": "bob",
    "owner": "bob",
    "owner_id": 1,
    "revision": 10**18,
    "canonical_name": "www.hostel.localhost",
    "uid": 0,
    "limits": {"memory_bytes": 1 << 40},
    "logfiles": {"access": "/etc/passwd"},
    "webapp": {"uid": 0, "limits": {"pids": 10**9}, "state": "running", "id": 1, "mounts": ["/"]},
}


def test_g14_keys_that_are_not_ones_own_to_set_are_ignored(platform: Platform, alice: User, bob: User) -> None:
    """Positive control: with all fields of the row let in, test_g14_... of tests/unit/panel/test_g_controls.py."""
    body = {**ODD_KEYS, "domain_name": f"keys-alice.{platform.domain}", "enabled": False}
    body["webapp"] = {**body["webapp"], "command": answering()}  # type: ignore[dict-item]
    with platform.api(alice) as api:
        created = api.post("websites/", json=body).json()
        changed = api.patch(f"websites/keys-alice.{platform.domain}/", json=ODD_KEYS).json()
    for shown in (created, changed):
        assert (shown["user"], shown["domain_name"]) == ("alice", f"keys-alice.{platform.domain}")
        assert shown["logfiles"]["access"] == f"/var/log/keys-alice.{platform.domain}.access.log"
        assert shown["webapp"]["state"] == "disabled"
        assert shown["webapp"]["deploy"]["revision"] < 10**9
    record = json.loads((platform.paths.websites / f"keys-alice.{platform.domain}.json").read_text())["spec"]
    assert (record["tenant"], record["limits"]["pids"] < 10**6) == ("alice", True)
    with platform.api(bob) as api:
        assert "keys-" not in api.get("websites/").text
    platform.delete(alice, "keys-alice")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"[" * 900_000, 400),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400),
        (b'{"webapp": {"command": ' + b"9" * 100_000 + b"}}", 400),
        (b'{"domain_name": 1e999, "enabled": -0, "webapp": []}', 400),
        (b'{"domain_name": {"$ne": null}, "webapp": {"command": true, "drain_s": "1e400"}}', 400),
        (b'{"enabled": ' + b" " * (1 << 20) + b"true}", 413),
        (b"\x00" * 1000, 400),
    ],
)
def test_g14_what_is_too_deep_too_large_or_of_another_type_is_refused(
    platform: Platform, alice: User, content: bytes, status: int
) -> None:
    with platform.api(alice) as api:
        answer = api.post("websites/", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text[:200]


def test_g16_a_command_reaches_bash_in_the_sandbox_and_no_shell_before(platform: Platform, alice: User) -> None:
    """Every place where a shell of ours would take it apart would leave its mark on the machine. Positive control: each
    of the marks is there in the sandbox.
    """
    marks = [f"/tmp/hostel-g16-{secrets.token_hex(4)}-{number}" for number in range(5)]
    tricks = (
        f"touch {marks[0]}; $(touch {marks[1]}) `touch {marks[2]}`; "
        f"""x='"; touch {marks[3]}; "'; touch {marks[4]}; """
        r"""echo '%s %n ${HOSTEL_ROOT} {{ 7*7 }} \x00 \' "\"" '--' '#' 'é😀' > tricks.txt; """
    )
    command = f"{tricks}ls {' '.join(marks)} > marks.txt 2>/dev/null; : {'x' * 10_000}; exec {answering('quoted')}"
    created = platform.create(alice, "quoted-alice", command)
    assert created.json()["webapp"]["state"] == "running", created.text
    assert created.json()["webapp"]["command"] == command
    in_sandbox = set(platform.shell("alice", "cat marks.txt").split())
    assert in_sandbox == {marks[0], marks[1], marks[2], marks[4]}, "the fourth stood between quotes"
    assert [mark for mark in marks if Path(mark).exists()] == []
    expected = '%s %n ${HOSTEL_ROOT} {{ 7*7 }} \\x00 \\ " -- # é😀\n'
    assert platform.shell("alice", "cat tricks.txt") == expected
    platform.delete(alice, "quoted-alice")


# -- G15


@contextlib.contextmanager
def login_form(platform: Platform, address: str) -> Iterator[tuple[httpx.Client, str]]:
    transport = httpx.HTTPTransport(verify=platform.tls(), local_address=address)
    with httpx.Client(transport=transport, timeout=30, base_url=platform.panel_url) as client:
        page = client.get("login/").text
        yield client, page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]


def log_in(client: httpx.Client, secret: str, name: str, password: str) -> httpx.Response:
    form = {"username": name, "password": password, "csrfmiddlewaretoken": secret}
    return client.post("login/", data=form, headers={"Referer": str(client.base_url)})


def test_g15_a_known_and_an_unknown_name_get_the_same_answer(platform: Platform, alice: User) -> None:
    """And take as long: the medians are compared, of tries in turns. With the full hash they lie around 0.3 s, so a
    difference that the hash makes would be that long; that of 1,000 tries within 5 ms: test_g15_... of
    tests/unit/panel/test_g_controls.py, with its control.
    """
    took: dict[str, list[float]] = {"alice": [], "nobodyatall": []}
    answers = set()
    with login_form(platform, "127.0.0.78") as (client, secret):
        for _ in range(4):
            for name, times in took.items():
                began = time.monotonic()
                page = log_in(client, secret, name, secrets.token_hex(8))
                times.append(time.monotonic() - began)
                text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"|value="(alice|nobodyatall)"', "", page.text)
                answers.add((page.status_code, text))
    assert len(answers) == 1
    medians = [statistics.median(times) for times in took.values()]
    assert abs(medians[0] - medians[1]) < 0.3 * max(medians), took
