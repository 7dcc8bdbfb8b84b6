"""The agent's HTTP interface: one application a caller, each with that caller's verbs and no others."""

import errno
from collections.abc import Awaitable, Callable

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hostel.agent import certificate_desk
from hostel.agent.bodies import read_json
from hostel.agent.console_api import console_routes
from hostel.agent.doctor import check_machine
from hostel.agent.doors import DoorRequest, Doors
from hostel.agent.node import Node
from hostel.agent.usage import read_usage
from hostel.wire.certificate import CertificateOrder, CertificateUpload
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.console import ConsoleUnreachable
from hostel.wire.errors import FilesUnreachable, HostelError, MalformedMessage, Refusal, StorageFull, UnknownErrorId
from hostel.wire.metrics import Period
from hostel.wire.names import canonical_domain
from hostel.wire.report import AgentChecks, Health, ProofRequest, TenantReports, WebsiteReports
from hostel.wire.website import ExecRequest, RunId, TenantSpec, Tombstone, WebsiteSpec

log = structlog.get_logger()

WAIT_LIMIT_S = 120.0
_DOOR_WORDS = frozenset({"lines", "after", "wait_s", "details", "contains", "expect", "to"})


def panel_app(node: Node) -> Starlette:
    """What the panel may ask: tenants, their files and websites. Nothing of the panel's own website."""

    async def put_tenant(request: Request) -> Response:
        spec = parse(TenantSpec, await read_json(request))
        if spec.name != request.path_params["name"]:
            raise MalformedMessage("name: does not belong to this address")
        await node.put_tenant(spec)
        return JSONResponse({})

    async def delete_tenant(request: Request) -> Response:
        tombstone = parse(Tombstone, await read_json(request))
        await node.delete_tenant(tombstone)
        return JSONResponse({})

    async def overview(request: Request) -> Response:
        name, domains = request.path_params["name"], request.query_params.getlist("domain")
        return _answer(node.overviews.read(name, domains=domains))

    async def put_website(request: Request) -> Response:
        spec = parse(WebsiteSpec, await read_json(request))
        return _answer(await node.put_website(request.path_params["domain"], spec, wait_s=_wait_s(request)))

    async def delete_website(request: Request) -> Response:
        await node.delete_website(request.path_params["domain"], parse(Tombstone, await read_json(request)))
        return JSONResponse({})

    async def reload(request: Request) -> Response:
        return _answer(await node.reload(request.path_params["domain"], wait_s=_wait_s(request)))

    async def metrics(request: Request) -> Response:
        return _answer(await node.metrics.report(request.path_params["domain"], _period(request)))

    return _app(
        Route("/tenants/{name}", put_tenant, methods=["PUT"]),
        Route("/tenants/{name}", delete_tenant, methods=["DELETE"]),
        Route("/tenants/{name}/overview", overview),
        Route("/websites/{domain}", put_website, methods=["PUT"]),
        Route("/websites/{domain}", delete_website, methods=["DELETE"]),
        Route("/websites/{domain}/reload", reload, methods=["POST"]),
        Route("/websites/{domain}/metrics", metrics),
        *console_routes(node),
        *_domain_routes(node),
        *_error_routes(node),
        *_home_routes(node),
        *_report_routes(node),
    )


class _Relayed(Response):
    """What the door of a tenant answers, piece by piece; whatever it holds is let go when the answer has ended."""

    def __init__(self, node: Node, doors: Doors, request: Request, target: str) -> None:
        super().__init__()
        self._node = node
        self._doors = doors
        self._tenant = request.path_params["name"]
        length = request.headers.get("content-length", "0")
        has_body = request.method == "PUT"
        if has_body and not length.isdecimal():
            raise MalformedMessage("Content-Length: expected the number of bytes")
        self._asked = DoorRequest(
            method=request.method,
            target=target,
            path=request.query_params.get("path", ""),
            query={key: value for key, value in request.query_params.items() if key in _DOOR_WORDS},
            body=request.stream() if has_body else None,
            length=int(length) if has_body else 0,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tenant = self._node.user(self._tenant)
        adds = self._asked.method == "PUT" or self._asked.target == "directory"
        if adds:
            self._node.disk.check(tenant.name, tenant.record.limits.disk_bytes)
        async with self._doors.ask(tenant, self._asked) as answer:
            if adds or self._asked.method == "DELETE":
                self._node.disk.measure_soon(tenant.name)
            used = self._node.disk.find(tenant.name)
            left = answer.length
            headers = [(b"hostel-disk-used", str(used.used_bytes).encode())] if used else []
            headers += [(b"content-length", str(left).encode())] if answer.kind else []
            headers += [(b"content-type", answer.kind.encode())] if answer.kind else []
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            async for piece in answer.body:
                await send({"type": "http.response.body", "body": piece[:left], "more_body": True})
                left -= min(left, len(piece))
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def edge_app(node: Node) -> Starlette:
    """What nginx may ask: to wake a website, and to tell an owner of a file that it could not read."""

    async def wake(request: Request) -> Response:
        node.wake(request.path_params["domain"])
        return Response(status_code=202)

    async def refused_file(request: Request) -> Response:
        await node.note_refused_file(request.path_params["domain"], request.query_params.get("path", ""))
        return Response(status_code=202)

    return _app(
        Route("/wake/{domain}", wake, methods=["POST"]),
        Route("/refused_file/{domain}", refused_file, methods=["POST"]),
    )


def root_app(node: Node) -> Starlette:
    """What root's command line may ask: to look, and to run commands in sandboxes."""

    async def health(_: Request) -> Response:
        panel = node.panel.report().state
        return _answer(Health(panel=panel, installation=node.installation.id, foundation=node.config.foundation))

    async def usage(_: Request) -> Response:
        return _answer(await read_usage(node))

    async def exec_(request: Request) -> Response:
        asked = parse(ExecRequest, await read_json(request))
        return _answer(await node.prepare_command(request.path_params["name"], asked))

    async def discard(request: Request) -> Response:
        await node.commands.discard(RunId(request.path_params["run"]))
        return JSONResponse({})

    async def doctor(_: Request) -> Response:
        return _answer(AgentChecks(checks=await check_machine(node)))

    return _app(
        Route("/health", health),
        Route("/usage", usage),
        Route("/tenants/{name}/exec", exec_, methods=["POST"]),
        Route("/runs/{run}", discard, methods=["DELETE"]),
        Route("/doctor", doctor),
        *_report_routes(node),
    )


def _report_routes(node: Node) -> list[Route]:
    async def one(request: Request) -> Response:
        return _answer(node.report(request.path_params["domain"]))

    async def many(request: Request) -> Response:
        asked = request.query_params
        return _answer(WebsiteReports(websites=node.reports(asked.get("tenant"), only=asked.getlist("domain"))))

    async def status(request: Request) -> Response:
        return _answer(await node.meter.status(request.path_params["domain"]))

    async def tenants(_: Request) -> Response:
        return _answer(TenantReports(tenants=node.tenant_reports()))

    return [
        Route("/websites", many),
        Route("/websites/{domain}", one),
        Route("/websites/{domain}/status", status),
        Route("/tenants", tenants),
    ]


def _domain_routes(node: Node) -> list[Route]:
    async def proof(request: Request) -> Response:
        asked = parse(ProofRequest, await read_json(request))
        return _answer(
            await node.dns.find_proof(
                canonical_domain(asked.domain), cname=asked.cname, txt_name=asked.txt_name, txt=asked.txt
            )
        )

    async def certificate(request: Request) -> Response:
        domain, tenant = request.path_params["domain"], request.query_params.get("tenant", "")
        if request.method == "DELETE":
            await certificate_desk.delete(node, domain, tenant=tenant)
            return JSONResponse({})
        if request.method == "PUT":
            sent = parse(CertificateUpload, await read_json(request))
            return _answer(await certificate_desk.upload(node, domain, sent))
        if request.method == "POST":
            asked = parse(CertificateOrder, await read_json(request))
            return _answer(await certificate_desk.order(node, domain, asked, wait_s=_wait_s(request)))
        return _answer(certificate_desk.report(node, domain, tenant=tenant))

    async def many(request: Request) -> Response:
        return _answer(certificate_desk.reports(node, tenant=request.query_params.get("tenant", "")))

    return [
        Route("/proof", proof, methods=["POST"]),
        Route("/certificates", many),
        Route("/certificates/{domain}", certificate, methods=["GET", "PUT", "POST", "DELETE"]),
    ]


def _home_routes(node: Node) -> list[Route]:
    """What reaches into a home, all of it through a sandbox of the tenant's."""

    def relayed(doors: Doors, target: str) -> Callable[[Request], Awaitable[Response]]:
        async def relay(request: Request) -> Response:
            return _Relayed(node, doors, request, target)

        return relay

    return [
        Route("/tenants/{name}/files", relayed(node.doors, "files"), methods=["GET", "PUT", "DELETE"]),
        Route("/tenants/{name}/directory", relayed(node.doors, "directory"), methods=["POST"]),
        Route("/tenants/{name}/move", relayed(node.doors, "move"), methods=["POST"]),
        Route("/tenants/{name}/tree", relayed(node.doors, "tree"), methods=["GET"]),
        Route("/tenants/{name}/log", relayed(node.doors, "log"), methods=["GET"]),
        Route("/tenants/{name}/surroundings", relayed(node.workshops, "surroundings"), methods=["GET"]),
        Route("/tenants/{name}/project", relayed(node.workshops, "project"), methods=["GET"]),
        Route("/tenants/{name}/facts", relayed(node.workshops, "facts"), methods=["PUT"]),
        Route("/tenants/{name}/build", relayed(node.workshops, "build"), methods=["GET", "PUT"]),
    ]


def _error_routes(node: Node) -> list[Route]:
    async def explained(request: Request) -> Response:
        found = await node.edge.find_explained(request.path_params["id"])
        if found is None:
            raise UnknownErrorId
        return _answer(found)

    return [Route("/explained/{id}", explained)]


def _app(*routes: Route) -> Starlette:
    handlers: dict[int | type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        HostelError: _refuse,
        OSError: _storage,
        Exception: _crash,
    }
    return Starlette(routes=routes, exception_handlers=handlers)


async def _refuse(_: Request, error: Exception) -> Response:
    if not isinstance(error, HostelError):
        raise error
    if not isinstance(error, (Refusal, FilesUnreachable, ConsoleUnreachable)):  # those a tenant can make at will
        log.error("request could not be carried out", code=error.code, error=str(error))
    return JSONResponse({"code": error.code, "message": str(error)}, status_code=error.status)


async def _storage(request: Request, error: Exception) -> Response:
    """A record that could not be written; nothing has changed then."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return await _refuse(request, StorageFull())
    return await _crash(request, error)


async def _crash(_: Request, error: Exception) -> Response:
    log.error("fault while answering", exc_info=error)
    return JSONResponse({"code": HostelError.code, "message": "The agent met a fault; see its log."}, status_code=500)


def _wait_s(request: Request) -> float:
    try:
        return min(max(float(request.query_params.get("wait_s", "0")), 0.0), WAIT_LIMIT_S)
    except ValueError:
        raise MalformedMessage("wait_s: expected seconds") from None


def _period(request: Request) -> Period:
    try:
        return Period(request.query_params.get("period", Period.HOUR))
    except ValueError:
        raise MalformedMessage("period: expected hour or day") from None


def _answer(value: object) -> Response:
    return JSONResponse(to_jsonable(value))
