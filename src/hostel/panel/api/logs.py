"""The three logs of a website: their last lines, and what comes, as server-sent events."""

import json
import time
from collections import Counter
from collections.abc import AsyncIterator

from django.http import Http404, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel import homes
from hostel.panel.accounts.models import ApiToken, NamedToken
from hostel.panel.api import schema_files as schema
from hostel.panel.api.authentication import is_still_good, token_of
from hostel.panel.api.views import OwnersView

TAIL_MOST = 5_000
FOLLOWERS_MOST = 4  # of one user: each keeps a connection and a question open
_TAIL = 100
_LOOK_EVERY_S = 5.0

_followers: Counter[str] = Counter()


class TooManyFollowers(exceptions.Throttled):
    default_code = "too_many_followers"

    def __init__(self) -> None:
        exceptions.APIException.__init__(
            self, f"You follow {FOLLOWERS_MOST} logs already; end one of them.", code=self.default_code
        )
        self.wait = None


class WebsiteLog(OwnersView):
    @schema.read_log
    def get(self, request: Request, username: str, domain_name: str, kind: str) -> HttpResponseBase:
        file = self.get_website(domain_name).logfiles.get(kind)
        if file is None:
            raise Http404
        lines = _tail(request.query_params.get("tail", str(_TAIL)))
        if request.query_params.get("follow", "") not in ("1", "true", "True"):
            found = homes.read_log(username, file, lines=lines)
            return Response({"lines": found.lines, "position": found.position})
        if _followers[username] >= FOLLOWERS_MOST:
            raise TooManyFollowers
        after = request.headers.get("Last-Event-ID", "")
        first = None if homes.POSITION.fullmatch(after) else homes.read_log(username, file, lines=lines)
        events = _events(username, file, first, after, token=token_of(request))
        return StreamingHttpResponse(events, content_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _tail(given: str) -> int:
    if given.isdecimal() and len(given) < 6 and int(given) <= TAIL_MOST:
        return int(given)
    raise exceptions.ValidationError({"tail": [f"Give a whole number from 0 to {TAIL_MOST:,}."]})


async def _events(
    username: str, file: str, first: homes.LogLines | None, after: str, *, token: ApiToken | NamedToken
) -> AsyncIterator[bytes]:
    """Each line one event. The last of a batch carries the position, from which a client that comes back goes on.

    Ends within some seconds where the token is good no more.
    """
    _followers[username] += 1
    looked_at = time.monotonic()
    try:
        if first is not None:
            yield _event(first)
            after = first.position
        async for found in homes.follow_log(username, file, after=after):
            if time.monotonic() - looked_at > _LOOK_EVERY_S:
                if not await is_still_good(token):
                    return
                looked_at = time.monotonic()
            yield _event(found) if found.lines else b": nothing new\n\n"
    finally:
        _followers[username] -= 1


def _event(found: homes.LogLines) -> bytes:
    """As JSON strings: a line may hold any character, a carriage return for one, that would end an event's line."""
    events = [f"data: {json.dumps(line)}\n\n" for line in found.lines]
    last = f"id: {found.position}\n"
    return "".join((*events[:-1], last, *(events[-1:] or ["event: position\ndata:\n\n"]))).encode()
