"""Counting how often somebody does something. In memory: the panel is one process, and a restart may forgive."""

import ipaddress
import math
import threading
from collections import OrderedDict

from django.http import HttpRequest

_PERIOD_S = 60.0
_KEYS_LIMIT = 100_000  # the least recently seen is forgotten


class RateLimit:
    """For each key, `limit` events at once and then one every `60 / limit` seconds (GCRA: one number a key)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due_at: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str, *, limit: int, now: float) -> float:
        """Count one event, or say in how many seconds it would be admitted. `now` is monotonic; 0.0 means admitted."""
        interval_s = _PERIOD_S / limit
        with self._lock:
            due_at = max(self._due_at.get(key, now), now)
            wait_s = due_at - now - (_PERIOD_S - interval_s)
            if wait_s > 1e-6:
                return wait_s
            self._due_at[key] = due_at + interval_s
            self._due_at.move_to_end(key)
            if len(self._due_at) > _KEYS_LIMIT:
                self._due_at.popitem(last=False)
        return 0.0

    def clear(self) -> None:
        with self._lock:
            self._due_at.clear()


def retry_after(wait_s: float) -> int:
    """Seconds for a Retry-After header: whole, and never too few."""
    return math.ceil(wait_s)


def address_of(request: HttpRequest) -> str:
    """The visitor's, as the edge saw it; "" where nobody has said it."""
    text = request.META.get("HTTP_X_REAL_IP") or request.META.get("REMOTE_ADDR") or ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def address_key(request: HttpRequest) -> str:
    """Who is counted where nobody is known: the visitor's address, an IPv6 one by its /64."""
    text = address_of(request)
    if not text:
        return "address:unknown"
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return f"address:{ipaddress.ip_network((address, 64), strict=False)}"
    return f"address:{address}"
