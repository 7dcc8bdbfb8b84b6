"""The route record: all that the edge knows of one host name. Written by `edge/publish.py`, read by Lua."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hostel.wire.static_files import StaticMapping
from hostel.wire.website import MAX_BODY_MB, MIB, RunId


class RouteState(StrEnum):
    RUNNING = "running"  # proxy to `endpoint`
    HELD = "held"  # starting or being replaced: hold requests, ask the agent to wake it
    ASLEEP = "asleep"  # the same, of a website that nobody had visited
    FAILED = "failed"  # "Something went wrong"
    DISABLED = "disabled"
    SUSPENDED = "suspended"
    DELETED = "deleted"  # a tombstone; visitors see what an unknown name shows


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRecord:
    """`serial` grows with each publication: the edge never lets an older record replace a newer one.

    What has its default is left out where it is written: there are thousands, and nginx keeps the text of each.
    """

    domain: str  # canonical
    website: str = ""  # the canonical domain it is counted and woken by; "" is `domain`
    serial: int
    state: RouteState
    run: RunId | None = None
    endpoint: str | None = None  # `unix:/path` (or `ip:port` one day)
    host: str = ""  # what the website gets as Host: canonical name, with the port unless it is 80 or 443. "": `domain`
    https_host: str = ""  # the same over HTTPS
    access_log: str = ""  # absolute path
    hold_s: float = 10.0  # how long a request may be held
    read_timeout_s: int = 300
    websocket_timeout_s: int = 3600
    max_requests: int = 256
    max_held: int = 100
    max_websockets: int = 2048
    max_body_bytes: int = MAX_BODY_MB * MIB
    buffer_requests: bool = True
    buffer_responses: bool = False
    static_files: tuple[StaticMapping, ...] = ()  # paths as the edge finds them
    http_users: Mapping[str, str] = field(default_factory=dict)  # hashes of sha512-crypt; {}: no password
    # WebSockets of the run before were closed at `spread_from` (seconds since 1970): until `spread_s` later each new
    # upgrade waits for a random part of the time that is left, so that not all come back in the same second.
    spread_from: float = 0.0
    spread_s: float = 0.0
    ignores_monitors: bool = False  # known services that look whether it is up are no visitors
    is_redirect: bool = False  # visitors are sent to `host`, over HTTPS to `https_host`
    force_https: bool = False
    hsts_s: int = 0
