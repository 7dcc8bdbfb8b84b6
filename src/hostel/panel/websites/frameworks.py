"""The frameworks that the wizard knows: what they need, how they are served, and the smallest project of each.

Servers are not judged here: what a command must look like is `command.py`'s and the doctor's.
"""

import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from hostel.wire.website import Listens
from hostel.wire.workshop import Project

_EXAMPLES = Path(__file__).with_name("examples")
_TEMPLATE = "-tpl"  # no tool takes such a file for a part of this program

_UVICORN = "uvicorn --uds $DOMAIN_SOCKET {application}"
_GUNICORN = "gunicorn --bind unix:$DOMAIN_SOCKET {application}"
_STREAMLIT = (
    "streamlit run --server.address 127.0.0.1 --server.port $PORT --server.headless true "
    "--browser.gatherUsageStats false {application}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    key: str
    title: str
    about: str
    packages: tuple[str, ...]  # its own first
    command: str = _UVICORN  # below the virtualenv's bin
    application: str = "main:app"  # where none is found
    kinds: tuple[str, ...] = ()  # what makes an application of it
    listens_on: Listens = Listens.SOCKET

    @property
    def known_by(self) -> str:
        """The package that a virtualenv for it has."""
        return self.packages[0] if self.packages else ""

    @property
    def has_example(self) -> bool:
        return (_EXAMPLES / self.key).is_dir()

    def example(self) -> Mapping[str, str]:
        """The files of its smallest project, by their paths in the project's directory."""
        directory = _EXAMPLES / self.key
        return {
            str(file.relative_to(directory)).removesuffix(_TEMPLATE): _filled_in(file.read_text())
            for file in sorted(directory.rglob(f"*{_TEMPLATE}"))
        }

    def find_application(self, project: Project) -> str:
        """Of what is in a project's directory, the likeliest; else what it is called in most."""
        if self.listens_on is Listens.PORT:
            return next(iter(project.scripts), self.application)
        found = [each for each in project.applications if each.kind in self.kinds]
        return f"{found[0].module}:{found[0].attribute}" if found else self.application

    def command_of(self, *, virtualenv: str, application: str) -> str:
        """The line that serves it, run in the project's directory."""
        if not self.command:
            return ""
        return f"{shlex.quote(virtualenv)}/bin/{self.command.format(application=application)}"


def _filled_in(text: str) -> str:
    text = text.replace("SECRET_KEY_HERE", secrets.token_urlsafe(48))
    return text.replace("SITES_DOMAIN_HERE", settings.HOSTEL_CONFIG.sites.domain)


_SERVER = "uvicorn[standard]"  # with what WebSockets need
FRAMEWORKS: Mapping[str, Framework] = {
    each.key: each
    for each in (
        Framework(
            key="django",
            title="Django",
            about="The whole kit: database, admin, forms",
            packages=("django", _SERVER),
            application="mysite.asgi:application",
            kinds=("get_asgi_application",),
        ),
        Framework(
            key="fastapi",
            title="FastAPI",
            about="APIs from type hints",
            packages=("fastapi", _SERVER),
            kinds=("FastAPI",),
        ),
        Framework(
            key="fasthtml",
            title="FastHTML",
            about="HTML pages in pure Python",
            packages=("python-fasthtml", _SERVER),
            kinds=("FastHTML", "fast_app"),
        ),
        Framework(
            key="starlette",
            title="Starlette",
            about="Small and fast",
            packages=("starlette", _SERVER),
            kinds=("Starlette",),
        ),
        Framework(
            key="litestar",
            title="Litestar",
            about="APIs, batteries included",
            packages=("litestar", _SERVER),
            kinds=("Litestar",),
        ),
        Framework(
            key="flask",
            title="Flask",
            about="The classic, not async",
            packages=("flask", "gunicorn"),
            command=_GUNICORN,
            application="app:app",
            kinds=("Flask",),
        ),
        Framework(
            key="flask-socketio",
            title="Flask-SocketIO",
            about="Flask with live events",
            packages=("flask-socketio", "simple-websocket", "gunicorn"),
            command="gunicorn --workers 1 --threads 100 --bind unix:$DOMAIN_SOCKET {application}",
            application="app:app",
            kinds=("Flask",),
        ),
        Framework(
            key="streamlit",
            title="Streamlit",
            about="Data apps",
            packages=("streamlit",),
            command=_STREAMLIT,
            application="app.py",
            listens_on=Listens.PORT,
        ),
        Framework(
            key="quart",
            title="Quart",
            about="Flask, but async",
            packages=("quart", _SERVER),
            application="app:app",
            kinds=("Quart",),
        ),
        Framework(
            key="other",
            title="Something else",
            about="Any command that listens on a socket",
            packages=(),
            command="",
        ),
    )
}
