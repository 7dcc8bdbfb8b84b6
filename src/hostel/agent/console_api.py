"""What the panel may ask of consoles: each a tenant's own, by number."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from hostel.agent import console_line
from hostel.agent.bodies import read_body, read_json
from hostel.agent.node import Node
from hostel.agent.sandbox import Sandbox
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.console import (
    COLUMNS_MOST,
    INPUT_BYTES_LIMIT,
    POSITION,
    POSITION_HEADER,
    ROWS_MOST,
    ConsoleRequest,
    InputTaken,
)
from hostel.wire.errors import MalformedMessage

_REQUEST_BYTES = 1 << 18
_BASE = "/tenants/{name}/consoles/{number:int}"


def console_routes(node: Node) -> list[Route]:
    async def consoles(request: Request) -> Response:
        tenant = node.user(request.path_params["name"])
        if request.method == "GET":
            return JSONResponse(to_jsonable(node.consoles.report_all(tenant)))
        wanted = parse(ConsoleRequest, await read_json(request, limit=_REQUEST_BYTES))
        return JSONResponse(to_jsonable(await node.consoles.open(tenant, wanted)))

    async def one(request: Request) -> Response:
        tenant, number = node.user(request.path_params["name"]), request.path_params["number"]
        if request.method == "DELETE":
            await node.consoles.end(tenant, number)
            return JSONResponse({})
        return JSONResponse(to_jsonable(node.consoles.report(tenant, number)))

    async def output(request: Request) -> Response:
        position, pieces = await console_line.watch(found(request), after=_number(request, "after", most=1 << 62))
        return StreamingResponse(
            pieces, media_type="application/octet-stream", headers={POSITION_HEADER: str(position)}
        )

    async def latest(request: Request) -> Response:
        shown = await console_line.read_latest(found(request))
        return Response(shown, media_type="application/octet-stream")

    async def give_input(request: Request) -> Response:
        sandbox, data = found(request), await read_body(request, limit=INPUT_BYTES_LIMIT)
        return JSONResponse(to_jsonable(InputTaken(taken=await console_line.give_input(sandbox, data))))

    async def size(request: Request) -> Response:
        rows, columns = _number(request, "rows", most=ROWS_MOST), _number(request, "columns", most=COLUMNS_MOST)
        await console_line.resize(found(request), rows=rows, columns=columns)
        return JSONResponse({})

    def found(request: Request) -> Sandbox:
        return node.consoles.get(node.user(request.path_params["name"]), request.path_params["number"])

    return [
        Route("/tenants/{name}/consoles", consoles, methods=["GET", "POST"]),
        Route(_BASE, one, methods=["GET", "DELETE"]),
        Route(f"{_BASE}/output", output),
        Route(f"{_BASE}/latest", latest),
        Route(f"{_BASE}/input", give_input, methods=["POST"]),
        Route(f"{_BASE}/size", size, methods=["POST"]),
    ]


def _number(request: Request, name: str, *, most: int) -> int:
    given = request.query_params.get(name, "")
    if not POSITION.fullmatch(given) or int(given) > most:
        raise MalformedMessage(f"{name}: expected a whole number up to {most}")
    return int(given)
