"""Runs inside a sandbox as the tenant, beside the door and started like it: looks at what a command would start, and
makes virtualenvs and projects.

Apart from the door, because an import or an installation may need much memory and time, and files shall not wait.
Whoever asks must not believe the answers. Standard library only, and the door's way of speaking.

GET surroundings?path=   virtualenvs of the home, with those of KNOWN that are installed in each
GET project?path=        what in a project's directory looks like an application
PUT facts?path=          {program, module, ...}: what the program is, and how importing the module goes
PUT build?path=          {virtualenv, python, packages, files}: begins to make them; refuses what would be overwritten
GET build?path=          how far that is: {state, step, lines}
"""

import collections
import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import typing

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import door  # type: ignore[import-not-found]  # beside this file, in the sandbox

IMPORT_S = 20.0
BUILD_S = 900.0
VIRTUALENVS_MOST = 50
FILES_MOST = 400
TEXT_BYTES = 1 << 18
LINES_MOST = 200
LINE_LENGTH = 300
KNOWN = frozenset(
    "daphne django fastapi flask flask-socketio granian gunicorn hypercorn litestar python-fasthtml quart starlette "
    "streamlit uvicorn uvicorn-worker".split()
)
SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__", "venv", "env", "lib", "lib64"})
_APPLICATION = re.compile(
    r"^(\w+)(?:\s*,\s*\w+)?\s*(?::[^=\n]+)?=\s*(?:\w+\.)?"
    r"(FastAPI|FastHTML|fast_app|Starlette|Litestar|Flask|Quart|ASGIApp|get_asgi_application)\(",
    re.MULTILINE,
)
# Prints nothing: what the module prints is the module's. Says what it found in the file whose name it is given.
_IMPORT = """
import importlib, inspect, json, sys, traceback
directory, module, attribute, answer = sys.argv[1:]
sys.path[0] = directory
sys.argv = [module]
found = {"outcome": "ok", "lines": []}
try:
    value = importlib.import_module(module)
    for name in filter(None, attribute.split(".")):
        value = getattr(value, name)
    if attribute and not callable(value):
        found = {"outcome": "not_callable", "lines": []}
    elif attribute:
        called = value if inspect.isroutine(value) else type(value).__call__
        found["is_async"] = inspect.iscoroutinefunction(called)
except ModuleNotFoundError as error:
    found = {"outcome": "no_module", "name": error.name or "", "lines": traceback.format_exc().splitlines()}
except AttributeError as error:
    is_own = error.__traceback__.tb_next is None
    found = {"outcome": "no_attribute" if is_own else "raised", "lines": traceback.format_exc().splitlines()}
except BaseException:
    found = {"outcome": "raised", "lines": traceback.format_exc().splitlines()}
with open(answer, "w") as file:
    json.dump(found, file)
"""


class Build:
    """The making of a virtualenv and of a project; one at a time."""

    def __init__(self) -> None:
        self.state = "none"  # then running, done, failed
        self.step = ""
        self.lines: collections.deque[str] = collections.deque(maxlen=LINES_MOST)
        self.lock = threading.Lock()

    def begin(self, order: "dict[str, object]", used: "object") -> None:
        with self.lock:
            if self.state == "running":
                raise door.Refused(400, "file_refused", "A virtualenv is being made already; wait for it.")
            self.state, self.step = "running", "begin"
            self.lines.clear()
        threading.Thread(target=self._work, args=(order, used), daemon=True).start()

    def told(self) -> "dict[str, object]":
        return {"state": self.state, "step": self.step, "lines": list(self.lines)}

    def _work(self, order: "dict[str, object]", used: "object") -> None:
        try:
            self.state = "done" if self._make(order, used) else "failed"
        except Exception as error:
            self.lines.append(f"{type(error).__name__}: {error}"[:LINE_LENGTH])
            self.state = "failed"

    def _make(self, order: "dict[str, object]", used: "object") -> bool:
        files, directory = order["files"], str(order["directory"])
        if files:
            self.step = "project"
            _write_project(directory, files)  # type: ignore[arg-type]
            self.lines.append(f"wrote {len(files)} files in {directory}")  # type: ignore[arg-type]
        virtualenv, python = str(order["virtualenv"]), f"/usr/local/bin/{os.path.basename(str(order['python']))}"
        if not os.path.exists(f"{virtualenv}/bin/python"):
            self.step = "virtualenv"
            # Not virtualenv: Debian's knows no newer Python than Debian has.
            if not self._run((python, "-m", "venv", virtualenv), used):
                return False
        packages = [str(package) for package in order["packages"]]  # type: ignore[attr-defined]
        if packages:
            self.step = "packages"
            pip = (f"{virtualenv}/bin/pip", "install", "--disable-pip-version-check", "--progress-bar", "off")
            return self._run((*pip, *packages), used)
        return True

    def _run(self, argv: "tuple[str, ...]", used: "object") -> bool:
        shown = [os.path.basename(argv[0]), *(word for word in argv[1:] if not word.startswith("--") and word != "off")]
        self.lines.append(f"$ {' '.join(shown)}"[:LINE_LENGTH])
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        timer = threading.Timer(BUILD_S, process.kill)
        timer.daemon = True
        timer.start()
        for line in process.stdout or ():
            used()  # type: ignore[operator]
            self.lines.append(line.rstrip()[:LINE_LENGTH])
        timer.cancel()
        return process.wait() == 0


BUILD = Build()


class Handler(door.Handler):  # type: ignore[misc]
    def do_GET(self) -> None:  # noqa: N802  # http.server names it
        self._answer({"/surroundings": self._surroundings, "/project": self._project, "/build": self._build})

    def do_PUT(self) -> None:  # noqa: N802  # http.server names it
        self._answer({"/facts": self._facts, "/build": self._begin_build})

    def do_POST(self) -> None:  # noqa: N802  # http.server names it
        self._answer({})

    def do_DELETE(self) -> None:  # noqa: N802  # http.server names it
        self._answer({})

    def _surroundings(self, path: str) -> None:
        found = [_describe_virtualenv(each) for each in _virtualenvs(self.home)]
        pythons = sorted({name for name in os.listdir("/usr/local/bin") if re.fullmatch(r"python3\.\d+", name)})
        self._send_json(200, {"virtualenvs": found, "pythons": pythons})

    def _project(self, path: str) -> None:
        if not os.path.isdir(path):
            raise door.Refused(404, "no_such_file", f"No such directory: {path}")
        self._send_json(200, _look_at_project(path))

    def _facts(self, path: str) -> None:
        asked = self._read_json()
        self._send_json(200, _facts(asked, path, self.home))
        self.server.used()

    def _begin_build(self, path: str) -> None:
        order = self._read_json()
        places = [str(order["virtualenv"]), *([str(order["directory"])] if order["files"] else [])]
        for place in places:
            if not self._inside(place).startswith(f"{self.home}/"):
                raise door.Refused(403, "file_forbidden", f"{place} does not lie in your home")
        if order["files"] and os.path.isdir(str(order["directory"])) and os.listdir(str(order["directory"])):
            raise door.Refused(400, "file_refused", f"{order['directory']} is not empty: choose another directory")
        BUILD.begin(order, self.server.used)
        self._send_json(200, BUILD.told())

    def _build(self, path: str) -> None:
        self._send_json(200, BUILD.told())

    def _read_json(self) -> "dict[str, object]":
        body = self.rfile.read(min(self.left, 1 << 20))
        self.left -= len(body)
        return dict(json.loads(body))


def _virtualenvs(home: str) -> "list[str]":
    """Of mkvirtualenv, and those in directories of the home and one below."""
    found = []
    for top in (f"{home}/.virtualenvs", home):
        for directory in _directories(top):
            below = (
                [] if top.endswith("/.virtualenvs") else [f"{directory}/{name}" for name in ("venv", ".venv", "env")]
            )
            found += [each for each in (directory, *below) if os.path.isfile(f"{each}/pyvenv.cfg")]
            if len(found) >= VIRTUALENVS_MOST:
                return found
    return found


def _directories(top: str) -> "list[str]":
    with contextlib.suppress(OSError), os.scandir(top) as entries:
        return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))[:200]
    return []


def _describe_virtualenv(path: str) -> "dict[str, object]":
    version = ""
    with contextlib.suppress(OSError), open(f"{path}/pyvenv.cfg", errors="replace") as file:
        stated = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", file.read(10_000), re.MULTILINE)
        version = stated[1] if stated else ""
    packages: set[str] = set()
    for lib in _directories(f"{path}/lib"):
        with contextlib.suppress(OSError), os.scandir(f"{lib}/site-packages") as entries:
            names = (entry.name.partition("-")[0] for entry in entries if entry.name.endswith(".dist-info"))
            packages.update(KNOWN.intersection(re.sub(r"[-_.]+", "-", name).lower() for name in names))
    return {"path": path, "python": version, "packages": sorted(packages)}


def _look_at_project(directory: str) -> "dict[str, object]":
    applications: list[dict[str, str]] = []
    scripts: list[str] = []
    seen = 0
    for top, names, files in os.walk(directory):
        depth = top[len(directory) :].count("/")
        names[:] = sorted(name for name in names if name not in SKIPPED and name[0] != "." and depth < 2)
        for name in sorted(file for file in files if file.endswith(".py")):
            seen += 1
            if seen > FILES_MOST:
                return {"applications": applications, "scripts": scripts}
            relative = os.path.relpath(f"{top}/{name}", directory)
            text = _read_text(f"{top}/{name}")
            module = relative[:-3].replace("/", ".")
            found = _APPLICATION.finditer(text)
            applications += [{"module": module, "attribute": each[1], "kind": each[2]} for each in found]
            if "streamlit" in text or "__main__" in text or "socketio" in text:
                scripts.append(relative)
    return {"applications": applications[:50], "scripts": scripts[:50]}


def _read_text(path: str) -> str:
    """Of a regular file; a FIFO would wait for somebody to write."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return (
                file.read(TEXT_BYTES).decode("utf-8", "replace") if stat.S_ISREG(os.fstat(descriptor).st_mode) else ""
            )
    except OSError:
        return ""


def _facts(asked: "dict[str, object]", path: str, home: str) -> "dict[str, object]":
    directory, program = path, str(asked["program"])
    virtualenv = str(asked["virtualenv"])
    search = f"{virtualenv}/bin:{os.environ['PATH']}" if virtualenv else os.environ["PATH"]
    place = os.path.normpath(os.path.join(directory, program)) if "/" in program else shutil.which(program, path=search)
    facts = _describe_program(place)
    name = os.path.basename(program)
    roots = _virtualenvs(home)
    facts["candidates"] = [f"{each}/bin/{name}" for each in roots if os.access(f"{each}/bin/{name}", os.X_OK)]
    facts["has_directory"] = os.path.isdir(directory)
    script = str(asked["script"])
    text = _read_text(os.path.join(directory, script)) if script else ""
    facts["has_script"] = bool(script) and os.path.isfile(os.path.join(directory, script))
    facts["mentions_socket"], facts["mentions_port"] = "DOMAIN_SOCKET" in text, '"PORT"' in text or "'PORT'" in text
    python = str(facts["python"])
    if not python and facts["candidates"]:
        python = _interpreter_of(str(facts["candidates"][0]))  # type: ignore[index]
    place = str(asked["import_from"]) or directory
    may_import = asked["module"] and os.path.isdir(place) and python
    return {"facts": facts, "imported": _try_import(asked, python, place) if may_import else None}


def _describe_program(place: "str | None") -> "dict[str, object]":
    if place is None:
        return {"path": "", "exists": False, "is_executable": False, "python": "", "virtualenv": ""}
    is_file = os.path.isfile(place)
    root = os.path.dirname(os.path.dirname(place))
    return {
        "path": place,
        "exists": os.path.exists(place),
        "is_executable": is_file and os.access(place, os.X_OK),
        "python": _interpreter_of(place) if is_file else "",
        "virtualenv": root if os.path.isfile(f"{root}/pyvenv.cfg") else "",
    }


def _interpreter_of(program: str) -> str:
    """The python that runs it: itself, or what its first lines name."""
    if re.fullmatch(r"python(3(\.\d+)?)?", os.path.basename(program)):
        return program
    head = _read_text(program)[:1000]
    # Where the path is long pip writes a script of the shell that begins so.
    named = re.match(r"#!\s*(/\S*python\S*)", head) or re.match(
        r"#!/bin/sh\n'{3}exec' \"?(/[^\"\n]*?python[\w.]*)\"? ", head
    )
    return named[1] if named and os.access(named[1], os.X_OK) else ""


def _try_import(asked: "dict[str, object]", python: str, directory: str) -> "dict[str, object]":
    own = {str(name): str(value) for name, value in dict(asked["environment"]).items()}  # type: ignore[call-overload]
    environment = {
        **os.environ,
        **own,
        "DOMAIN_SOCKET": "/tmp/app.sock",
        "PORT": "8000",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with tempfile.TemporaryDirectory() as place, open(f"{place}/output", "w+b") as output:
        answer = f"{place}/answer.json"
        argv = [python, "-c", _IMPORT, directory, str(asked["module"]), str(asked["attribute"]), answer]
        process = subprocess.Popen(
            argv,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            process.wait(IMPORT_S)
        except subprocess.TimeoutExpired:
            return {"outcome": "too_slow", "lines": _last(output)}
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        try:
            with open(answer) as file:
                found = json.loads(file.read(1 << 20))
            return {**found, "lines": [line[:LINE_LENGTH] for line in found["lines"][-12:]]}
        except (OSError, ValueError, KeyError, TypeError):
            was_killed = process.returncode == -signal.SIGKILL
            return {"outcome": "killed" if was_killed else "ended", "lines": _last(output)}


def _last(output: "typing.IO[bytes]") -> "list[str]":
    output.seek(max(0, output.seek(0, 2) - 4000))
    return [line[:LINE_LENGTH] for line in output.read().decode("utf-8", "replace").splitlines()[-12:]]


def _write_project(directory: str, files: "dict[str, str]") -> None:
    for name, text in files.items():
        place = os.path.join(directory, name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "x") as file:
            file.write(text)


def main() -> None:
    os.umask(0o022)
    Handler.home = sys.argv[2]
    door.serve(door.Server(sys.argv[1], Handler))


if __name__ == "__main__":
    main()
