"""From websites to the edge: route records with growing serials, and waiting for requests in flight."""

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Self

import structlog

from hostel.agent.sandbox import Exit, Sandbox
from hostel.agent.tenant import Tenant
from hostel.edge.publish import Bound, Edge
from hostel.wire import failpoint
from hostel.wire.config import Config
from hostel.wire.errors import EdgeUnreachable
from hostel.wire.names import canonical_domain
from hostel.wire.route import RouteRecord, RouteState
from hostel.wire.static_files import StaticMapping
from hostel.wire.website import MIB, DomainSpec, RunId, Sleep, WebsiteSpec

log = structlog.get_logger()

HTTPS_PORT = 443  # with any other, a browser that heeds HSTS would speak TLS to the HTTP port
_TRIES, _PAUSE_S = 5, 0.2
_TURNS = 4
_DRAIN_FIRST_S, _DRAIN_LIMIT_S = 0.02, 0.5


class Publication:
    """The one writer of routes of an installation."""

    def __init__(self, edge: Edge, config: Config, records: Iterable[RouteRecord], met: Iterable[RouteRecord]) -> None:
        """`records` are all on disk; `met` those that visitors do meet."""
        self.edge = edge
        self._config = config
        self._serials = itertools.count(max((record.serial for record in records), default=0) + 1)
        # For what nobody waits for: thousands of routes at once would keep everything else from the disk and the loop.
        self.turns = asyncio.Semaphore(_TURNS)
        self._met = {record.domain: record for record in met}  # until it is published for the first time

    @classmethod
    async def start(cls, edge: Edge, config: Config) -> Self:
        """Find out what an earlier agent has published: what is still wanted need not be published again.

        An agent that died between a record's file and nginx has left it on disk alone: so nginx is asked too.
        """
        records = edge.records()
        try:
            serials = await edge.serials([record.domain for record in records])
        except EdgeUnreachable as error:
            log.warning("the edge does not say what it knows; all routes are published", error=str(error))
            return cls(edge, config, records, ())
        met = (record for record in records if serials.get(record.domain, record.serial) == record.serial)
        return cls(edge, config, records, met)

    async def publish(
        self,
        spec: WebsiteSpec,
        state: RouteState,
        *,
        sandbox: Sandbox | None,
        tenant: Tenant,
        hold_s: float,
        spread_from: float = 0.0,
    ) -> None:
        """Returns when every new request meets `state`, at all names of the website.

        Raises EdgeUnreachable after a second of trying. `spread_from` is the time at which WebSockets were closed that
        will now come back.
        """
        domain = canonical_domain(spec.domain_name)
        record = RouteRecord(
            domain=domain,
            serial=0,
            state=state,
            run=sandbox.run if sandbox else None,
            endpoint=sandbox.endpoint if sandbox else None,
            host=self._host(domain, at=domain, https=False),
            https_host=self._host(domain, at=domain),
            access_log=str(tenant.log_directory / f"{spec.domain_name}.access.log"),
            hold_s=hold_s,
            read_timeout_s=spec.read_timeout_s,
            websocket_timeout_s=spec.websocket_timeout_s,
            max_requests=spec.traffic.requests,
            max_held=spec.traffic.held,
            max_websockets=spec.traffic.websockets,
            static_files=tuple(_as_edge_finds_it(mapping, tenant) for mapping in spec.static_files),
            max_body_bytes=spec.max_body_mb * MIB,
            buffer_requests=spec.buffer_requests,
            buffer_responses=spec.buffer_responses,
            http_users=spec.http_users,
            spread_from=spread_from,
            spread_s=spec.ws_spread_s if spread_from else 0.0,
            force_https=spec.force_https,
            ignores_monitors=spec.sleep is not Sleep.OFF and not spec.monitors_wake,
            hsts_s=spec.hsts_s if self._config.listen.https_port == HTTPS_PORT else 0,
        )
        await self._publish(record)
        await asyncio.gather(*(self._publish(self._at(further, record)) for further in spec.domains))

    async def withdraw(self, names: Collection[str]) -> None:
        """Returns when visitors of `names` meet no website there. Raises EdgeUnreachable as `publish` does."""
        gone = (RouteRecord(domain=name, serial=0, state=RouteState.DELETED) for name in names)
        await asyncio.gather(*(self._publish(record) for record in gone))

    def _at(self, further: DomainSpec, record: RouteRecord) -> RouteRecord:
        """The same website at another of its names."""
        shown = further.redirect_to or further.name
        return replace(
            record,
            domain=further.name,
            website=record.domain,
            host=self._host(shown, at=further.name, https=False),
            https_host=self._host(shown, at=further.name),
            is_redirect=bool(further.redirect_to),
        )

    def _host(self, shown: str, *, at: str, https: bool = True) -> str:
        """As RouteRecord has it, of the domain `at`."""
        host = self._config.authority(shown, https=https)
        return "" if host == at else host

    async def _publish(self, record: RouteRecord) -> None:
        met = self._met.pop(record.domain, None)
        if met is not None and replace(record, serial=met.serial) == met:
            return
        record = replace(record, serial=next(self._serials))
        failpoint.reach("publication.numbered")
        while (known := await self._tell(record)) > record.serial:
            # nginx outlives records on disk: where one was torn, the numbers of a new agent may begin too low.
            self._serials = itertools.count(max(known, next(self._serials)) + 1)
            record = replace(record, serial=next(self._serials))

    async def _tell(self, record: RouteRecord) -> int:
        """The serial of what visitors meet now. Raises EdgeUnreachable."""
        for attempt in range(_TRIES):
            try:
                return await self.edge.publish(record)
            except EdgeUnreachable:
                if attempt == _TRIES - 1:
                    raise
                await asyncio.sleep(_PAUSE_S)
        raise AssertionError("unreachable: the last try returns or raises")

    async def drained(
        self, run: RunId, *, budgets: Callable[[], tuple[float, float]], ended: asyncio.Future[Exit]
    ) -> int:
        """Wait until the edge has no request at `run`, or until the run has `ended` by itself. Returns how many
        WebSockets and event streams are left.

        `budgets` says, anew each time, how many seconds at most for plain requests and for streams.
        """
        began, pause_s = time.monotonic(), _DRAIN_FIRST_S
        while not ended.done():
            bound = await self.bound(run)
            failpoint.reach("publication.drained")
            took_s = time.monotonic() - began
            plain_s, streaming_s = budgets()
            if (not bound.plain or took_s > plain_s) and (not bound.streaming or took_s > streaming_s):
                return bound.streaming
            await asyncio.wait([ended], timeout=pause_s)
            pause_s = min(pause_s * 1.5, _DRAIN_LIMIT_S)
        return 0

    async def bound(self, run: RunId) -> Bound:
        """What is in flight at `run`.

        An edge that does not answer may still be serving: then something is in flight as far as anyone knows.
        """
        try:
            return await self.edge.bound(run)
        except EdgeUnreachable as error:
            log.warning("the edge does not say what is in flight", run=run, error=str(error))
            return Bound(plain=1, streaming=1)


def _as_edge_finds_it(mapping: StaticMapping, tenant: Tenant) -> StaticMapping:
    """By text alone: what lies there is the tenant's to change, and nginx's to find out."""
    below_home = mapping.path.removeprefix(f"/home/{tenant.name}").strip("/")
    return StaticMapping(url=mapping.url, path=str(tenant.home / below_home))
