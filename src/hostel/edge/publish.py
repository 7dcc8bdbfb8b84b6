"""The agent's side of the edge: publish routes and certificates, ask what is in flight.

A route record is first written to `paths.routes`, then pushed. The file is the truth: an nginx that starts later reads
it on demand, so when nobody listens on the control socket the file alone is enough.

A deleted website keeps its file as a tombstone. It stops an older record, delayed somewhere, from bringing the website
back, and keeps the highest serial from falling. It may be removed once no publication older than it can be under way
(the agent publishes for one domain at a time, so: at any later publication of that domain, which overwrites it) and it
is not the newest serial on disk. Nothing removes it yet; it costs one block on disk and some 300 bytes in nginx.
"""

import contextlib
import errno
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import httpx
import structlog

from hostel.edge.certificates import host_names
from hostel.edge.workers import ensure_routes_directory, worker_group
from hostel.wire import failpoint
from hostel.wire.codec import parse, to_compact
from hostel.wire.errors import EdgeUnreachable, MalformedMessage
from hostel.wire.files import write_atomically
from hostel.wire.paths import Paths
from hostel.wire.report import Explained
from hostel.wire.route import RouteRecord
from hostel.wire.website import RunId

ANSWER_DEADLINE_S = 5.0
SERIALS_AT_ONCE = 500  # one answer of nginx's: visitors wait meanwhile
ROUTE_FILE_MODE = 0o640

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Requests that nginx has given to one run and that have not ended."""

    plain: int = 0
    streaming: int = 0  # WebSockets and event streams


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeStatus:
    requests: int  # that have a place at a website now
    websockets: int  # and event streams
    refused: Mapping[str, int]  # since nginx started, by the code of the answer (docs/reference/errors.md)
    held: int  # requests that wait now
    held_total: int  # since nginx started
    version: int  # of the route table: grows with each push
    routes_known: int  # records in nginx's memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Idleness:
    """How long ago one website was last sent a request; -1 if that was not since nginx started."""

    in_flight: int  # requests, WebSockets and event streams that have a place at it
    seen_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What one worker of nginx counted within a few seconds: for each website pairs of place and number, one after
    another, as edge/lua/metrics.lua has them.
    """

    at_s: int  # since 1970
    began: Mapping[str, float]  # when the first of each website was counted
    websites: Mapping[str, Sequence[int]]


class NobodyListens(EdgeUnreachable):
    """No nginx listens on the control socket."""

    code = "nobody_listens"


class Edge:
    """The edge of this machine. One instance in the agent; its methods may run side by side, for one domain in turn."""

    def __init__(self, paths: Paths, *, deadline_s: float = ANSWER_DEADLINE_S) -> None:
        self._paths = paths
        # A pooled connection would outlive a restart of nginx and fail the first push after it.
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                uds=str(paths.edge_socket), verify=False, limits=httpx.Limits(max_keepalive_connections=0)
            ),
            base_url="http://edge",
            timeout=deadline_s,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.aclose()

    async def publish(self, record: RouteRecord) -> int:
        """Make `record` what visitors of its domain meet; returns when every worker of nginx will see it.

        Idempotent. Returns the serial of what visitors meet: a record older than the one on disk, or than the one that
        nginx knows, changes nothing for them. Raises EdgeUnreachable if nginx did not acknowledge (the file is written
        then: publish again) and OSError if the file cannot be written.
        """
        text = json.dumps(to_compact(record), ensure_ascii=False, separators=(",", ":")).encode()
        on_disk = self._write(record, text)
        if on_disk > record.serial:
            return on_disk
        failpoint.reach("publish.written")
        try:
            answer = await self._ask("PUT", "/route", content=text)
            failpoint.reach("publish.pushed")
        except NobodyListens:
            log.debug("route written; no nginx to tell", domain=record.domain, serial=record.serial)
            return record.serial
        return int(answer["serial"])

    async def bound(self, run: RunId) -> Bound:
        """What is in flight for `run`, over the workers that live: nothing when no nginx runs."""
        try:
            answer = await self._ask("GET", f"/bound?run={quote(run)}")
        except NobodyListens:
            return Bound()
        return Bound(plain=int(answer["plain"]), streaming=int(answer["streaming"]))

    async def arrived(self, domain: str) -> int:
        """How many requests for `domain` have arrived, counted before the edge reads the record. Never falls.

        Only differences mean something. A restart of nginx raises it.
        """
        answer = await self._ask("GET", f"/arrived?domain={quote(domain)}")
        return int(answer["arrived"])

    async def arrivals(self, domains: Sequence[str]) -> dict[str, int]:
        """How many requests for each of `domains` have arrived since this nginx started."""
        answer = await self._ask("POST", "/arrivals", content=json.dumps({"domains": list(domains)}).encode())
        return {domain: int(count) for domain, count in answer.items()}

    async def idleness(self, websites: Sequence[str]) -> dict[str, Idleness]:
        """Of each of `websites`, one question for all."""
        answer = await self._ask("POST", "/idleness", content=json.dumps({"websites": list(websites)}).encode())
        return {
            website: Idleness(in_flight=int(found["in_flight"]), seen_s=float(found["seen_s"]))
            for website, found in answer.items()
        }

    async def take_metrics(self) -> list[Counted]:
        """What was counted since the last time; nobody gets it again. Raises EdgeUnreachable."""
        answer = await self._ask("POST", "/metrics")
        return [
            Counted(at_s=int(taken["at_s"]), began=taken.get("began", {}), websites=taken["websites"])
            for taken in answer["taken"]
        ]

    async def push_certificate(self, name: str, *, only_for: str = "") -> None:
        """Serve the certificate in `<name>.pem` and `<name>.key` from the next handshake on.

        With `only_for` it is served for that domain alone, whatever names it holds, and `<name>.pem` has the key too.
        Raises OSError or ValueError if the files cannot be read, EdgeUnreachable if nginx did not acknowledge.
        """
        chain = (self._paths.certificates / f"{name}.pem").read_bytes()
        key = chain if only_for else (self._paths.certificates / f"{name}.key").read_bytes()
        names = (only_for,) if only_for else host_names(chain)
        message = {"name": name, "names": names, "chain": chain.decode(), "key": key.decode()}
        try:
            await self._ask("PUT", "/certificate", content=json.dumps(message).encode())
        except NobodyListens:
            log.debug("certificate on disk; no nginx to tell", name=name)

    async def remove_certificate(self, name: str) -> None:
        """Serve it no more. Idempotent; raises EdgeUnreachable if nginx did not acknowledge."""
        with contextlib.suppress(NobodyListens):
            await self._ask("DELETE", f"/certificate?name={quote(name)}")

    async def status(self, domain: str | None = None) -> EdgeStatus:
        """Of the edge; with `domain`, all but `version` and `routes_known` are of that website alone."""
        answer = await self._ask("GET", f"/status?domain={quote(domain)}" if domain else "/status")
        return parse(EdgeStatus, answer)

    async def find_explained(self, error_id: str) -> Explained | None:
        """What a visitor met whose page showed this id; None where it is not known, or not any more."""
        answer = await self._ask("GET", f"/explained?id={quote(error_id, safe='')}", may_be_unknown=True)
        return parse(Explained, answer) if answer else None

    def records(self) -> list[RouteRecord]:
        """All on disk. Those that cannot be read are logged and left out."""
        records = (self._read(path.stem) for path in self._paths.routes.glob("*.json") if path.name[0] != ".")
        return [record for record in records if record is not None]

    async def serials(self, domains: Sequence[str]) -> dict[str, int]:
        """Of the records of `domains` that nginx holds in memory; the others it would read from disk.

        Raises EdgeUnreachable, but not where no nginx listens.
        """
        found: dict[str, int] = {}
        with contextlib.suppress(NobodyListens):
            for first in range(0, len(domains), SERIALS_AT_ONCE):
                content = json.dumps({"domains": domains[first : first + SERIALS_AT_ONCE]}).encode()
                found |= await self._ask("POST", "/serials", content=content)
        return {domain: int(serial) for domain, serial in found.items()}

    def _read(self, domain: str) -> RouteRecord | None:
        path = self._paths.routes / f"{domain}.json"
        try:
            record = parse(RouteRecord, json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError, MalformedMessage) as error:
            log.warning("route record cannot be read", path=str(path), reason=str(error))
            return None
        if record.domain != domain:
            log.warning("route record is another domain's", path=str(path), domain=record.domain)
            return None
        return record

    def _write(self, record: RouteRecord, text: bytes) -> int:
        """Write the file of `record`, unless a newer one is there. Returns the serial on disk."""
        held = self._read(record.domain)
        if held is not None and held.serial > record.serial:
            log.warning("a newer route is published", domain=record.domain, serial=record.serial, held=held.serial)
            return held.serial
        if not self._paths.routes.exists():
            ensure_routes_directory(self._paths)
        path = self._paths.routes / f"{record.domain}.json"
        write_atomically(path, text, mode=ROUTE_FILE_MODE, owner=(0, worker_group()))
        return record.serial

    async def _ask(
        self, method: str, url: str, *, content: bytes | None = None, may_be_unknown: bool = False
    ) -> dict[str, Any]:
        """The answer; with `may_be_unknown` an empty one where the edge does not know what was asked for."""
        try:
            response = await self._client.request(method, url, content=content)
            answer = response.json()
        except httpx.ConnectError as error:
            if _is_nobody_listening(error):
                raise NobodyListens from error
            raise EdgeUnreachable(f"The edge cannot be reached: {error}") from error
        except (httpx.HTTPError, ValueError) as error:
            raise EdgeUnreachable(f"The edge did not answer {method} {url}: {error!r}") from error
        if may_be_unknown and response.status_code == httpx.codes.NOT_FOUND:
            return {}
        if response.status_code != httpx.codes.OK or not isinstance(answer, dict):
            raise EdgeUnreachable(f"The edge refused {method} {url}: {response.text[:500]}")
        return answer


def _is_nobody_listening(error: BaseException | None) -> bool:
    """Whether connect() failed because there is no socket or nobody behind it, as the chain of causes tells."""
    while error is not None:
        if isinstance(error, OSError):
            return error.errno in (errno.ENOENT, errno.ECONNREFUSED)
        error = error.__cause__ or error.__context__
    return False
