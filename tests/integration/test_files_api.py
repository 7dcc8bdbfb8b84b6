"""Files of a home through the API: the real `pa`, and what a stranger, a mistake or a hostile home can do."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from live import Platform, User, send_signal

CLIENTS = Path(__file__).parents[2] / ".venv-clients/bin"

IMPOSTOR = """
import os, socket, sys
os.unlink("/var/sockets/door/app.sock")
server = socket.socket(socket.AF_UNIX)
server.bind("/var/sockets/door/app.sock")
server.listen()
print("listening", flush=True)
while True:
    client, _ = server.accept()
    with client:
        if client.recv(4096):
            client.sendall(sys.argv[1].encode())
"""


@pytest.fixture(scope="module")
def filo(platform: Platform) -> User:
    return platform.add_user("filo")


@pytest.fixture
def files(platform: Platform, filo: User) -> Iterator[httpx.Client]:
    """Relative to files/."""
    base = f"{platform.panel_url}api/v0/user/filo/files/"
    with platform.visitor(base_url=base, headers={"Authorization": f"Token {filo.token}"}) as client:
        yield client


def upload(files: httpx.Client, path: str, content: bytes) -> httpx.Response:
    return files.post(f"path{path}", files={"content": ("content", content)})


def test_pa_uploads_shows_and_deletes(platform: Platform, filo: User, tmp_path: Path) -> None:
    environment = {
        "PATH": f"{CLIENTS}:{os.environ['PATH']}",
        "HOME": "/nonexistent",
        "PYTHONANYWHERE_SITE": f"www.{platform.domain}:{platform.https_port}",
        "PYTHONANYWHERE_DOMAIN": platform.domain,
        "PYTHONANYWHERE_USERNAME": filo.name,
        "USER": filo.name,
        "API_TOKEN": filo.token,
        "REQUESTS_CA_BUNDLE": str(platform.ca_file),
        "COLUMNS": "200",
    }

    def pa(*words: str) -> str:
        argv = ["pa", "path", *words]
        done = subprocess.run(argv, env=environment, text=True, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    (tmp_path / "site/empty").mkdir(parents=True)
    for number in range(60):
        (tmp_path / f"site/{number}.txt").write_text(str(number))
    script = tmp_path / "site/app.py"
    script.write_text("print('hello')\n")
    pa("upload", "/home/filo/site", "--contents", str(tmp_path / "site"), "--recursive")
    assert platform.shell("filo", "ls site | wc -l") == "62\n"
    pa("upload", "/home/filo/site/app.py", "-c", str(script))
    assert platform.shell("filo", "python3 site/app.py") == "hello\n"
    assert "print('hello')" in pa("get", "/home/filo/site/app.py")
    assert "app.py" in pa("tree", "/home/filo/site")
    assert "README.txt" in pa("get", "/home/filo")
    pa("delete", "/home/filo/site")
    assert platform.shell("filo", "ls -d site || echo gone").strip() == "gone"


def test_a_file_is_written_whole_and_comes_back_to_the_byte(files: httpx.Client, platform: Platform) -> None:
    content = os.urandom(24 << 20)
    assert upload(files, "/home/filo/a/b/x.json", content).status_code == 201
    assert upload(files, "/home/filo/a/b/x.json", content[::-1]).status_code == 200
    got = files.get("path/home/filo/a/b/x.json")
    assert got.content == content[::-1]
    assert got.headers["Content-Type"] == "application/octet-stream; charset=utf-8"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    owner = os.stat(platform.paths.homes / "filo/a/b/x.json").st_uid
    assert owner == os.stat(platform.paths.homes / "filo").st_uid
    assert files.delete("path/home/filo/a/").status_code == 204
    assert files.get("path/home/filo/a/").json() == {
        "detail": "No such file or directory: /home/filo/a",
        "code": "no_such_file",
    }


def test_a_name_that_is_not_utf8_hides_no_other(files: httpx.Client, platform: Platform) -> None:
    platform.shell("filo", "mkdir -p odd; touch odd/$'b\\xff' odd/a")
    assert sorted(files.get("path/home/filo/odd").json()) == ["a", "b?"]
    assert files.get("tree/", params={"path": "/home/filo/odd"}).json() == ["/home/filo/odd/a", "/home/filo/odd/b?"]


def test_a_directory_is_listed_with_kinds_and_addresses(files: httpx.Client, platform: Platform) -> None:
    platform.shell("filo", "mkdir -p d/sub; touch d/'a b'; ln -s /etc/passwd d/link")
    listed = files.get("path/home/filo/d").json()
    assert {name: each["type"] for name, each in listed.items()} == {
        "a b": "file",
        "link": "symlink",
        "sub": "directory",
    }
    assert listed["a b"]["url"] == f"{files.base_url}path/home/filo/d/a%20b"
    assert files.get("tree/", params={"path": "/home/filo/d"}).json() == ["/home/filo/d/a b", "/home/filo/d/sub/"]
    wrong = files.get("tree/", params={"path": "/home/filo/d/a b"})
    assert (wrong.status_code, wrong.json()["detail"]) == (400, "/home/filo/d/a b is not a directory")
    assert files.get("tree/", params={"path": "/var/log"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/home/filo/../bob/x", "/home/bob/", "/tmp/x", "/proc/1/environ", "/home/filox"],
)
def test_g11_only_the_home_and_the_logs_are_there(files: httpx.Client, bob: User, path: str) -> None:
    assert files.get(f"path{path}").status_code == 404
    assert upload(files, path, b"x").status_code in (403, 404)
    assert files.delete(f"path{path}").status_code in (403, 404)


def test_g11_a_link_leads_nowhere_that_the_tenant_cannot_go(files: httpx.Client, platform: Platform, bob: User) -> None:
    platform.shell("bob", "echo secret > mine.txt; chmod 600 mine.txt")
    platform.shell("filo", "ln -sfn /home/bob b; ln -sfn /etc e; ln -sfn / r")
    for path in ("b/mine.txt", "b", f"r{platform.paths.homes}/bob/mine.txt", "r/root", "e/shadow"):
        answer = files.get(f"path/home/filo/{path}")
        assert (answer.status_code in (403, 404)) or "secret" not in answer.text
    assert upload(files, "/home/filo/e/x", b"x").status_code in (403, 404)
    assert "root" in files.get("path/home/filo/e/passwd").text  # the tenant's own view of it: control


def test_g4_a_strangers_token_opens_no_home(platform: Platform, filo: User, bob: User) -> None:
    with platform.visitor(headers={"Authorization": f"Token {bob.token}"}) as client:
        for rest in ("path/home/filo/README.txt", "tree/?path=/home/filo"):
            assert client.get(f"{platform.panel_url}api/v0/user/filo/files/{rest}").status_code == 403


def test_what_cannot_be_done_is_said(files: httpx.Client, platform: Platform) -> None:
    platform.shell("filo", "mkfifo -m 644 pipe; mkdir -p dir locked/in; chmod 500 locked")
    assert files.get("path/home/filo/pipe").status_code == 400
    answer = files.post("path/home/filo/new", data={"other": "x"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "You must provide a file with the name 'content'.")
    assert upload(files, "/home/filo/dir", b"").json()["code"] == "is_a_directory"
    assert upload(files, "/home/filo/README.txt/x", b"").status_code == 404
    assert upload(files, "/home/filo/locked/x", b"").status_code == 403
    assert upload(files, "/var/log/x", b"").status_code == 403
    home = files.delete("path/home/filo")
    assert (home.status_code, home.json()["code"]) == (403, "forbidden")
    gone = files.delete("path/home/filo/none")
    assert (gone.status_code, gone.json()) == (404, {"message": "File does not exist", "code": "not_found"})
    assert files.get("path/home/filo/%00").status_code == 400
    assert upload(files, f"/home/filo/{'n' * 300}", b"").status_code in (400, 404)
    platform.shell("filo", 'python3 -c \'import os\nfor _ in range(2500): os.mkdir("n"); os.chdir("n")\'')
    assert files.delete("path/home/filo/n").status_code == 204
    assert files.get("path/home/filo/n").status_code == 404
    assert upload(files, "/home/filo/empty", b"").status_code == 201
    assert files.get("path/home/filo/empty").content == b""


def test_the_door_is_opened_again_when_it_has_died(files: httpx.Client, platform: Platform) -> None:
    assert files.get("path/home/filo").status_code == 200
    (door,) = _doors_of(os.stat(platform.paths.homes / "filo").st_uid)
    send_signal(door, signal.SIGKILL)
    assert files.get("path/home/filo").status_code == 200


@pytest.mark.parametrize(
    "answer",
    [
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<b>",
        "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n[1,2]",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[",
        "nonsense\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n[1,2]",
        'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"\\ud800": [1]}',
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n{'[' * 99999}",
    ],
)
def test_g11_a_home_that_answers_falsely_harms_only_itself(
    files: httpx.Client, platform: Platform, answer: str
) -> None:
    """The tenant listens in the door's place: whoever has its uid may enter its directory."""
    assert files.get("path/home/filo").status_code == 200
    uid = os.stat(platform.paths.homes / "filo").st_uid
    (door,) = _doors_of(uid)
    argv = ["nsenter", "-t", str(door), "--mount", "--setuid", str(uid), "--setgid", str(uid)]
    impostor = subprocess.Popen([*argv, "python3", "-c", IMPOSTOR, answer], stdout=subprocess.PIPE, text=True)
    try:
        assert impostor.stdout is not None
        assert impostor.stdout.readline() == "listening\n"
        told = files.get("path/home/filo")
        assert (told.status_code, told.json()["code"]) in ((503, "files_unreachable"), (503, "agent_unreachable"))
    finally:
        impostor.kill()
        impostor.communicate()
        send_signal(door, signal.SIGKILL)


def _doors_of(uid: int) -> list[int]:
    found = []
    for pid in _processes_of(uid):
        with contextlib.suppress(OSError):
            if b"door.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def _processes_of(uid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid == uid:
                found.append(int(entry.name))
        except OSError:
            continue
    return found
