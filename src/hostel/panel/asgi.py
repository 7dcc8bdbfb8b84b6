"""The panel as an ASGI application: bodies bounded, static files from their packages, Django for the rest."""

import asyncio
import contextlib
import os
import re
import sqlite3
from pathlib import Path
from typing import cast
from wsgiref.headers import Headers

import django.contrib.admin
import django_htmx
import drf_spectacular_sidecar
from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, Scope

os.environ["DJANGO_SETTINGS_MODULE"] = "hostel.panel.settings"

from django.core.asgi import get_asgi_application
from servestatic import ServeStaticASGI
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from hostel.panel.files.modes import SCRIPTS
from hostel.panel.settings import DATABASE_FILE, FILE_UPLOAD_TEMP_DIR, HOSTEL_IS_CONFIGURED, HOSTEL_PATHS
from hostel.wire.errors import ConfigError

BODY_LIMIT_BYTES = 1 << 20
UPLOAD_LIMIT_BYTES = 101 << 20  # a file of the edge's 100 MiB, and what a form adds
_JAVASCRIPT = Path("/usr/share/javascript")  # Debian's; scripts/install installs what is named here
_CODEMIRROR = ("lib", "addon/edit", *(f"mode/{script}" for script in SCRIPTS))
_UPLOADS_AT_ONCE = 8  # so many bodies lie on the panel's disk at most
_UPLOAD = re.compile(r"/+api/+v0/+user/+[^/]+/+files/+path/")
_UPLOAD_PAGE = re.compile(r"/+user/+[^/]+/+files/")
_TOKEN = re.compile(rb"Token [0-9a-f]{40}")
_SESSION = re.compile(rb"(?:^|; )__Host-session=[0-9a-z]{32}(?:;|$)")
_TOO_LARGE = b'{"detail":"The request body is larger than 1 MiB (a file: 100 MiB).","code":"body_too_large"}'


class BoundedBodies:
    """Answers 413 to a body over the limit before Django spools it to a disk that tenants could fill.

    Uploads of files may be larger, a few at a time; the others wait, unread.
    """

    def __init__(self, application: ASGI3Application) -> None:
        self._application = application
        self._uploads = asyncio.Semaphore(_UPLOADS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        is_upload = scope["method"] == "POST" and _may_be_upload(scope["path"], headers)
        limit = UPLOAD_LIMIT_BYTES if is_upload else BODY_LIMIT_BYTES
        if not length.isdigit() or int(length) > limit:
            await _drain(receive)
            await _refuse(send)
            return
        async with self._uploads if is_upload and int(length) > BODY_LIMIT_BYTES else contextlib.nullcontext():
            await self._application(scope, _bounded(receive, limit), send)


def _may_be_upload(path: str, headers: dict[bytes, bytes]) -> bool:
    """Whoever sends it has at least tried to say who they are."""
    if _UPLOAD.match(path):
        return bool(_TOKEN.fullmatch(headers.get(b"authorization", b"")))
    return bool(_UPLOAD_PAGE.match(path) and _SESSION.search(headers.get(b"cookie", b"")))


def _bounded(receive: ASGIReceiveCallable, limit: int) -> ASGIReceiveCallable:
    """A body without a length (chunked) that grows over the limit ends as if the client had gone."""
    seen_bytes = 0

    async def bounded() -> ASGIReceiveEvent:
        nonlocal seen_bytes
        event = await receive()
        if event["type"] == "http.request":
            seen_bytes += len(event["body"])
            if seen_bytes > limit:
                return {"type": "http.disconnect"}
        return event

    return bounded


async def _drain(receive: ASGIReceiveCallable) -> None:
    """Read the body to its end and keep nothing: an answer given while the edge is still sending is lost with the
    connection. The edge lets 100 MB through at most.
    """
    while True:
        event = await receive()
        if event["type"] != "http.request" or not event["more_body"]:
            return


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
    for file in FILE_UPLOAD_TEMP_DIR.iterdir():  # what a panel that was killed was receiving
        file.unlink(missing_ok=True)
    own = get_asgi_application()
    from hostel.panel.consoles.tab import serve_tab  # reads models: possible once Django is set up

    files = ServeStaticASGI(own, max_age=3600, allow_all_origins=False, add_headers_function=_harmless)
    for owner in (__file__, django.contrib.admin.__file__, django_htmx.__file__, drf_spectacular_sidecar.__file__):
        files.add_files(Path(owner).parent / "static", prefix="static/")
    for part in _CODEMIRROR:
        files.add_files(_JAVASCRIPT / "codemirror" / part, prefix=f"static/codemirror/{part}/")
    pages = BoundedBodies(files)
    # No pages: from their compressed lengths one could guess at secrets that stand beside words of one's own (BREACH).
    scripts = cast(ASGI3Application, GZipMiddleware(cast(ASGIApp, files), compresslevel=6))

    async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "websocket":
            await serve_tab(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] in files.files and scope["method"] in ("GET", "HEAD"):
            await scripts(scope, receive, send)
        else:
            await pages(scope, receive, send)

    return application


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
