"""A file as an answer: always to be kept by the browser, never shown or run by it."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
from django.http import StreamingHttpResponse

_PIECE = 1 << 18


def attachment(found: httpx.Response, name: str = "") -> StreamingHttpResponse:
    """What the agent has opened; closed when it has been sent. Without a name the address gives it one."""
    encoded = f"; filename*=UTF-8''{quote(name, safe='', errors='replace')}" if name else ""
    headers = {
        "Content-Length": found.headers["content-length"],
        "Content-Disposition": f"attachment{encoded}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    return StreamingHttpResponse(
        _pieces(found), content_type="application/octet-stream; charset=utf-8", headers=headers
    )


async def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """Read in threads: the answer was opened by one."""
    pieces = response.iter_raw(_PIECE)
    try:
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece
    finally:
        await asyncio.to_thread(response.close)
