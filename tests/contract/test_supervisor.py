"""The supervisor with small real parts: Python scripts, and one real nginx."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostel.supervisor.nginx import end_nginx, find_nginx
from hostel.supervisor.part import list_pids
from hostel.wire.config import render_config
from hostel.wire.paths import Paths
from live import free_port

# Runs the supervisor with the parts that its second argument describes.
SUPERVISOR = """
import json, signal, sys
from functools import partial
from pathlib import Path
from hostel.supervisor.__main__ import ensure_clean_process
from hostel.supervisor.daemon import Supervisor
from hostel.supervisor.nginx import end_nginx
from hostel.supervisor.part import Part, StopStep
from hostel.wire.paths import Paths

paths = Paths(Path(sys.argv[1]))
parts = []
for spec in json.loads(sys.argv[2]):
    stop = tuple(StopStep(number=signal.Signals[name], wait_s=wait_s) for name, wait_s in spec["stop"])
    clear = {"clear": partial(end_nginx, paths)} if spec["name"] == "edge" else {}
    parts.append(Part(name=spec["name"], argv=tuple(spec["argv"]), stop=stop, **clear))
ensure_clean_process()
sys.exit(Supervisor(paths, parts).serve())
"""

# A part that notes its end; and an agent that says how the panel is.
PLAIN = """
import os, signal, sys
root, name = sys.argv[1:]
def end(*_):
    with open(root + "/ended", "a") as file:
        file.write(name + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print(name, "started", flush=True)
while True:
    signal.pause()
"""
AGENT = """
import http.server, os, signal, socketserver, sys
root, name = sys.argv[1:]
def end(*_):
    with open(root + "/ended", "a") as file:
        file.write(name + " ")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"panel": "%s", "installation": "0a1b2c3d"}' % open(root + "/panel", "rb").read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
path = root + "/run/hostel/agent/root/agent.sock"
os.makedirs(os.path.dirname(path), exist_ok=True)
if os.path.exists(path):
    os.unlink(path)
socketserver.UnixStreamServer(path, Health).serve_forever()
"""
NGINX = """
daemon off; worker_processes 2; pid {edge}/nginx.pid; error_log {log}/edge-error.log error;
events {{ worker_connections 64; }}
http {{
    access_log off;
    server {{ listen 127.0.0.1:{port}; listen unix:{edge}/control/edge.sock; return 200 "hello"; }}
}}
"""


def eventually(is_so: Callable[[], bool], *, within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.01)


class Lab:
    """A root with three parts; all that it starts names the root on its command line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = Paths(root)
        self.port = free_port()
        self.messages = root / "messages"
        self.messages.touch()
        (root / "panel").write_text("running")
        self.paths.config_file.parent.mkdir(parents=True)
        text = render_config(domain="example.com", http_port=8080, https_port=8443, environment={})
        self.paths.config_file.write_text(text)
        for directory in (self.paths.edge / "control", self.paths.log):
            directory.mkdir(parents=True)
        self.supervisors: list[subprocess.Popen[bytes]] = []
        self.parts = [
            {"name": "edge", "argv": self.script("edge", PLAIN), "stop": [("SIGTERM", 5)]},
            {"name": "agent", "argv": self.script("agent", AGENT), "stop": [("SIGTERM", 5)]},
            {"name": "logger", "argv": self.script("logger", PLAIN), "stop": [("SIGTERM", 5)]},
        ]

    def script(self, name: str, code: str) -> list[str]:
        path = self.root / f"{name}.py"
        path.write_text(code)
        return [sys.executable, str(path), str(self.root), name]

    def use_nginx(self) -> None:
        conf = self.paths.edge / "nginx.conf"
        conf.write_text(NGINX.format(edge=self.paths.edge, log=self.paths.log, port=self.port))
        self.parts[0]["argv"] = ["/usr/sbin/nginx", "-c", str(conf)]
        self.parts[0]["stop"] = [("SIGQUIT", 5), ("SIGTERM", 2)]

    def start(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", SUPERVISOR, str(self.root), json.dumps(self.parts)]
        with self.messages.open("ab") as messages:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=messages)
        self.supervisors.append(process)
        return process

    def start_and_wait(self) -> subprocess.Popen[bytes]:
        self.messages.write_text("")
        process = self.start()
        self.wait_for("Hostel is up: https://www.example.com:8443/\n")
        return process

    def wait_for(self, message: str, *, within_s: float = 15.0) -> None:
        eventually(lambda: message in self.messages.read_text(), within_s=within_s)

    def pid(self, name: str) -> int:
        record = json.loads((self.paths.supervisor / f"{name}.json").read_bytes())
        pid: int = record["pid"]
        return pid

    def pids(self) -> dict[str, int]:
        return {name: self.pid(name) for name in ("edge", "agent", "logger")}

    def restarted(self, name: str, before: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return self.pid(name) != before
        return False

    def get(self) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError as error:
            return str(error)

    def all_running(self) -> set[int]:
        """Every process that names this root: parts, and nginx by what it holds open."""
        named = set()
        for pid in list_pids():
            with contextlib.suppress(OSError):
                if str(self.root).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    named.add(pid)
        return named | {process.pid for process in find_nginx(self.paths)}

    def clean_up(self) -> None:
        for supervisor in self.supervisors:
            supervisor.kill()
            supervisor.wait()
        end_nginx(self.paths)
        for pid in self.all_running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.clean_up()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_it_starts_all_says_that_hostel_is_up_and_stops_all_in_order(lab: Lab):
    supervisor = lab.start_and_wait()
    assert all(is_running(pid) for pid in lab.pids().values())
    for name in ("edge", "logger"):  # they catch the signal now
        eventually(lambda name=name: "started" in (lab.paths.log / f"{name}.log").read_text())
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(10) == 0
    assert (lab.root / "ended").read_text() == "edge agent logger "
    assert lab.all_running() == set()
    assert list(lab.paths.supervisor.glob("*.json")) == []
    messages = lab.messages.read_text()
    assert re.search(r"^The logger starts \(pid [0-9]+\)\.$", messages, re.MULTILINE)
    assert "Stopping the agent (SIGTERM, up to 5 s).\nThe agent ended with exit status 0.\n" in messages
    assert messages.endswith("Everything is stopped.\n")


def test_ctrl_c_stops_all_and_the_parts_never_see_it(lab: Lab):
    supervisor = lab.start_and_wait()
    assert {os.getsid(pid) for pid in lab.pids().values()} == set(lab.pids().values())
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(10) == 0
    assert lab.all_running() == set()


def test_output_of_a_part_is_appended_to_its_log(lab: Lab):
    log = lab.paths.log / "logger.log"
    log.write_text("from before\n")
    lab.start_and_wait()
    eventually(lambda: log.read_text() == "from before\nlogger started\n")


def test_a_log_above_ten_mebibytes_is_moved_aside_at_start(lab: Lab):
    log = lab.paths.log / "logger.log"
    log.write_bytes(b"x" * (10 * 1024 * 1024 + 1))
    lab.start_and_wait()
    eventually(lambda: log.read_text() == "logger started\n")
    assert log.with_name("logger.log.1").stat().st_size == 10 * 1024 * 1024 + 1


@pytest.mark.parametrize("name", ["edge", "agent", "logger"])
def test_a_part_that_dies_is_started_again_and_the_others_are_left_alone(lab: Lab, name: str):
    lab.start_and_wait()
    before = lab.pids()
    os.kill(before[name], signal.SIGKILL)
    lab.wait_for(f"The {name} was ended by SIGKILL; starting it again in 0.2 s. See {lab.paths.log / name}.log\n")
    eventually(lambda: lab.restarted(name, before[name]))
    assert is_running(lab.pid(name))
    assert {other: pid for other, pid in lab.pids().items() if other != name} == {
        other: pid for other, pid in before.items() if other != name
    }


def test_a_part_that_cannot_run_is_tried_ever_more_slowly(lab: Lab):
    lab.parts[2]["argv"] = ["/bin/sh", "-c", f"exit 3 # {lab.root}"]
    started = time.monotonic()
    lab.start()
    lab.wait_for("The logger ended with exit status 3; starting it again in 1.6 s.")
    assert time.monotonic() - started > 1.3  # 0.2 + 0.4 + 0.8


def test_a_program_that_is_missing_is_said_and_the_others_run(lab: Lab):
    lab.parts[2]["argv"] = ["/no/such/program"]
    lab.start()
    lab.wait_for("The logger cannot be started: [Errno 2] No such file or directory: '/no/such/program'; trying again")
    lab.wait_for("The agent starts")
    lab.wait_for("The edge starts")


def test_killed_it_takes_nothing_along_and_its_successor_adopts_what_runs(lab: Lab):
    lab.start_and_wait().kill()
    before = lab.pids()
    lab.supervisors[0].wait()
    assert all(is_running(pid) for pid in before.values())
    successor = lab.start_and_wait()
    assert lab.pids() == before
    assert f"The agent runs already (pid {before['agent']}): adopted.\n" in lab.messages.read_text()
    os.kill(before["logger"], signal.SIGKILL)
    eventually(lambda: lab.restarted("logger", before["logger"]))
    assert lab.pid("agent") == before["agent"]
    successor.send_signal(signal.SIGTERM)
    assert successor.wait(10) == 0
    assert lab.all_running() == set()


def test_a_part_that_died_with_its_supervisor_is_started_by_the_next(lab: Lab):
    supervisor = lab.start_and_wait()
    before = lab.pids()
    supervisor.kill()
    supervisor.wait()
    os.kill(before["agent"], signal.SIGKILL)
    lab.start_and_wait()
    assert lab.pid("agent") != before["agent"]
    assert lab.pid("edge") == before["edge"]


def test_a_part_without_a_record_is_found_by_its_command_line(lab: Lab):
    supervisor = lab.start_and_wait()
    before = lab.pids()
    supervisor.kill()
    supervisor.wait()
    for path in lab.paths.supervisor.glob("*.json"):
        path.unlink()
    lab.start_and_wait()
    assert lab.pids() == before


def test_a_record_whose_pid_is_now_another_process_is_not_believed(lab: Lab):
    with subprocess.Popen(["sleep", "60"], cwd=lab.root) as stranger:
        supervisor = lab.start_and_wait()
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait()
        record = {"pid": stranger.pid, "start_ticks": 1, "boot_id": "of-an-earlier-boot", "argv": []}
        (lab.paths.supervisor / "logger.json").write_text(json.dumps(record))
        supervisor = lab.start_and_wait()
        assert lab.pid("logger") != stranger.pid
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(10) == 0
        assert stranger.poll() is None
        stranger.kill()


def test_a_second_supervisor_of_the_same_root_refuses(lab: Lab):
    first = lab.start_and_wait()
    before = lab.pids()
    second = lab.start()
    assert second.wait(10) == 1
    expected = f"Hostel runs already for {lab.root} (its supervisor has pid {first.pid}). Stop that one first.\n"
    assert lab.messages.read_text().endswith(expected)
    assert lab.pids() == before


def test_a_part_that_ignores_term_is_killed_after_its_time(lab: Lab):
    stubborn = "import signal\nsignal.signal(15, signal.SIG_IGN)\nprint('deaf', flush=True)\nwhile True: signal.pause()"
    lab.parts[0] = {"name": "edge", "argv": lab.script("edge", stubborn), "stop": [("SIGTERM", 0.3)]}
    supervisor = lab.start_and_wait()
    eventually(lambda: (lab.paths.log / "edge.log").read_text() == "deaf\n")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(10) == 0
    assert "Stopping the edge (SIGKILL, up to 5 s).\nThe edge was ended by SIGKILL.\n" in lab.messages.read_text()
    assert (lab.root / "ended").read_text() == "agent logger "


def test_a_signal_during_start_up_stops_what_was_started(lab: Lab):
    (lab.root / "panel").write_text("starting")
    supervisor = lab.start()
    lab.wait_for("The logger starts")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(15) == 0
    assert lab.all_running() == set()


def test_a_hangup_is_ignored_and_so_is_a_terminal_that_has_gone(lab: Lab):
    reader, writer = os.pipe()
    argv = [sys.executable, "-c", SUPERVISOR, str(lab.root), json.dumps(lab.parts)]
    supervisor = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
    lab.supervisors.append(supervisor)
    os.close(writer)
    os.close(reader)
    eventually((lab.paths.supervisor / "edge.json").exists)
    supervisor.send_signal(signal.SIGHUP)
    before = lab.pid("logger")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: lab.restarted("logger", before))
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(10) == 0


def test_with_all_standard_streams_closed_it_works_and_leaks_no_descriptor(lab: Lab):
    argv = [sys.executable, "-c", SUPERVISOR, str(lab.root), json.dumps(lab.parts)]
    leak = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leak, True)
    supervisor = subprocess.Popen(["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *argv], close_fds=False)
    os.close(leak)
    lab.supervisors.append(supervisor)
    eventually((lab.paths.supervisor / "edge.json").exists)
    eventually(lambda: (lab.paths.log / "edge.log").read_text() == "edge started\n")
    assert sorted(os.listdir(f"/proc/{lab.pid('edge')}/fd")) == ["0", "1", "2"]
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(10) == 0


def test_exit_78_at_the_first_start_shows_why_and_stops_everything_with_1(lab: Lab):
    complaint = "echo old; echo 'listen.http_port: port 80 is taken by apache2; stop it'; exit 78"
    (lab.paths.log / "edge.log").write_text("of an earlier day\n")
    lab.parts[0]["argv"] = ["/bin/sh", "-c", f"{complaint} # {lab.root}"]
    supervisor = lab.start()
    assert supervisor.wait(15) == 1
    messages = lab.messages.read_text()
    assert (
        "The edge cannot use its configuration:\n  old\n  listen.http_port: port 80 is taken by apache2; stop it\n"
    ) in messages
    assert "of an earlier day" not in messages
    assert lab.all_running() == set()


def test_exit_78_takes_nothing_from_visitors_while_adopted_parts_serve(lab: Lab):
    supervisor = lab.start_and_wait()
    before = lab.pids()
    supervisor.kill()
    supervisor.wait()
    os.kill(before["logger"], signal.SIGKILL)
    lab.parts[2]["argv"] = ["/bin/sh", "-c", f"exit 78 # {lab.root}"]
    lab.start()
    lab.wait_for("The logger ended with exit status 78; starting it again in 0.4 s.")
    assert is_running(before["edge"])
    assert is_running(before["agent"])


def test_it_says_what_it_waits_for_until_the_panel_runs(lab: Lab):
    (lab.root / "panel").write_text("starting")
    lab.start()
    lab.wait_for("Waiting: the panel is starting (")
    assert "Hostel is up" not in lab.messages.read_text()
    (lab.root / "panel").write_text("running")
    lab.wait_for("Hostel is up: https://www.example.com:8443/\n", within_s=3)
    time.sleep(1)
    assert lab.messages.read_text().count("Hostel is up") == 1


def test_without_root_it_says_so():
    code = "import os, shutil, sys; os.seteuid(65534); sys.argv[1:] = ['--root', '/nowhere']\n"
    code += "from hostel.supervisor.__main__ import main; sys.exit(main())"
    argv = [sys.executable, "-c", "import hostel.supervisor.__main__\n" + code]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert (result.returncode, result.stderr) == (
        1,
        "Hostel needs root: run `hostel up` as root, with sudo for example.\n",
    )


# -- with a real nginx as edge


def test_nginx_is_stopped_gracefully(lab: Lab):
    lab.use_nginx()
    supervisor = lab.start_and_wait()
    assert lab.get() == "hello"
    assert len(find_nginx(lab.paths)) == 3  # master and two workers
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(15) == 0
    assert "Stopping the edge (SIGQUIT, up to 5 s).\nThe edge ended with exit status 0.\n" in lab.messages.read_text()
    assert find_nginx(lab.paths) == []


def test_orphaned_workers_of_a_killed_nginx_are_ended_before_the_next_starts(lab: Lab):
    lab.use_nginx()
    lab.start_and_wait()
    assert lab.get() == "hello"
    master = lab.pid("edge")
    workers = {process.pid for process in find_nginx(lab.paths)} - {master}
    assert len(workers) == 2
    os.kill(master, signal.SIGKILL)
    killed = time.monotonic()
    eventually(lambda: not any(is_running(pid) for pid in workers), within_s=2)
    assert time.monotonic() - killed < 1.5
    eventually(lambda: lab.restarted("edge", master))
    eventually(lambda: lab.get() == "hello")
    assert len(find_nginx(lab.paths)) == 3
    assert "bind()" not in (lab.paths.log / "edge.log").read_text()


def test_orphaned_workers_are_ended_also_when_the_supervisor_was_killed_too(lab: Lab):
    lab.use_nginx()
    supervisor = lab.start_and_wait()
    eventually(lambda: lab.get() == "hello")
    master = lab.pid("edge")
    supervisor.kill()
    supervisor.wait()
    os.kill(master, signal.SIGKILL)
    workers = {process.pid for process in find_nginx(lab.paths)} - {master}
    assert lab.get() == "hello", "orphaned workers serve on"
    lab.start_and_wait()
    assert not any(is_running(pid) for pid in workers)
    eventually(lambda: lab.get() == "hello")


def test_an_adopted_nginx_serves_on_without_a_break(lab: Lab):
    lab.use_nginx()
    supervisor = lab.start_and_wait()
    before = {process.pid for process in find_nginx(lab.paths)}
    supervisor.kill()
    supervisor.wait()
    lab.start_and_wait()
    assert lab.get() == "hello"
    assert {process.pid for process in find_nginx(lab.paths)} == before


def test_nginx_of_another_root_and_of_a_sandbox_is_left_alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory):
    other = Lab(tmp_path_factory.mktemp("other"))
    other.use_nginx()
    lab.use_nginx()
    sandboxed = ["unshare", "--pid", "--fork", "--kill-child", *map(str, lab.parts[0]["argv"])]
    try:
        other.start_and_wait()
        with subprocess.Popen(sandboxed) as unshare:  # a tenant's: same files, a PID namespace of its own
            eventually(lambda: lab.get() == "hello")
            assert find_nginx(lab.paths) == []
            assert end_nginx(lab.paths) == 0
            assert lab.get() == other.get() == "hello"
            unshare.kill()
    finally:
        other.clean_up()


def test_ending_orphans_takes_less_than_a_second_even_if_they_answer_requests(lab: Lab):
    lab.use_nginx()
    supervisor = lab.start_and_wait()
    eventually(lambda: lab.get() == "hello")
    with socket.create_connection(("127.0.0.1", lab.port)) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")  # a request that does not end
        supervisor.kill()
        supervisor.wait()
        os.kill(lab.pid("edge"), signal.SIGKILL)
        began = time.monotonic()
        assert end_nginx(lab.paths) >= 2
        assert time.monotonic() - began < 1.0
    assert "refused" in lab.get()
