"""The one door to the agent: HTTP over a unix socket, a deadline on every call, errors as the wire's classes.

Never called inside a database transaction: a call may take as long as a website needs to start. What is asked of a
tenant's own process, which the agent passes on, is in `homes.py`.
"""

import contextlib
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx
from django.conf import settings

from hostel.wire.certificate import (
    CertificateOrder,
    CertificateReport,
    CertificateReports,
    CertificateUpload,
    DomainCertificate,
)
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.console import ConsoleReport, ConsoleReports, ConsoleRequest, InputTaken
from hostel.wire.errors import (
    AgentUnreachable,
    FilesUnreachable,
    HostelError,
    UnknownErrorId,
    UnknownWebsite,
    error_from_answer,
)
from hostel.wire.metrics import Period, WebsiteMetrics
from hostel.wire.report import (
    Explained,
    ProofReport,
    ProofRequest,
    TenantOverview,
    TenantReport,
    TenantReports,
    WebsiteReports,
    WebsiteStatus,
)
from hostel.wire.website import TenantSpec, Tombstone, WebsiteReport, WebsiteSpec

T = TypeVar("T")

WAIT_S = 45  # how long the agent may wait for a deploy before it answers "starting"
_MARGIN_S = 10.0  # above WAIT_S, for the answer to arrive
_QUICK_S = 5.0  # for what the agent answers from memory
_FILES_S = 90.0  # that nothing comes
_LISTING_BYTES = 8 << 20
_DNS_S = 60.0  # for what it asks the DNS, name by name
_DEED_S = 30.0  # for what it does before it answers


def put_tenant(spec: TenantSpec) -> None:
    _ask("PUT", f"/tenants/{spec.name}", spec, deadline_s=_DEED_S)


def delete_tenant(tombstone: Tombstone) -> None:
    _ask("DELETE", f"/tenants/{tombstone.name}", tombstone, deadline_s=WAIT_S + _MARGIN_S)


def put_website(canonical_name: str, spec: WebsiteSpec, *, wait_s: int = WAIT_S) -> WebsiteReport:
    """Returns when the deploy is done or failed, or after `wait_s` while it goes on."""
    path = f"/websites/{canonical_name}?wait_s={wait_s}"
    return parse(WebsiteReport, _ask("PUT", path, spec, deadline_s=wait_s + _MARGIN_S))


def reload_website(canonical_name: str, *, wait_s: int = WAIT_S) -> WebsiteReport:
    """Returns like `put_website`. Raises WebsiteDisabled where there is nothing to reload."""
    path = f"/websites/{canonical_name}/reload?wait_s={wait_s}"
    return parse(WebsiteReport, _ask("POST", path, deadline_s=wait_s + _MARGIN_S))


def delete_website(tombstone: Tombstone) -> None:
    _ask("DELETE", f"/websites/{tombstone.name}", tombstone, deadline_s=WAIT_S + _MARGIN_S)


def find_website(canonical_name: str) -> WebsiteReport | None:
    try:
        return parse(WebsiteReport, _ask("GET", f"/websites/{canonical_name}", deadline_s=_QUICK_S))
    except UnknownWebsite:
        return None


def find_status(canonical_name: str) -> WebsiteStatus | None:
    try:
        return parse(WebsiteStatus, _ask("GET", f"/websites/{canonical_name}/status", deadline_s=_QUICK_S))
    except UnknownWebsite:
        return None


def get_metrics(canonical_name: str, period: Period) -> WebsiteMetrics:
    """Raises UnknownWebsite where the agent has not heard of it yet."""
    path = f"/websites/{canonical_name}/metrics?period={period.value}"
    return parse(WebsiteMetrics, _ask("GET", path, deadline_s=_QUICK_S))


def list_websites(tenant: str, *, domains: Sequence[str] = ()) -> tuple[WebsiteReport, ...]:
    """All of a tenant's; with `domains`, which are canonical, those of them alone."""
    query = urlencode([("tenant", tenant), *(("domain", domain) for domain in domains)])
    return parse(WebsiteReports, _ask("GET", f"/websites?{query}", deadline_s=_QUICK_S)).websites


def find_explained(error_id: str) -> Explained | None:
    """What a visitor met whose page showed this id."""
    try:
        return parse(Explained, _ask("GET", f"/explained/{quote(error_id, safe='')}", deadline_s=_QUICK_S))
    except UnknownErrorId:
        return None


def find_overview(tenant: str, *, domains: Sequence[str]) -> TenantOverview:
    """Raises UnknownTenant where the agent has not heard of the user yet."""
    query = urlencode([("domain", domain) for domain in domains])
    return parse(TenantOverview, _ask("GET", f"/tenants/{tenant}/overview?{query}", deadline_s=_QUICK_S))


def find_proof(asked: ProofRequest) -> ProofReport:
    """What the DNS says now."""
    return parse(ProofReport, _ask("POST", "/proof", asked, deadline_s=_DNS_S))


def find_certificate(domain: str, *, tenant: str) -> CertificateReport:
    """Raises NoCertificate, or StillIssuing before the first."""
    return parse(CertificateReport, _ask("GET", f"/certificates/{domain}?tenant={tenant}", deadline_s=_QUICK_S))


def list_certificates(tenant: str) -> tuple[DomainCertificate, ...]:
    """Of further and custom domains; without what the platform's own covers."""
    return parse(CertificateReports, _ask("GET", f"/certificates?tenant={tenant}", deadline_s=_QUICK_S)).certificates


def upload_certificate(domain: str, sent: CertificateUpload) -> CertificateReport:
    """Raises CertificateRefused or CoveredByPlatform."""
    return parse(CertificateReport, _ask("PUT", f"/certificates/{domain}", sent, deadline_s=_DEED_S))


def order_certificate(domain: str, sent: CertificateOrder, *, wait_s: int = WAIT_S) -> CertificateReport:
    """Returns when it is served. Raises NotIssued, or StillIssuing after `wait_s` while it goes on."""
    path = f"/certificates/{domain}?wait_s={wait_s}"
    return parse(CertificateReport, _ask("POST", path, sent, deadline_s=wait_s + _MARGIN_S))


def delete_certificate(domain: str, *, tenant: str) -> None:
    """Raises NoCertificate."""
    _ask("DELETE", f"/certificates/{domain}?tenant={tenant}", deadline_s=_DEED_S)


def list_tenants() -> tuple[TenantReport, ...]:
    return parse(TenantReports, _ask("GET", "/tenants", deadline_s=_QUICK_S)).tenants


def list_consoles(tenant: str) -> ConsoleReports:
    return parse(ConsoleReports, _ask("GET", f"/tenants/{tenant}/consoles", deadline_s=_QUICK_S))


def open_console(tenant: str, wanted: ConsoleRequest) -> ConsoleReport:
    """Raises ConsoleRefused, TooManyConsoles or ConsoleUnreachable."""
    return parse(ConsoleReport, _ask("POST", f"/tenants/{tenant}/consoles", wanted, deadline_s=_DEED_S))


def get_console(tenant: str, number: int) -> ConsoleReport:
    """Raises UnknownConsole."""
    return parse(ConsoleReport, _ask("GET", f"/tenants/{tenant}/consoles/{number}", deadline_s=_QUICK_S))


def end_console(tenant: str, number: int) -> None:
    """Raises UnknownConsole."""
    _ask("DELETE", f"/tenants/{tenant}/consoles/{number}", deadline_s=_DEED_S)


def read_console(tenant: str, number: int) -> bytes:
    """What it has shown last. Raises UnknownConsole or ConsoleUnreachable."""
    with contextlib.closing(stream("GET", f"/tenants/{tenant}/consoles/{number}/latest", {})) as response:
        return _read_all(response)


def give_console_input(tenant: str, number: int, data: bytes) -> int:
    """How many of the bytes it took: fewer where its command does not read. Raises as `read_console`."""
    path = f"/tenants/{tenant}/consoles/{number}/input"
    return parse(InputTaken, _ask("POST", path, data, deadline_s=_DEED_S)).taken


def async_client(*, answer_s: float | None) -> httpx.AsyncClient:
    """For what goes on for long: `answer_s` is for how long nothing may come."""
    socket = settings.HOSTEL_PATHS.agent_for_panel / "agent.sock"
    transport = httpx.AsyncHTTPTransport(
        uds=str(socket), limits=httpx.Limits(max_keepalive_connections=0), verify=False
    )
    timeout = httpx.Timeout(answer_s, connect=2.0)
    return httpx.AsyncClient(transport=transport, base_url="http://agent", timeout=timeout, trust_env=False)


def printable(found: object) -> str:
    """Halves of surrogate pairs, which a name that is not UTF-8 has, are in no answer."""
    return str(found).encode(errors="replace").decode()


def read_json(response: httpx.Response) -> Any:
    """A tenant's own process has written it: bounded, and no more is believed than that it is JSON."""
    return parse_json(_read_all(response))


def _read_all(response: httpx.Response) -> bytes:
    """Raises FilesUnreachable also where that is more than is ever read of one answer."""
    body = read_bounded(response, most=_LISTING_BYTES)
    if len(body) > _LISTING_BYTES:
        raise FilesUnreachable
    return body


def read_bounded(response: httpx.Response, *, most: int) -> bytes:
    """A little more than `most` bytes where there are more. Raises FilesUnreachable."""
    body = b""
    try:
        for piece in response.iter_raw():
            body += piece
            if len(body) > most:
                break
    except httpx.HTTPError as error:
        raise FilesUnreachable from error
    return body


def parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FilesUnreachable from error


def stream(
    method: str, address: str, query: Mapping[str, str], *, content: Iterable[bytes] | None = None, length: int = 0
) -> httpx.Response:
    """The answer, unread, if it is no error: what comes through from a tenant's own process, however long."""
    socket = settings.HOSTEL_PATHS.agent_for_panel / "agent.sock"
    if not socket.exists():
        raise AgentUnreachable
    client = _client(socket)
    headers = {} if content is None else {"Content-Length": str(length)}
    request = client.build_request(
        method,
        address,
        params=dict(query),
        content=content,
        headers=headers,
        timeout=httpx.Timeout(_FILES_S, connect=2.0),
    )
    try:
        response = client.send(request, stream=True)
        if response.is_success:
            return response
        with contextlib.closing(response):
            answer = read_json(response)
    except httpx.HTTPError as error:
        raise AgentUnreachable from error
    if not isinstance(answer, dict):
        raise FilesUnreachable
    raise error_in(answer)


def _ask(method: str, path: str, message: object = None, *, deadline_s: float) -> Any:
    """The decoded answer. Raises AgentUnreachable, or the error that the agent answered with."""
    content = message if isinstance(message, bytes | None) else json.dumps(to_jsonable(message))
    headers = {"Content-Type": "application/json"} if isinstance(content, str) else {}
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
    if not response.is_success:
        raise error_in(answer)
    return answer


def error_in(answer: object) -> HostelError:
    """What the agent, or a tenant's own process through it, said instead."""
    fields = answer if isinstance(answer, dict) else {}
    return error_from_answer(str(fields.get("code", "error")), printable(fields.get("message", "The agent failed.")))


@functools.cache
def _client(socket: Path) -> httpx.Client:
    """No connection is kept: connecting to a unix socket costs nothing, and a restarted agent leaves none stale."""
    transport = httpx.HTTPTransport(uds=str(socket), limits=httpx.Limits(max_keepalive_connections=0), verify=False)
    return httpx.Client(transport=transport, base_url="http://agent", trust_env=False)
