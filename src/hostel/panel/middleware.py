"""What holds for every request and every answer, whatever the view."""

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

GetResponse = Callable[[HttpRequest], HttpResponseBase]

_SLASHES = re.compile("/+")
# Scripts come from the panel's own files and nowhere else: also not from what users keep at this host.
STRICT_CONTENT = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def one_spelling(get_response: GetResponse) -> GetResponse:
    """Doubled slashes count as one, the last one may be missing. Never a redirect: it would turn a POST into a GET."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        request.path = request.path_info = _SLASHES.sub("/", f"/{request.path_info}/")
        return get_response(request)

    return middleware


def known_host(get_response: GetResponse) -> GetResponse:
    """Refuse a Host header that is not the panel's. The agent comes over the panel's own socket and needs none."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith("/agent/"):
            request.get_host()  # raises DisallowedHost, which is answered with 400
        return get_response(request)

    return middleware


def api_over_https(get_response: GetResponse) -> GetResponse:
    """An API call over plain HTTP is refused in words: a redirect would send the token in clear a second time."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        is_docs = request.path_info.startswith("/api/docs/")
        if request.path_info.startswith("/api/") and not is_docs and not request.is_secure():
            detail = f"Use HTTPS: https://{settings.SECURE_SSL_HOST}{request.path_info}"
            response = JsonResponse({"detail": detail, "code": "https_required"}, status=403)
            response.headers["Hostel-Error-Code"] = "https_required"
            return response
        return get_response(request)

    return middleware


def answer_headers(get_response: GetResponse) -> GetResponse:
    """Strict content rules, no caching (answers hold tokens and states), and a length."""
    static = f"https://{settings.SECURE_SSL_HOST}{settings.STATIC_URL}"
    content_rules = STRICT_CONTENT.format(script=static, style=static)

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", content_rules)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if isinstance(response, HttpResponse) and response.status_code != 204:
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response

    return middleware
