"""Waiting until a run that was just started takes connections, or is found to do so never."""

import asyncio
import time

from hostel.agent.errors import RunFailed
from hostel.agent.failure import describe_exit, describe_silence
from hostel.agent.listeners import find_listeners
from hostel.agent.sandbox import Sandbox, Sandboxes
from hostel.agent.sockets import Found
from hostel.wire.website import WebsiteSpec

# Between two looks: a twentieth of the time that the start has taken so far, for that is how much longer it may seem.
_PROBE_FIRST_S, _PROBE_LIMIT_S = 0.005, 0.05
_PROBE_SHARE = 0.05
# A command that listens on another address for so long will hardly come to listen on $DOMAIN_SOCKET as well: a part of
# its deadline, so that whoever opens a socket for its own use and is slow to start can set a longer one.
ASTRAY_SHARE, ASTRAY_LEAST_S = 0.25, 5.0


async def until_accepting(sandbox: Sandbox, spec: WebsiteSpec, *, sandboxes: Sandboxes) -> None:
    """Raises RunFailed when the run ends, listens elsewhere for a while, or has used up its deadline."""
    began = time.monotonic()
    astray_s = max(ASTRAY_LEAST_S, ASTRAY_SHARE * spec.start_deadline_s)
    astray_since: float | None = None
    while True:
        found = await sandbox.probe()
        if found is Found.ACCEPTS:
            return
        if sandbox.exit.done():
            stderr = await sandboxes.tail(sandbox)
            raise RunFailed(describe_exit(sandbox.exit.result(), spec.limits, stderr))
        now = time.monotonic()
        pause_s = min(max(_PROBE_FIRST_S, _PROBE_SHARE * (now - began)), _PROBE_LIMIT_S)
        is_overdue = now - began > spec.start_deadline_s
        if is_overdue or pause_s == _PROBE_LIMIT_S:
            listeners = await asyncio.to_thread(find_listeners, sandbox.processes())
            is_astray = found is Found.UNUSABLE or (found is Found.NOTHING and listeners)
            astray_since = (astray_since or now) if is_astray else None
            if is_overdue or (astray_since and now - astray_since > astray_s):
                stderr = await sandboxes.tail(sandbox)
                raise RunFailed(describe_silence(found, listeners, spec, stderr))
        await asyncio.wait([sandbox.exit], timeout=pause_s)
