"""A whole platform of its own for tests and benchmarks: real nginx, runc, panel and agent below a throw-away root.

Started by `hostel up` and driven by the command line and the API, as users do.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from hostel.wire.codec import to_jsonable
from hostel.wire.paths import Paths
from hostel.wire.process import ProcessIdentity

HOSTEL = Path(sys.executable).with_name("hostel")
SITES = Path(__file__).with_name("sites")
ANSWER = SITES / "answer.py"
AT_PORT = SITES / "at_port.py"
PREFIX = "hostel-live-"
OWNER = "owner.json"  # below the root: which process made it
UP_DEADLINE_S = 60.0
DOWN_DEADLINE_S = 60.0
DOMAIN = "hostel.localhost"


@dataclass(frozen=True, slots=True)
class User:
    name: str
    password: str
    token: str


class Platform:
    """One installation. `up` and `down` may be called again and again."""

    def __init__(self, *, settings: str = "", started_by: Sequence[str] = ()) -> None:
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
        self.root.chmod(0o711)  # nginx's workers must get through
        (self.root / OWNER).write_text(json.dumps(to_jsonable(ProcessIdentity.of(os.getpid()))))
        self.paths = Paths(self.root)
        self.http_port, self.https_port = free_port(), free_port()
        self.domain = DOMAIN
        self._settings = settings
        self._started_by = started_by  # a command that becomes `hostel up`
        self._process: subprocess.Popen[bytes] | None = None

    def add_settings(self, settings: str) -> None:
        """Before it is up for the first time: more of hostel.toml, which may name its ports."""
        self._settings += settings

    # -- life

    def up(self) -> None:
        """Start and wait until the panel answers. Raises RuntimeError with the logs."""
        self._write_settings()
        with (self.root / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._up_command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment()
            )
        deadline = time.monotonic() + UP_DEADLINE_S
        while not self.is_up():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"the platform did not start:\n{self.logs()}")
            time.sleep(0.05)

    def down(self) -> None:
        """SIGTERM to the supervisor, and wait until everything has ended."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(DOWN_DEADLINE_S)
            self._process = None

    def remove(self) -> None:
        self.down()
        unmount_below(self.root)
        remove_tree(self.root)

    def is_up(self) -> bool:
        try:
            # First: the trial run of nginx's configuration listens for a moment too, and Python's ssl does not close a
            # connection that is reset before its handshake begins.
            if not self._does_edge_answer():
                return False
            with self.visitor() as client:
                return client.get(f"{self.panel_url}login/").status_code == 200
        except (httpx.HTTPError, OSError):
            return False

    def _does_edge_answer(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.paths.edge_socket))
            client.sendall(b"GET /status HTTP/1.0\r\n\r\n")
            return b" 200 " in client.recv(64)

    def part_pid(self, part: str) -> int:
        """The pid of `agent`, `edge` or `logger`, as the supervisor knows it; 0 while there is none."""
        try:
            return int(json.loads((self.paths.supervisor / f"{part}.json").read_text())["pid"])
        except FileNotFoundError:
            return 0

    @property
    def supervisor_pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def forget_supervisor(self) -> None:
        """It was killed; `down` must not wait for it."""
        assert self._process is not None
        self._process.wait()
        self._process = None

    def logs(self) -> str:
        files = [self.root / "up.log", *sorted(self.paths.log.glob("*.log"))]
        files += sorted((self.paths.site_logs / "hostel").glob("*.error.log"))
        return "\n".join(f"== {file}\n{file.read_text(errors='replace')[-4000:]}" for file in files if file.exists())

    # -- the command line

    def hostel(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(HOSTEL), *arguments],
            input=stdin,
            text=True,
            capture_output=True,
            env=self._environment(),
            timeout=240,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"hostel {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def shell(self, user: str, script: str, *, check: bool = True) -> str:
        """The output of a script in the user's sandbox."""
        return self.hostel("shell", user, "--", "bash", "-lc", script, check=check).stdout

    def in_home(self, user: str, script: str, *, stdin: str = "") -> str:
        """The output of a script that runs on the host, with the user's uid and from the home: for what needs files and
        no sandbox, and so a hundred times as fast.
        """
        home = self.paths.homes / user
        uid = os.stat(home).st_uid
        done = subprocess.run(
            ["/bin/bash", "-c", script], input=stdin, text=True, capture_output=True, cwd=home, user=uid, group=uid,
            extra_groups=[], timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def add_user(self, name: str) -> User:
        password = secrets.token_urlsafe(12)
        self.hostel("user", "add", name, "--password-stdin", stdin=password + "\n")
        return User(name, password, self.hostel("token", "create", name).stdout.strip())

    def add_user_with_server(self, name: str) -> User:
        """A user whose home holds `answer.py`, which `answering` serves."""
        user = self.add_user(name)
        self.hostel("shell", name, "--", "bash", "-c", "cat > answer.py", stdin=ANSWER.read_text())
        return user

    # -- HTTP

    @property
    def ca_file(self) -> Path:
        return self.paths.certificates / "ca.pem"

    @property
    def panel_url(self) -> str:
        return f"https://www.{self.domain}:{self.https_port}/"

    def url(self, label: str, path: str = "/", *, https: bool = True) -> str:
        scheme, port = ("https", self.https_port) if https else ("http", self.http_port)
        return f"{scheme}://{label}.{self.domain}:{port}{path}"

    def visitor(self, **options: object) -> httpx.Client:
        """A client that trusts the installation's own authority."""
        return httpx.Client(verify=self.tls(), trust_env=False, timeout=90, **options)  # type: ignore[arg-type]

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))

    def get(self, label: str, path: str = "/") -> httpx.Response:
        """One request on a fresh connection, never retried."""
        with self.visitor() as client:
            return client.get(self.url(label, path))

    def api(self, user: User) -> httpx.Client:
        """A client of the user's API, relative to /api/v1/user/<name>/."""
        base = f"{self.panel_url}api/v1/user/{user.name}/"
        return self.visitor(base_url=base, headers={"Authorization": f"Token {user.token}"})

    def create(self, user: User, label: str, command: str, **webapp: object) -> httpx.Response:
        with self.api(user) as api:
            return api.post("websites/", json=self.wanted(label, command, **webapp))

    def wanted(self, label: str, command: str, **webapp: object) -> dict[str, object]:
        """What the API is sent for a new website."""
        return {
            "domain_name": f"{label}.{self.domain}",
            "enabled": True,
            "webapp": {"command": command, **webapp},
        }

    def delete(self, user: User, label: str) -> None:
        with self.api(user) as api:
            assert api.delete(f"websites/{label}.{self.domain}/").status_code == 204

    def ask_agent(self, method: str, path: str, body: object = None) -> httpx.Response:
        """The agent through the panel's door, as the panel would ask it."""
        transport = httpx.HTTPTransport(uds=str(self.paths.agent_for_panel / "agent.sock"))
        with httpx.Client(transport=transport, timeout=90) as client:
            return client.request(method, f"http://agent{path}", json=body)

    def edge_status(self, label: str) -> dict[str, int]:
        """The edge's own counters for one website."""
        transport = httpx.HTTPTransport(uds=str(self.paths.edge_socket))
        with httpx.Client(transport=transport) as client:
            return dict(client.get(f"http://edge/status?domain={label}.{self.domain}").json())

    # -- private

    def _up_command(self) -> list[str]:
        ports = ("--http-port", str(self.http_port), "--https-port", str(self.https_port))
        preset = [f"--sandbox-env={key}={value}" for key, value in pip_settings().items()]
        return [*self._started_by, str(HOSTEL), "up", "--domain", self.domain, *ports, *preset]

    def _write_settings(self) -> None:
        """With `settings`: `hostel up` would write the defaults; a test that wants others writes the file itself."""
        if self._settings and not self.paths.config_file.exists():
            self.paths.config_file.parent.mkdir(parents=True)
            preset = "\n".join(f"{key} = {json.dumps(value)}" for key, value in pip_settings().items())
            self.paths.config_file.write_text(
                f'[sites]\ndomain = "{self.domain}"\n[listen]\nhttp_port = {self.http_port}\n'
                f"https_port = {self.https_port}\n[sandbox.environment]\n{preset}\n{self._settings}\n"
            )

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOSTEL_ROOT": str(self.root), "COLUMNS": "200"}


@contextlib.contextmanager
def running(settings: str = "", *, started_by: Sequence[str] = ()) -> Iterator[Platform]:
    """A platform that is up, and of which nothing is left afterwards."""
    platform = Platform(settings=settings, started_by=started_by)
    try:
        platform.up()
        yield platform
    finally:
        platform.remove()


def send_signal(pid: int, number: signal.Signals) -> None:
    """As os.kill, but never to a whole group: pid 0 would be the tests themselves."""
    assert pid > 1, f"there is no process to send {number.name} to"
    os.kill(pid, number)


def answering(word: str = "hello") -> str:
    """A command that serves `answer.py`."""
    return f"python3 answer.py {word}"


def pip_settings() -> dict[str, str]:
    """The host's settings of pip that make sense in a sandbox too: no paths."""
    found = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
    return {key: value for key, value in found.items() if not value.startswith("/")}


_given: set[int] = set()


def free_port() -> int:
    """None that was given before, and none of those that the kernel gives to whoever connects (ip_local_port_range)."""
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            if port not in _given:
                _given.add(port)
                return port


def remove_tree(root: Path) -> None:
    """However deep: users of killed tests may have left what is too deep for Python's recursion."""
    subprocess.run(["rm", "-rf", "--one-file-system", str(root)], check=False)


def unmount_below(root: Path) -> None:
    mounted = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for target in sorted((place for place in mounted if place.startswith(f"{root}/")), reverse=True):
        subprocess.run(["umount", "--lazy", target], check=False)


def sweep_leftovers() -> None:
    """End and remove platforms whose tests were killed: their supervisor or its parts may still run."""
    for root in Path("/tmp").glob(f"{PREFIX}*"):
        if _has_live_owner(root):
            continue
        for process in [*_supervisors(root), *_parts(root)]:
            process.send(signal.SIGTERM)
            deadline = time.monotonic() + DOWN_DEADLINE_S
            while process.is_alive() and time.monotonic() < deadline:
                time.sleep(0.05)
        unmount_below(root)
        remove_tree(root)


def _has_live_owner(root: Path) -> bool:
    """Whether the tests that made it are still at work. One that cannot be read is just being made."""
    try:
        return ProcessIdentity(**json.loads((root / OWNER).read_text())).is_alive()
    except (OSError, ValueError, TypeError):
        return time.time() - root.stat().st_mtime < UP_DEADLINE_S


def _supervisors(root: Path) -> Iterator[ProcessIdentity]:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            arguments = entry.read_bytes().split(b"\0")
            if b"hostel.supervisor" in arguments and os.fsencode(root) in arguments:
                yield ProcessIdentity.of(int(entry.parent.name))


def _parts(root: Path) -> Iterator[ProcessIdentity]:
    """In the order in which they are stopped."""
    for part in ("edge", "agent", "logger"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads((Paths(root).supervisor / f"{part}.json").read_text())
            del record["argv"]
            yield ProcessIdentity(**record)
