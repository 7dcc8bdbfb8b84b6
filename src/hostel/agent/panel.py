"""The panel as the agent knows it: a website that nobody can PUT or DELETE, and the place where wanted state is pulled
from.

With each pull, and at the start of each run, it hears the newest version that the agent has seen: so a panel notices
that its database was restored.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import structlog

import hostel
from hostel.agent.sockets import SOCKET_NAME
from hostel.wire.codec import parse
from hostel.wire.config import Config
from hostel.wire.errors import HostelError, MalformedMessage
from hostel.wire.names import SYSTEM_TENANT
from hostel.wire.website import MIB, Limits, TenantLimits, TenantSpec, Tombstone, Version, Wanted, WebsiteSpec

log = structlog.get_logger()

PANEL_VERSION = Version(epoch=0, revision=0)
PANEL_TENANT_LIMITS = TenantLimits()  # of the panel and root's commands beside it
_COMMAND = "exec python -m hostel.panel.serve"
_START_DEADLINE_S = 180.0  # migrations of a large database among it
_PULL_DEADLINE_S = 20.0
_ANSWER_LIMIT_BYTES = 128 * MIB
_ROWS: dict[str, type[object]] = {
    "tenants": TenantSpec,
    "websites": WebsiteSpec,
    "deleted_tenants": Tombstone,
    "deleted_websites": Tombstone,
}


def panel_spec(config: Config) -> WebsiteSpec:
    return WebsiteSpec(
        domain_name=config.panel_host,
        tenant=SYSTEM_TENANT,
        version=PANEL_VERSION,
        enabled=True,
        environment={"HOSTEL_CONFIGURED": f"{hostel.__version__} {config.digest}"},  # changed, it gets a new run
        command=_COMMAND,
        always_on=True,  # it never sleeps: nobody could wake it
        start_deadline_s=_START_DEADLINE_S,
        drain_s=60.0,  # an API call may wait 45 s for a deploy
        websocket_drain_s=0.0,  # tabs of consoles: they come again and miss nothing
        ws_spread_s=1.0,  # a short wait, for somebody is typing there
        limits=Limits(memory_bytes=768 * MIB, pids=256, cpu=1.0),
    )


def complete(spec: WebsiteSpec, *, newest: Callable[[], Version]) -> WebsiteSpec:
    """`spec` as its next run is started. The panel's is told the newest version that this agent has seen."""
    if spec.tenant != SYSTEM_TENANT:
        return spec
    seen = newest()
    return replace(spec, command=f"{spec.command} --newest {seen.epoch}.{seen.revision}")


async def pull_wanted(socket_directory: Path, *, host: str, secret: str, since: Version, newest: Version) -> Wanted:
    """All that the panel wants that is newer than `since`. Raises HostelError when the panel gives no good answer.

    `newest` is the newest version that this agent has seen.
    """
    transport = httpx.AsyncHTTPTransport(uds=str(socket_directory / SOCKET_NAME))
    headers = {"Authorization": f"Agent {secret}", "Host": host, "X-Forwarded-Proto": "https"}
    query = {
        "epoch": since.epoch,
        "revision": since.revision,
        "newest_epoch": newest.epoch,
        "newest_revision": newest.revision,
    }
    try:
        async with (
            httpx.AsyncClient(transport=transport, timeout=_PULL_DEADLINE_S) as client,
            client.stream("GET", "http://panel/agent/wanted/", params=query, headers=headers) as answer,
        ):
            answer.raise_for_status()
            return read_wanted(json.loads(await _read_bounded(answer)))
    except (httpx.HTTPError, ValueError, RecursionError, MalformedMessage) as error:
        raise HostelError(f"the panel does not say what is wanted: {error}") from error


async def _read_bounded(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > _ANSWER_LIMIT_BYTES:
            raise MalformedMessage(f"expected at most {_ANSWER_LIMIT_BYTES} bytes")
    return bytes(body)


def read_wanted(data: object) -> Wanted:
    """What can be read of the panel's answer: one row that somebody has meddled with keeps no other from being done.

    What cannot be read is logged and left out. Raises MalformedMessage where it is no answer at all.
    """
    if not isinstance(data, dict):
        raise MalformedMessage("Wanted: expected an object")
    rows: dict[str, Any] = {
        key: _readable(key, value) for key, value in data.items() if key in _ROWS and isinstance(value, list)
    }
    return replace(parse(Wanted, {key: value for key, value in data.items() if key not in rows}), **rows)


def _readable(key: str, rows: list[object]) -> tuple[object, ...]:
    readable = []
    for row in rows:
        try:
            readable.append(parse(_ROWS[key], row))
        except MalformedMessage as error:
            log.error(
                "a row of wanted state cannot be read; it is left out", kind=key, name=_name(row), error=str(error)
            )
    return tuple(readable)


def _name(row: object) -> str:
    """Enough of it to find the row."""
    fields = row if isinstance(row, dict) else {}
    return str(fields.get("domain_name", fields.get("name")))[:100]
