"""How many API calls a minute: for a user with a valid token by user, for everybody else by address."""

import time
from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from hostel.panel.ratelimit import RateLimit, address_key

if TYPE_CHECKING:  # the settings name this module, and DRF's views read the settings
    from rest_framework.views import APIView

requests = RateLimit()


class RequestsPerMinute(BaseThrottle):
    """Refused calls (401 among them) count like the others, so tokens cannot be tried without end."""

    _wait_s = 0.0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        user = request.user
        key = f"user:{user.pk}" if user.is_authenticated else address_key(request._request)  # noqa: SLF001 - DRF's only way
        limit = settings.HOSTEL_CONFIG.panel.requests_per_minute
        self._wait_s = requests.take(key, limit=limit, now=time.monotonic())
        return self._wait_s == 0.0

    def wait(self) -> float:
        return self._wait_s
