"""The WebSocket of one browser tab that shows a console.

Binary messages are what the terminal shows (to the tab) and what is typed (from it). Text messages are JSON. To the
tab: `position` of the byte that comes next, `skipped` where something before it is not kept any more; `away` while the
console does not answer; `ended`, in words. From the tab: `rows` with `columns`; `seen`, up to which position it
has shown.

A tab gets no more than AHEAD bytes that it has not shown, and no more than its share of BYTES_A_SECOND: a slow one
holds nobody up.
"""

import asyncio
import contextlib
import json
import re
from collections import Counter
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs

import httpx
import structlog
from asgiref.sync import sync_to_async
from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, WebSocketScope
from django.conf import settings
from django.contrib.auth import get_user
from django.db import connection
from django.http import HttpRequest

from hostel.panel import agent
from hostel.panel.accounts.models import User
from hostel.wire.console import INPUT_BYTES_LIMIT, POSITION, POSITION_HEADER, UnknownConsole
from hostel.wire.errors import AccountSuspended, HostelError, UnknownTenant

log = structlog.get_logger(__name__)

TABS_MOST = 20  # of one user
AHEAD = 1 << 18
BYTES_A_SECOND = 4 << 20  # to all tabs of one user
_LOOK_EVERY_S = 3.0  # whether the login is still good
_AGAIN_S, _AGAIN_MOST_S = 0.2, 3.0
_ANSWER_S = 15.0
_ADDRESS = re.compile(r"/user/([^/]+)/consoles/(\d{1,18})/stream/?")
_BAD_MESSAGE, _FAULT, _LOGGED_OUT, _TOO_MANY = 1008, 1011, 4401, 4429
_OVER = (UnknownConsole, UnknownTenant, AccountSuspended)

_tabs: Counter[str] = Counter()


class _Closed(Exception):
    """The WebSocket is to be closed, with this code; or the browser has done it (0)."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def serve_tab(scope: WebSocketScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Refused (403) from another origin, without a login, and for another user's consoles."""
    await receive()
    headers = dict(scope["headers"])
    address = _ADDRESS.fullmatch(scope["path"])
    # Users' websites are this host's neighbours, to which browsers send our cookies along: the origin tells them apart.
    is_own_page = headers.get(b"origin", b"").decode("latin-1") == f"https://{settings.SECURE_SSL_HOST}"
    session = _session_key(headers.get(b"cookie", b"").decode("latin-1"))
    if not address or not is_own_page or await _who_is(session) != address[1]:
        await send({"type": "websocket.close", "code": _BAD_MESSAGE, "reason": None})
        return
    await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
    username = address[1]
    if _tabs[username] >= TABS_MOST:
        await send({"type": "websocket.close", "code": _TOO_MANY, "reason": None})
        return
    _tabs[username] += 1
    try:
        await _Tab(username, int(address[2]), session, receive, send).serve(_after(scope["query_string"]))
    finally:
        _tabs[username] -= 1


class _Tab:
    def __init__(
        self, username: str, number: int, session: str, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        self._username = username
        self._session = session
        self._path = f"/tenants/{username}/consoles/{number}"
        self._receive = receive
        self._send = send
        self._position = self._seen = 0
        self._has_room = asyncio.Event()
        self._typed = b""  # waits for a command that does not read
        self._size: tuple[int, int] | None = None
        self._has_work = asyncio.Event()

    async def serve(self, after: int) -> None:
        self._position = self._seen = after
        deeds = (self._show(), self._hear(), self._pass_on(), self._watch_login())
        tasks = [asyncio.create_task(deed, name=f"tab of {self._path}") for deed in deeds]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            code = _code_of(next(iter(done)).exception())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if code:
            with contextlib.suppress(OSError):
                await self._send({"type": "websocket.close", "code": code, "reason": None})

    # -- what the tab gets

    async def _show(self) -> None:
        """Until the console has ended. An agent that is away, or started anew, is asked again from where it ended."""
        again_s = _AGAIN_S
        async with agent.async_client(answer_s=None) as client:
            while True:
                before = self._position
                try:
                    await self._show_once(client)
                except _OVER as error:
                    await self._tell(ended=str(error))
                    raise _Closed(1000) from None
                except (httpx.HTTPError, HostelError):
                    await self._tell(away=True)
                again_s = _AGAIN_S if self._position != before else min(2 * again_s, _AGAIN_MOST_S)
                await asyncio.sleep(again_s)

    async def _show_once(self, client: httpx.AsyncClient) -> None:
        async with client.stream("GET", f"{self._path}/output", params={"after": self._position}) as answer:
            if not answer.is_success:
                raise agent.error_in(json.loads(await answer.aread()))
            position = int(answer.headers[POSITION_HEADER])
            skipped = position != self._position
            self._position = position
            self._seen = position if skipped else self._seen
            await self._tell(position=position, skipped=skipped)
            async for piece in answer.aiter_raw():
                await self._until_there_is_room()
                await self._send({"type": "websocket.send", "bytes": piece, "text": None})
                self._position += len(piece)
                await asyncio.sleep(len(piece) * _tabs[self._username] / BYTES_A_SECOND)

    async def _until_there_is_room(self) -> None:
        while self._position - self._seen > AHEAD:
            self._has_room.clear()
            await self._has_room.wait()

    async def _tell(self, **facts: object) -> None:
        await self._send({"type": "websocket.send", "bytes": None, "text": json.dumps(facts)})

    # -- what it says

    async def _hear(self) -> None:
        while True:
            event: Any = await self._receive()
            if event["type"] == "websocket.disconnect":
                raise _Closed(0)
            if event.get("bytes") is not None:
                self._typed = (self._typed + event["bytes"])[:INPUT_BYTES_LIMIT]
            else:
                self._heed(event.get("text") or "")
            self._has_work.set()

    def _heed(self, text: str) -> None:
        try:
            said = json.loads(text)
            if "seen" in said:
                self._seen = max(self._seen, min(int(said["seen"]), self._position))
                self._has_room.set()
            else:
                self._size = int(said["rows"]), int(said["columns"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise _Closed(_BAD_MESSAGE) from error

    async def _pass_on(self) -> None:
        """Input in its order, one call after another; of several sizes the last."""
        async with agent.async_client(answer_s=_ANSWER_S) as client:
            while True:
                await self._has_work.wait()
                self._has_work.clear()
                # What cannot be passed on is lost, as on a terminal whose line is cut: the tab sees that nothing came.
                with contextlib.suppress(httpx.HTTPError):
                    await self._pass_on_all(client)

    async def _pass_on_all(self, client: httpx.AsyncClient) -> None:
        if self._size is not None:
            (rows, columns), self._size = self._size, None
            await client.post(f"{self._path}/size", params={"rows": rows, "columns": columns})
        if self._typed:
            typed, self._typed = self._typed, b""
            await client.post(f"{self._path}/input", content=typed)

    # -- whose it is

    async def _watch_login(self) -> None:
        while await _who_is(self._session) == self._username:
            await asyncio.sleep(_LOOK_EVERY_S)
        raise _Closed(_LOGGED_OUT)


def _code_of(error: BaseException | None) -> int:
    if isinstance(error, _Closed):
        return error.code
    if isinstance(error, OSError):  # the browser is gone
        return 0
    log.error("tab of a console failed", exc_info=error)
    return _FAULT


def _after(query: bytes) -> int:
    given = parse_qs(query.decode("latin-1")).get("after", ["0"])[0]
    return int(given) if POSITION.fullmatch(given) else 0


def _session_key(cookies: str) -> str:
    try:
        found = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return ""
    return found.value if found else ""


@sync_to_async(thread_sensitive=False)
def _who_is(session: str) -> str:
    """The name of the user who is logged in there now; "" for nobody."""
    if not session:
        return ""
    try:
        request = HttpRequest()
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(session)
        user = get_user(request)
        return user.username if isinstance(user, User) else ""
    finally:
        connection.close()  # of this thread, which may never come again
