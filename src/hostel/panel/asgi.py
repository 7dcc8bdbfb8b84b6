"""The panel as an ASGI application: bodies bounded, static files from their packages, Django for the rest."""

import os
import sqlite3
from pathlib import Path
from wsgiref.headers import Headers

import drf_spectacular_sidecar
from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, Scope

os.environ["DJANGO_SETTINGS_MODULE"] = "hostel.panel.settings"

from django.core.asgi import get_asgi_application
from servestatic import ServeStaticASGI

from hostel.panel.settings import DATABASE_FILE, HOSTEL_IS_CONFIGURED, HOSTEL_PATHS
from hostel.wire.errors import ConfigError

BODY_LIMIT_BYTES = 1 << 20
_TOO_LARGE = b'{"detail":"The request body is larger than 1 MiB.","code":"body_too_large"}'


class BoundedBodies:
    """Answers 413 to a body over the limit before Django spools it to a disk that tenants could fill."""

    def __init__(self, application: ASGI3Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > BODY_LIMIT_BYTES:
            await _refuse(send)
            return
        await self._application(scope, _bounded(receive), send)


def _bounded(receive: ASGIReceiveCallable) -> ASGIReceiveCallable:
    """A body without a length (chunked) that grows over the limit ends as if the client had gone."""
    seen_bytes = 0

    async def bounded() -> ASGIReceiveEvent:
        nonlocal seen_bytes
        event = await receive()
        if event["type"] == "http.request":
            seen_bytes += len(event["body"])
            if seen_bytes > BODY_LIMIT_BYTES:
                return {"type": "http.disconnect"}
        return event

    return bounded


async def _refuse(send: ASGISendCallable) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"hostel-error-code", b"body_too_large"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": _TOO_LARGE, "more_body": False})


def _harmless(headers: Headers, path: str, url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"


def _make_application() -> ASGI3Application:
    if not HOSTEL_IS_CONFIGURED:
        raise ConfigError(f"{HOSTEL_PATHS.config_file} does not exist; `hostel up` writes it on first start.")
    files = ServeStaticASGI(
        get_asgi_application(), max_age=3600, allow_all_origins=False, add_headers_function=_harmless
    )
    files.add_files(Path(__file__).parent / "static", prefix="static/")
    files.add_files(Path(drf_spectacular_sidecar.__file__).parent / "static", prefix="static/")
    return BoundedBodies(files)


def _keep_open() -> sqlite3.Connection:
    """A connection that never ends, so that none of a request's is the last one: the last one writes the log back into
    the database and removes it, the next one makes it anew. That costs time, and on a full disk it fails even for those
    who only read.
    """
    connection = sqlite3.connect(DATABASE_FILE, check_same_thread=False)
    connection.execute("SELECT name FROM sqlite_master").fetchall()
    return connection


application = _make_application()
_open = _keep_open()
