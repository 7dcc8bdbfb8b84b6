"""The way to a tenant's files: one small sandbox a tenant, in which `door.py` does as the tenant what is asked for.

And in the same way to what a command would start, and to virtualenvs: one with more room, for `workshop.py`.

Started when somebody asks, gone a minute after. What comes back is the tenant's to choose: status, length and kind are
checked here, and everything has a deadline.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import structlog

from hostel.agent import sockets
from hostel.agent.errors import SandboxFault
from hostel.agent.gates import Gates
from hostel.agent.sandbox import RunSpec, Sandbox, Sandboxes
from hostel.agent.tenant import Tenant
from hostel.wire.errors import AccountSuspended, FilesUnreachable, UnknownTenant

log = structlog.get_logger()

_OPEN_S = 15.0
_READ_S = 60.0  # that nothing comes
_DEED_S = 900.0  # a whole file, either way
_AT_ONCE = 8  # of one tenant; more wait
_STATUSES = frozenset({200, 201, 204, 400, 403, 404, 409, 507})
_SAY_AGAIN_S = 60.0
_JSON = "application/json"
_KINDS = frozenset({_JSON, "application/octet-stream"})
JSON_BYTES = 8 << 20  # whoever asked keeps it in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorRequest:
    """`body` has exactly `length` bytes."""

    method: str
    target: str  # as the program behind the door calls it
    path: str  # percent-encoded: passed on as it is
    query: Mapping[str, str] = field(default_factory=dict)
    body: AsyncIterator[bytes] | None = None
    length: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorAnswer:
    status: int
    kind: str  # the media type; "" where there is no body
    length: int
    body: AsyncIterator[bytes]


class Doors:
    """The open doors of one installation; `describe` says what one is started with."""

    def __init__(self, describe: Callable[[Tenant], RunSpec], sandboxes: Sandboxes, gates: Gates) -> None:
        self._gates = gates
        self._describe = describe
        self._sandboxes = sandboxes
        self._open: dict[str, Sandbox] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._places: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))
        self._tasks: set[asyncio.Task[None]] = set()
        self._said: dict[str, float] = {}

    @asynccontextmanager
    async def ask(self, tenant: Tenant, request: DoorRequest) -> AsyncIterator[DoorAnswer]:
        """Raises FilesUnreachable where the door cannot be opened, or answers what it should not."""
        try:
            async with (
                self._places[tenant.name],
                asyncio.timeout(_DEED_S),
                self._client(tenant) as client,
                client.stream(
                    request.method,
                    f"/{request.target}",
                    params={**request.query, "path": request.path},
                    content=request.body,
                    headers={"Content-Length": str(request.length)} if request.body is not None else {},
                ) as response,
            ):
                yield _checked(response)
        except (httpx.HTTPError, TimeoutError, SandboxFault) as error:
            self._say(tenant, error)
            raise FilesUnreachable from error

    async def close(self, tenant: Tenant) -> None:
        """End the tenant's door, and with it what goes through it. Idempotent."""
        async with self._locks[tenant.name]:
            sandbox = self._open.pop(tenant.name, None)
            if sandbox is not None:
                await self._sandboxes.stop(sandbox, grace_s=0.0)

    # -- private

    def _say(self, tenant: Tenant, error: Exception) -> None:
        """Now and then: whoever has the door shut can have a line for each knock."""
        now = asyncio.get_running_loop().time()
        if now - self._said.get(tenant.name, -_SAY_AGAIN_S) >= _SAY_AGAIN_S:
            self._said[tenant.name] = now
            log.warning("files could not be reached", tenant=tenant.name, error=repr(error))

    @asynccontextmanager
    async def _client(self, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
        socket = (await self._opened(tenant)).socket_directory / sockets.SOCKET_NAME
        transport = httpx.AsyncHTTPTransport(uds=str(socket), limits=httpx.Limits(max_keepalive_connections=0))
        timeout = httpx.Timeout(_READ_S, connect=2.0)
        async with httpx.AsyncClient(transport=transport, base_url="http://door", timeout=timeout) as client:
            yield client

    async def _opened(self, tenant: Tenant) -> Sandbox:
        """The tenant's door, which accepts; its time to be idle begins anew."""
        async with self._locks[tenant.name]:
            if tenant.is_leaving:
                raise UnknownTenant
            if tenant.is_suspended:
                raise AccountSuspended
            found = self._open.get(tenant.name)
            if found is not None and await found.accepts():
                return found
            await tenant.ensure()
            await self._gates.require(tenant.socket_directory)
            sandbox = await self._sandboxes.start(self._describe(tenant), tenant)
            self._open[tenant.name] = sandbox
            task = asyncio.create_task(self._clear_after(sandbox), name=f"door {tenant.name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            if not await sandbox.accepts(within_s=_OPEN_S):
                raise FilesUnreachable
            return sandbox

    async def _clear_after(self, sandbox: Sandbox) -> None:
        await asyncio.wait([sandbox.exit])
        if self._open.get(sandbox.tenant.name) is sandbox:
            del self._open[sandbox.tenant.name]
        await self._sandboxes.clear(sandbox)


def _checked(response: httpx.Response) -> DoorAnswer:
    """Raises FilesUnreachable where the answer is none that a door gives."""
    length = response.headers.get("content-length", "0")
    kind = response.headers.get("content-type", "")
    is_sound = length.isdecimal() and len(length) < 16 and (kind in _KINDS or (kind, length) == ("", "0"))
    is_sound = is_sound and (kind != _JSON or int(length) <= JSON_BYTES)
    if response.status_code not in _STATUSES or not is_sound:
        raise FilesUnreachable("Your files answered in a way that was not understood; try again in a minute.")
    return DoorAnswer(status=response.status_code, kind=kind, length=int(length), body=response.aiter_raw(1 << 18))
