"""How often a password may be tried. By address; by name, over all strange devices together; a known device by itself.

Whoever floods a name from many addresses keeps strange devices out of it, and never one from which its user has logged
in: such a one shows a cookie that says so (OWASP: "Slow Down Online Guessing Attacks with Device Cookies").
"""

import hashlib
import secrets
import time

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from hostel.panel.ratelimit import RateLimit, address_key

logins = RateLimit()

COOKIE = "__Host-device"
_COOKIE_S = 365 * 86_400
_SALT = "hostel.device"
# One address alone must not use up a name: it is stopped by its own limit long before.
_ADDRESSES_A_NAME = 10


def count_attempt(request: HttpRequest, username: str) -> float:
    """How many seconds to wait; 0.0 where this attempt may go on."""
    now, limit = time.monotonic(), settings.HOSTEL_CONFIG.panel.logins_per_minute
    name = username.strip().lower()
    device = _device(request, name)
    if device is not None:
        return logins.take(f"device:{device}", limit=limit, now=now)
    wait_s = logins.take(address_key(request), limit=limit, now=now)
    name_key = "name:" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()  # bounds what is kept
    return wait_s or logins.take(name_key, limit=limit * _ADDRESSES_A_NAME, now=now)


def remember_device(response: HttpResponse, username: str) -> None:
    """From here on this browser is known to be one of `username`."""
    text = signing.dumps([username, secrets.token_hex(16)], salt=_SALT)
    response.set_cookie(COOKIE, text, max_age=_COOKIE_S, secure=True, httponly=True, samesite="Lax")


def _device(request: HttpRequest, name: str) -> str | None:
    try:
        username, nonce = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=_COOKIE_S)
    except (signing.BadSignature, ValueError):
        return None
    return str(nonce) if username == name else None
