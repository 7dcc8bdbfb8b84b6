"""`make demo`: the whole recipe on this machine, from nothing to a live website, each step checked and timed.

Talks to the platform as its users do: the `hostel` command, the API over HTTPS, a visitor's requests. Repeatable: what
an earlier run has made is kept and reused.
"""

import argparse
import ast
import contextlib
import functools
import json
import os
import re
import secrets
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hostel.cli.agent import Agent
from hostel.cli.prerequisites import Status, check_root_directory, check_root_is_reachable
from hostel.wire.errors import HostelError
from hostel.wire.files import write_atomically
from hostel.wire.paths import Paths
from hostel.wire.website import State

HERE = Path(__file__).resolve().parents[1]
ELSEWHERE = Path("/srv/hostel-demo")  # for a clone below a directory that nginx's workers may not enter, such as /root
DOMAIN = "hostel.localhost"
HTTP_PORT, HTTPS_PORT = 8080, 8443
USER = "xanthippe"
SITE = f"{USER}.{DOMAIN}"
HOME = f"/home/{USER}"
VIRTUALENV = f"{HOME}/.virtualenvs/async_django_venv"
PROJECT = f"{HOME}/asyncdjango"
WANTED_PYTHON = (3, 10)
PACKAGES = 'requests "uvicorn[standard]" django'
# The space at the end is the recipe's; it must come back unchanged.
COMMAND = f"{VIRTUALENV}/bin/uvicorn --app-dir {PROJECT} --uds $DOMAIN_SOCKET asyncdjango.asgi:application "
HELLO = {"message": "Hello from async Django!"}
URLS = """\
from django.contrib import admin
from django.http import JsonResponse
from django.urls import path


async def hello(request):
    return JsonResponse({"message": "Hello from async Django!"})


urlpatterns = [
    path("admin/", admin.site.urls),
    path("", hello),
]
"""

START_DEADLINE_S = 180.0  # the first start makes keys and the panel's database
STOP_DEADLINE_S = 60.0
SHELL_DEADLINE_S = 900.0  # pip, on a slow line
LOG_DEADLINE_S = 10.0

# pip's settings that mean the same inside a sandbox. Paths do not; the host's certificates come in by themselves.
PIP_SETTINGS = frozenset(
    "index-url extra-index-url trusted-host timeout default-timeout retries"
    " prefer-binary only-binary no-binary disable-pip-version-check".split()
)
PIP_SOURCES = ("global", "install", ":env:")  # in pip's order: later ones win


class DemoFailed(Exception):
    """A step did not do what it must; the message says what, and where to look."""


# -- saying what happens


@dataclass
class Stage:
    """Prints one line a step, with the time it took; on a terminal a long step shows that it is alive."""

    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    _progress: Progress | None = None

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        began = time.monotonic()
        with self._spinner(text):
            try:
                yield
            except BaseException:
                self.console.print(f"[red]failed[/]  {escape(text)}")
                raise
        self.console.print(f"[green]ok[/]  {escape(text)}  [dim]{time.monotonic() - began:.1f} s[/]")

    def note(self, text: str) -> None:
        self.console.print(f"    {escape(text)}", style="dim")

    def detail(self, line: str) -> None:
        """What the step is doing at this moment; seen on a terminal only."""
        if self._progress is not None and line.strip():
            self._progress.update(self._progress.task_ids[0], detail=escape(line.strip()[:80]))

    @contextlib.contextmanager
    def _spinner(self, text: str) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        columns = (
            SpinnerColumn(),
            TextColumn(escape(text)),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[detail]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as self._progress:
            self._progress.add_task("", total=None, detail="")
            yield
        self._progress = None


@dataclass
class Demo:
    paths: Paths
    stage: Stage
    platform: "subprocess.Popen[bytes] | None" = None  # None: it ran already, and is left running
    password: str = ""
    token: str = ""

    @property
    def up_log(self) -> Path:
        return self.paths.root / "hostel-up.log"

    @property
    def credentials_file(self) -> Path:
        return self.paths.root / "credentials.json"

    @property
    def ca_file(self) -> Path:
        return self.paths.certificates / "ca.pem"


# -- calling the `hostel` command


def hostel(demo: Demo, *arguments: str, stdin: str = "", deadline_s: float = 120.0) -> str:
    """Run `hostel ARGUMENTS`; its stdout. Raises DemoFailed with its own words if it fails."""
    result = subprocess.run(
        [*hostel_command(), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment(demo),
        timeout=deadline_s,
        check=False,
    )
    if result.returncode != 0:
        shown = " ".join(arguments[:3])
        raise DemoFailed(f"`hostel {shown}` ended with {result.returncode}:\n{result.stdout}{result.stderr}".rstrip())
    return result.stdout


def shell(demo: Demo, script: str) -> str:
    """Run a bash script as the demo's user in the user's own sandbox; its output, which is shown while it comes."""
    argv = [*hostel_command(), "shell", USER, "--", "bash", "-lc", script]
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(demo)
    )
    lines = []
    with process, deadline(process, SHELL_DEADLINE_S):
        assert process.stdout is not None  # noqa: S101  # for the type checker
        for raw in process.stdout:
            lines.append(raw.decode(errors="replace"))
            demo.stage.detail(lines[-1])
    if process.returncode != 0:
        output = "".join(lines[-30:])
        raise DemoFailed(f"in the shell of {USER}, `{script}` ended with {process.returncode}:\n{output}".rstrip())
    return "".join(lines)


@contextlib.contextmanager
def deadline(process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[None]:
    """Ask `process` to end after `seconds`, so that nothing waits for it for ever."""

    def end(*_: object) -> None:
        process.terminate()

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def hostel_command() -> list[str]:
    return [sys.executable, "-m", "hostel.cli"]


def environment(demo: Demo) -> dict[str, str]:
    return {**os.environ, "HOSTEL_ROOT": str(demo.paths.root)}


# -- the platform


def choose_root(stage: Stage) -> Path:
    """./demo, unless the clone lies where nginx's workers may not go or sockets would have too long a path."""
    beside = HERE / "demo"
    obstacles = [check(Paths(beside)) for check in (check_root_directory, check_root_is_reachable)]
    found = [obstacle.message for obstacle in obstacles if obstacle.status is Status.FAILS]
    if not found:
        return beside
    stage.note(f"{found[0]}.")
    stage.note(f"So the demo lives in {ELSEWHERE} instead of {beside}.")
    return ELSEWHERE


def start_platform(demo: Demo) -> None:
    agent = Agent(demo.paths)
    if agent.is_running():
        demo.stage.note(f"The platform runs already for {demo.paths.root}; it is used as it is, and left running.")
    else:
        demo.platform = launch(demo)
    with demo.stage.step("The platform runs: edge, logger, agent, panel"):
        wait_for(demo, lambda: agent.health().panel is State.RUNNING, START_DEADLINE_S, "the panel to run")


def launch(demo: Demo) -> "subprocess.Popen[bytes]":
    """`hostel up` in a session of its own, so that Ctrl-C comes to this program alone."""
    demo.paths.root.mkdir(mode=0o755, parents=True, exist_ok=True)
    argv = [*hostel_command(), "up", "--domain", DOMAIN, "--http-port", str(HTTP_PORT), "--https-port", str(HTTPS_PORT)]
    if not demo.paths.config_file.exists():
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
        )
        for key, value in parse_pip_settings(listed.stdout).items():
            argv += ["--sandbox-env", f"{key}={value}"]
    with demo.up_log.open("wb") as log:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(demo), start_new_session=True
        )


def parse_pip_settings(text: str) -> dict[str, str]:
    """`PIP_...` variables for sandboxes from what `pip config list` prints: the machine's mirrors, timeouts, ..."""
    settings: dict[str, str] = {}
    lines = [match.groups() for match in re.finditer(r"^([a-z:]+)\.([a-z-]+)=(.*)$", text, re.MULTILINE)]
    for source in PIP_SOURCES:
        for _, key, quoted in (line for line in lines if line[0] == source and line[1] in PIP_SETTINGS):
            values = str(ast.literal_eval(quoted)).split()
            kept = [value for value in values if not value.startswith(("/", "file:"))]
            if kept:
                settings[f"PIP_{key.upper().replace('-', '_')}"] = " ".join(kept)
    return settings


def wait_for(demo: Demo, condition: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Ask again and again until `condition` holds; an answer that says "not yet" by an error counts as no."""
    give_up = time.monotonic() + deadline_s
    while True:
        with contextlib.suppress(HostelError, httpx.TransportError):
            if condition():
                return
        if demo.platform is not None and demo.platform.poll() is not None:
            raise DemoFailed(f"`hostel up` ended with {demo.platform.returncode}:\n{tail(demo.up_log)}")
        if time.monotonic() > give_up:
            raise DemoFailed(f"waited {deadline_s:g} s for {what}, in vain. Its log ends with:\n{tail(demo.up_log)}")
        time.sleep(0.1)


def tail(file: Path, lines: int = 15) -> str:
    with contextlib.suppress(FileNotFoundError):
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
    return f"(there is no {file})"


def stop_platform(demo: Demo) -> None:
    if demo.platform is None or demo.platform.poll() is not None:
        return
    with demo.stage.step("The platform stops"):
        demo.platform.terminate()
        try:
            demo.platform.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise DemoFailed(
                f"`hostel up` (pid {demo.platform.pid}) did not stop within {STOP_DEADLINE_S:g} s; see {demo.up_log}"
            ) from None


# -- the account


def load_credentials(demo: Demo) -> None:
    with contextlib.suppress(FileNotFoundError):
        data = json.loads(demo.credentials_file.read_text())
        demo.password, demo.token = data["password"], data["token"]


def save_credentials(demo: Demo) -> None:
    data = {"user": USER, "password": demo.password, "token": demo.token}
    write_atomically(demo.credentials_file, json.dumps(data, indent=2).encode(), mode=0o600)


def ensure_user(demo: Demo) -> None:
    users = {user["name"] for user in json.loads(hostel(demo, "user", "list", "--json"))}
    if USER in users and demo.password:
        return
    demo.password = secrets.token_urlsafe(12)
    verb = "password" if USER in users else "add"
    hostel(demo, "user", verb, USER, "--password-stdin", stdin=f"{demo.password}\n")
    save_credentials(demo)


def ensure_token(demo: Demo) -> None:
    if demo.token and api(demo, "GET", "websites/").status_code == httpx.codes.OK:
        return
    demo.token = hostel(demo, "token", "create", USER).strip()
    save_credentials(demo)
    expect(api(demo, "GET", "websites/"), 200)


# -- the user's own work, in a shell


def choose_python(demo: Demo) -> str:
    """`python3.10`, as in the recipe, or the newest of this machine."""
    names = shell(demo, "ls /usr/local/bin").split()
    versions = [name.removeprefix("python3.") for name in names if name.startswith("python3.")]
    found = sorted((3, int(minor)) for minor in versions if minor.isdigit())
    if not found:
        raise DemoFailed("there is no python3.X in the sandbox; `hostel doctor` says where they are looked for")
    major, minor = WANTED_PYTHON if WANTED_PYTHON in found else found[-1]
    if (major, minor) != WANTED_PYTHON:
        demo.stage.note(f"This machine has no python3.10; the newest it has is python{major}.{minor}, which is used.")
    return f"python{major}.{minor}"


def ensure_virtualenv(demo: Demo) -> None:
    if succeeds(demo, f"{VIRTUALENV}/bin/python -c ''"):
        demo.stage.note(f"{VIRTUALENV} is there already.")
        return
    python = choose_python(demo)
    with demo.stage.step(f"mkvirtualenv async_django_venv --python={python}"):
        shell(demo, f"source virtualenvwrapper.sh && mkvirtualenv async_django_venv --python={python}")


def ensure_packages(demo: Demo) -> None:
    if succeeds(demo, f"{VIRTUALENV}/bin/python -c 'import requests, uvicorn, uvloop, django'"):
        return
    with demo.stage.step(f"pip install {PACKAGES}"):
        shell(demo, f"source virtualenvwrapper.sh && workon async_django_venv && pip install {PACKAGES}")


def ensure_project(demo: Demo) -> None:
    if not succeeds(demo, f"test -f {PROJECT}/manage.py"):
        with demo.stage.step("django-admin startproject asyncdjango"):
            shell(
                demo, "source virtualenvwrapper.sh && workon async_django_venv && django-admin startproject asyncdjango"
            )
    with demo.stage.step("An async view in asyncdjango/urls.py"):
        shell(demo, f"cat > {PROJECT}/asyncdjango/urls.py <<'END'\n{URLS}END")


def succeeds(demo: Demo, script: str) -> bool:
    try:
        shell(demo, script)
    except DemoFailed:
        return False
    return True


# -- the API, as the user calls it, and the website, as visitors see it


def api(demo: Demo, method: str, path: str, body: object = None) -> httpx.Response:
    url = f"https://www.{DOMAIN}:{HTTPS_PORT}/api/v1/user/{USER}/{path}"
    with client(demo) as http:
        return http.request(method, url, json=body, headers={"Authorization": f"Token {demo.token}"})


def visit(demo: Demo) -> httpx.Response:
    """One request on a fresh connection, without retry."""
    with client(demo) as http:
        return http.get(site_url())


def client(demo: Demo) -> httpx.Client:
    trust = ssl.create_default_context(cafile=demo.ca_file)
    return httpx.Client(verify=trust, timeout=120, trust_env=False)  # the demo's names are no proxy's business


def site_url() -> str:
    return f"https://{SITE}:{HTTPS_PORT}/"


def expect(response: httpx.Response, status: int, *, contains: str = "") -> httpx.Response:
    if response.status_code == status and contains in response.text:
        return response
    request = response.request
    wanted = f"{status} with {contains!r}" if contains else str(status)
    raise DemoFailed(
        f"{request.method} {request.url} answered {response.status_code}, not {wanted}:\n{response.text[:1000]}"
    )


def check_hello(response: httpx.Response) -> None:
    if expect(response, 200).json() != HELLO:
        raise DemoFailed(f"{site_url()} answered {response.text!r}, not {HELLO}")


def ensure_website(demo: Demo) -> None:
    """POST it, or reload it where an earlier run has made it; either way it is live when the call has answered."""
    if api(demo, "GET", f"websites/{SITE}/").status_code == httpx.codes.OK:
        with demo.stage.step("The website is there already: POST reload/"):
            expect(api(demo, "PATCH", f"websites/{SITE}/", {"enabled": True}), 200)
            expect(api(demo, "POST", f"websites/{SITE}/reload/"), 200, contains='"OK"')
        return
    with demo.stage.step("POST websites/: 201, and the site is live"):
        body = {"domain_name": SITE, "enabled": True, "webapp": {"command": COMMAND}}
        answer = expect(api(demo, "POST", "websites/", body), 201).json()
        if answer["webapp"]["command"] != COMMAND:
            raise DemoFailed(f"the command came back changed: {answer['webapp']['command']!r}")
        check_hello(visit(demo))


def visit_often(demo: Demo) -> None:
    for _ in range(100):
        check_hello(visit(demo))


def list_websites(demo: Demo) -> None:
    listed = [website["domain_name"] for website in expect(api(demo, "GET", "websites/"), 200).json()]
    if SITE not in listed:
        raise DemoFailed(f"GET websites/ lists {listed}, without {SITE}")
    expect(api(demo, "GET", f"websites/{SITE}/"), 200, contains=SITE)


def switch_off_and_on(demo: Demo) -> None:
    expect(api(demo, "PATCH", f"websites/{SITE}/", {"enabled": False}), 200)
    expect(visit(demo), 503)
    expect(api(demo, "PATCH", f"websites/{SITE}/", {"enabled": True}), 200)
    check_hello(visit(demo))


def reload_website(demo: Demo) -> None:
    expect(api(demo, "POST", f"websites/{SITE}/reload/"), 200, contains='"OK"')
    check_hello(visit(demo))


def read_logs(demo: Demo) -> None:
    """The three logs, as the user sees them in a shell."""
    expected = {
        "error": f"Uvicorn running on unix socket /var/sockets/{SITE}/app.sock",
        "server": '"GET / HTTP/1.1" 200 OK',
        "access": '"GET / HTTP/1.1" 200',
    }
    for kind, text in expected.items():
        file = f"/var/log/{SITE}.{kind}.log"
        wait_for(demo, functools.partial(log_has, demo, file, text), LOG_DEADLINE_S, f"{text!r} in {file}")
        demo.stage.note(f"{file}: {shell(demo, f'tail -n 1 {file}').strip()}")


def log_has(demo: Demo, file: str, text: str) -> bool:
    return text in shell(demo, f"tail -n 200 {file} 2>/dev/null || true")


def delete_website(demo: Demo) -> None:
    expect(api(demo, "DELETE", f"websites/{SITE}/"), 204)
    expect(visit(demo), 404, contains="Coming Soon!")
    expect(api(demo, "GET", f"websites/{SITE}/"), 404)


# -- the play


def play(demo: Demo) -> None:
    start_platform(demo)
    load_credentials(demo)
    steps: Sequence[tuple[str, Callable[[Demo], None]]] = (
        (f"User {USER}", ensure_user),
        ("An API token", ensure_token),
    )
    run_steps(demo, steps)
    ensure_virtualenv(demo)
    ensure_packages(demo)
    ensure_project(demo)
    ensure_website(demo)
    run_steps(
        demo,
        (
            ("100 visits, each on a fresh connection: 100 times the async view's answer", visit_often),
            ("GET websites/: listed, and by itself", list_websites),
            ("PATCH enabled: off (visitors are told), on (it answers again)", switch_off_and_on),
            ("POST reload/", reload_website),
            ("The logs, as the user sees them", read_logs),
        ),
    )


def run_steps(demo: Demo, steps: Sequence[tuple[str, Callable[[Demo], None]]]) -> None:
    for text, deed in steps:
        with demo.stage.step(text):
            deed(demo)


def summarise(demo: Demo) -> None:
    demo.stage.console.print()
    for name, value in (
        ("website", site_url()),
        ("", f"http://{SITE}:{HTTP_PORT}/"),
        ("pages, API", f"https://www.{DOMAIN}:{HTTPS_PORT}/  (/api/docs/ explains the API)"),
        ("login", f"{USER}, password {demo.password}"),
        ("API token", demo.token),
        ("CA file", f"{demo.ca_file}  (`hostel ca` says how to trust it)"),
        ("the site's logs", f"{demo.paths.site_logs / USER}/"),
        ("Hostel's logs", f"{demo.paths.log}/ and {demo.up_log}"),
        ("commands", f"HOSTEL_ROOT={demo.paths.root} {HERE}/.venv/bin/hostel --help"),
        ("a shell", f"HOSTEL_ROOT={demo.paths.root} {HERE}/.venv/bin/hostel shell {USER}"),
    ):
        demo.stage.console.print(f"[bold]{name:<17}[/] {escape(value)}")
    demo.stage.console.print()


def stay(demo: Demo) -> None:
    if demo.platform is None:
        demo.stage.console.print("The platform goes on running: it was not started by this demo.")
        return
    demo.stage.console.print("It runs until you press Ctrl-C. Start it again with `make demo`: everything is kept.")
    with contextlib.suppress(KeyboardInterrupt):
        demo.platform.wait()
        raise DemoFailed(f"`hostel up` ended by itself with {demo.platform.returncode}:\n{tail(demo.up_log)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the recipe, with exit code 0 if all was well")
    once = parser.parse_args().once
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda signum, _: sys.exit(128 + signum))  # so that `finally` stops the platform
    stage = Stage()
    demo = Demo(Paths(choose_root(stage)), stage)
    try:
        return perform(demo, once=once)
    except DemoFailed as failure:
        report(demo, failure, sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def perform(demo: Demo, *, once: bool) -> int:
    try:
        play(demo)
        summarise(demo)
        if once:
            run_steps(demo, (("DELETE: 204, and the domain shows “Coming Soon!”", delete_website),))
        else:
            stay(demo)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half a platform behind
        stop_platform(demo)
    return 0


def report(demo: Demo, failure: DemoFailed, stream: IO[str]) -> None:
    print(f"\nerror: {failure}", file=stream)
    print(f"hint: the platform's own words are in {demo.up_log} and {demo.paths.log}/,", file=stream)
    print(f"      the website's in {demo.paths.site_logs / USER}/;", file=stream)
    print(f"      HOSTEL_ROOT={demo.paths.root} {HERE}/.venv/bin/hostel doctor checks the machine.", file=stream)


if __name__ == "__main__":
    sys.exit(main())
