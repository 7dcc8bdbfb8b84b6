"""F1 to F3: the logs that nginx writes. (F4, logging by datagram, is not built: the directories are out of reach.)"""

import contextlib
import os
import signal
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from edge_fixtures import DOMAIN, RunningEdge, WeakenedEdge, answer, replying

from hostel.supervisor.own_log import OwnLog, rotate
from hostel.wire.process import ProcessIdentity
from hostel.wire.route import RouteState
from live import Platform, User, answering
from waiting import until

ALICE = f"alice.{DOMAIN}"


# -- F1, F2: what lies where nginx opens logs

MISCHIEF = (
    "ln -sf /etc/hostname {0}; mkfifo {0}; : > {0}; rm -f {1}; mv {1} {1}.gone; chmod 777 /var/log; chown $(id -u) {1}"
)


def test_f1_f2_a_tenant_changes_nothing_in_the_log_directory(platform: Platform, bob: User) -> None:
    """Control: the same words work in the home, where a tenant may."""
    assert platform.create(bob, "bob", answering()).status_code == 201
    assert platform.get("bob").status_code == 200
    logs = platform.paths.site_logs / "bob"
    access = f"bob.{platform.domain}.access.log"
    until((logs / access).exists, what="the access log")
    before = {entry.name: entry.lstat().st_ino for entry in logs.iterdir()}
    script = MISCHIEF.format(f"/var/log/x.{platform.domain}.access.log", f"/var/log/{access}")
    platform.shell("bob", f"{script} 2>/dev/null; true")
    assert {entry.name: entry.lstat().st_ino for entry in logs.iterdir()} == before
    assert all(stat.S_ISREG(entry.lstat().st_mode) for entry in platform.paths.site_logs.glob("*/*"))
    assert logs.stat().st_uid == 0
    shown = platform.shell(
        "bob", "mkfifo ~/fifo && ln -s /etc/hostname ~/link && ls -l ~/fifo ~/link; rm ~/fifo ~/link"
    )
    assert [line[0] for line in shown.splitlines()] == ["p", "l"]
    platform.delete(bob, "bob")


def doctor_of_logs(platform: Platform) -> str:
    lines = platform.hostel("doctor", check=False).stdout.splitlines()
    return next(
        line for line in lines if "where logs of websites lie" in line or "all logs of websites are files" in line
    )


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_f2_what_is_no_file_among_the_logs_is_named_by_doctor(platform: Platform, bob: User, kind: str) -> None:
    directory = platform.paths.site_logs / "bob"
    until(directory.is_dir, what="the log directory")
    odd = directory / f"odd.{platform.domain}.access.log"
    if kind == "fifo":
        os.mkfifo(odd)
    else:
        odd.symlink_to("/etc/hostname")
    try:
        assert str(odd) in doctor_of_logs(platform)
    finally:
        odd.unlink()
    assert "all logs of websites are files" in doctor_of_logs(platform)


# -- F3: the edge's own error log


LINES_OF_WORK = 2000


def ask_the_dead(edge: RunningEdge, count: int) -> int:
    """How many bytes the error log grows while a website whose socket is gone is asked `count` times."""
    domain = f"dead.{DOMAIN}"
    gone = edge.paths.sockets / "1/gone/app.sock"
    edge.publish(domain, RouteState.RUNNING, run="gone", endpoint=f"unix:{gone}", hold_s=0.0)
    before = len(edge.errors())
    request = f"HEAD / HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode()
    with edge.connect() as connection:
        replies = connection.makefile("rb")
        for _ in range(count // 50):
            connection.sendall(request * 50)
            refused = 0
            while refused < 50:
                line = replies.readline()
                assert line, "the edge closed the connection"
                refused += line.startswith(b"HTTP/1.1 502")
    assert edge.status(domain).refused["website_refused"] >= count
    return len(edge.errors()) - before


def test_f3_a_dead_website_makes_no_lines(edge: RunningEdge) -> None:
    """100,000 requests may make 5 MB, which is 50 bytes each."""
    assert ask_the_dead(edge, LINES_OF_WORK) / LINES_OF_WORK < 1


def test_f3_control_at_the_usual_level_each_request_makes_one() -> None:
    with WeakenedEdge(("nginx.conf", "edge.error.log alert", "edge.error.log error")) as edge:
        assert ask_the_dead(edge, 200) / 200 > 100


def test_f3_a_log_that_cannot_be_opened_makes_no_lines_either(edge: RunningEdge) -> None:
    upstream = edge.upstream("run-nolog", replying(answer("ok")))
    edge.running(f"nolog.{DOMAIN}", upstream, access_log="/nonexistent/x.access.log")
    before = len(edge.errors())
    for _ in range(50):
        assert edge.get(f"nolog.{DOMAIN}").body == b"ok"
    assert len(edge.errors()) - before < 50


def identity(edge: RunningEdge) -> ProcessIdentity:
    assert edge.process is not None
    return ProcessIdentity.of(edge.process.pid)


def is_open_anew(edge: RunningEdge, path: Path) -> bool:
    """Whether none of nginx's processes writes to the copy any more: the next rotation would take that line along."""
    assert edge.process is not None
    opened = []
    for pid in (edge.process.pid, *edge.worker_pids()):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                opened.append(os.readlink(link))
    return str(path) in opened and f"{path}.1" not in opened


def test_f3_the_error_log_is_rotated_and_no_line_of_any_log_is_lost(edge: RunningEdge) -> None:
    """Many rotations under traffic: the lines of the access log and of the error log are all there."""
    edge.running(ALICE, edge.upstream("run-alice", replying(answer("alice"))))
    path = edge.paths.log / "edge.error.log"
    log = OwnLog(path=path, reopened_by=signal.SIGUSR1, limit_bytes=0)
    over = threading.Event()
    asked = [0]

    def visit() -> None:
        while not over.is_set():
            assert edge.get(ALICE).status == 200
            asked[0] += 1

    torn = edge.paths.routes / f"torn.{DOMAIN}.json"
    visitor = threading.Thread(target=visit, daemon=True)
    before = len(edge.log_lines(ALICE))
    visitor.start()
    try:
        for number in range(10):
            torn.with_name(f"torn-{number}.{DOMAIN}.json").write_text("{")
            assert edge.get(f"torn-{number}.{DOMAIN}").status == 502
            until(lambda number=number: f"torn-{number}." in edge.errors(), what="a line")  # type: ignore[misc]
            assert rotate(log, identity(edge))
            assert f"torn-{number}." in Path(f"{path}.1").read_text()
            until(lambda: is_open_anew(edge, path), what="each of nginx's processes opens it anew")
    finally:
        over.set()
        visitor.join(10)
    assert asked[0] > 50
    until(lambda: len(edge.log_lines(ALICE)) - before == asked[0], what="a line for each request")
    assert path.stat().st_size < 1000
    assert stat.S_ISREG(path.lstat().st_mode)


def test_f3_a_small_log_and_a_process_that_would_die_of_the_signal_are_left_alone(tmp_path: Path) -> None:
    log = OwnLog(path=tmp_path / "log", reopened_by=signal.SIGUSR1, limit_bytes=10)
    log.path.write_text("x" * 11)
    with subprocess.Popen(["sleep", "60"]) as process:
        assert not rotate(log, ProcessIdentity.of(process.pid))
        assert log.path.exists()
        assert process.poll() is None
        process.kill()
    script = "; ".join(
        (
            "import signal",
            "signal.signal(signal.SIGUSR1, lambda *_: print('told', flush=True))",
            "print('up', flush=True)",
        )
    )
    waiting = ["python3", "-c", f"{script}\nwhile True: signal.pause()"]
    with subprocess.Popen(waiting, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        own = ProcessIdentity.of(process.pid)
        assert rotate(log, own)
        assert process.stdout.readline() == "told\n"
        assert rotate(log, own), "killed between renaming and telling: told again"
        log.path.write_text("x" * 10)
        assert not rotate(log, own)
        process.kill()


@pytest.mark.parametrize("name", ["edge.error", "agent"])
def test_f3_the_supervisor_rotates_what_has_grown(platform: Platform, name: str) -> None:
    path = platform.paths.log / f"{name}.log"
    part = ProcessIdentity.of(platform.part_pid(name.split(".", maxsplit=1)[0]))
    with path.open("a") as file:
        file.write("a line of the test\n" * 600_000)
    until(lambda: path.exists() and path.stat().st_size < 1_000_000, what="it is rotated")
    assert Path(f"{path}.1").stat().st_size > 10_000_000
    assert part.is_alive()
