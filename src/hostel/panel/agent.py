"""The one door to the agent: HTTP over a unix socket, a deadline on every call, errors as the wire's classes.

Never called inside a database transaction: a call may take as long as a website needs to start.
"""

import functools
import json
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings

from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import AgentUnreachable, UnknownWebsite, error_from_answer
from hostel.wire.report import WebsiteReports
from hostel.wire.website import TenantSpec, Tombstone, WebsiteReport, WebsiteSpec

WAIT_S = 45  # how long the agent may wait for a deploy before it answers "starting"
_MARGIN_S = 10.0  # above WAIT_S, for the answer to arrive
_QUICK_S = 5.0  # for what the agent answers from memory
_DEED_S = 30.0  # for what it does before it answers


def put_tenant(spec: TenantSpec) -> None:
    _ask("PUT", f"/tenants/{spec.name}", spec, deadline_s=_DEED_S)


def delete_tenant(tombstone: Tombstone) -> None:
    _ask("DELETE", f"/tenants/{tombstone.name}", tombstone, deadline_s=WAIT_S + _MARGIN_S)


def put_website(canonical_name: str, spec: WebsiteSpec, *, wait_s: int = WAIT_S) -> WebsiteReport:
    """Returns when the deploy is done or failed, or after `wait_s` while it goes on."""
    path = f"/websites/{canonical_name}?wait_s={wait_s}"
    return parse(WebsiteReport, _ask("PUT", path, spec, deadline_s=wait_s + _MARGIN_S))


def reload_website(canonical_name: str) -> WebsiteReport:
    """Returns like `put_website`. Raises WebsiteDisabled where there is nothing to reload."""
    path = f"/websites/{canonical_name}/reload?wait_s={WAIT_S}"
    return parse(WebsiteReport, _ask("POST", path, deadline_s=WAIT_S + _MARGIN_S))


def delete_website(tombstone: Tombstone) -> None:
    _ask("DELETE", f"/websites/{tombstone.name}", tombstone, deadline_s=WAIT_S + _MARGIN_S)


def find_website(canonical_name: str) -> WebsiteReport | None:
    try:
        return parse(WebsiteReport, _ask("GET", f"/websites/{canonical_name}", deadline_s=_QUICK_S))
    except UnknownWebsite:
        return None


def list_websites(tenant: str) -> tuple[WebsiteReport, ...]:
    return parse(WebsiteReports, _ask("GET", f"/websites?tenant={tenant}", deadline_s=_QUICK_S)).websites


def _ask(method: str, path: str, message: object = None, *, deadline_s: float) -> Any:
    """The decoded answer. Raises AgentUnreachable, or the error that the agent answered with."""
    content = None if message is None else json.dumps(to_jsonable(message))
    headers = {} if content is None else {"Content-Type": "application/json"}
    socket = settings.HOSTEL_PATHS.agent_for_panel / "agent.sock"
    if not socket.exists():
        raise AgentUnreachable
    try:
        response = _client(socket).request(
            method, path, content=content, headers=headers, timeout=httpx.Timeout(deadline_s, connect=2.0)
        )
        answer = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise AgentUnreachable from error
    if response.is_success:
        return answer
    fields = answer if isinstance(answer, dict) else {}
    raise error_from_answer(str(fields.get("code", "error")), str(fields.get("message", "The agent failed.")))


@functools.cache
def _client(socket: Path) -> httpx.Client:
    """No connection is kept: connecting to a unix socket costs nothing, and a restarted agent leaves none stale."""
    transport = httpx.HTTPTransport(uds=str(socket), limits=httpx.Limits(max_keepalive_connections=0), verify=False)
    return httpx.Client(transport=transport, base_url="http://agent", trust_env=False)
