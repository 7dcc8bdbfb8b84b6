"""Bodies of requests to the agent: bounded, whoever sends them."""

import json

from starlette.requests import Request

from hostel.wire.errors import MalformedMessage

BODY_LIMIT = 1 << 20


async def read_body(request: Request, *, limit: int) -> bytes:
    """Raises MalformedMessage where it has more than `limit` bytes."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise MalformedMessage(f"expected at most {limit} bytes")
    return body


async def read_json(request: Request, *, limit: int = BODY_LIMIT) -> object:
    """Raises MalformedMessage where it is too long, or not JSON."""
    body = await read_body(request, limit=limit)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"expected JSON: {error}") from error
