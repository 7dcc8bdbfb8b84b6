"""Every error of the API becomes an answer here, and nowhere else.

Bodies keep the shapes that clients match to the letter: `{"detail": ...}` and `{"<field>": [...]}`. A code that
programs can rely on therefore travels in the header `Hostel-Error-Code` of every error; it also stands in the body,
beside `detail`, where no client of the compared API knows the answer (405, 415, 500, 503, ...).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from hostel.panel.faults import storage_error
from hostel.wire.errors import HostelError, Refusal

log = structlog.get_logger(__name__)

CODE_HEADER = "Hostel-Error-Code"
_RETRY_AFTER_S = 5
_KNOWN_TO_CLIENTS = frozenset({401, 403, 404, 429})


@contextmanager
def refused_as(field: str, *kinds: type[Refusal]) -> Iterator[None]:
    """What is refused as one of `kinds` becomes the refusal of `field`."""
    try:
        yield
    except kinds as error:
        raise exceptions.ValidationError({field: [str(error)]}, code=error.code) from error


def answer_to_error(error: Exception, context: dict[str, Any]) -> Response:
    """The project's EXCEPTION_HANDLER."""
    trouble = error if isinstance(error, HostelError) else storage_error(error)
    if trouble is not None:
        return answer_to_hostel_error(trouble)
    if isinstance(error, SuspiciousOperation | MultiPartParserError):  # a thousand form fields, for instance
        error = exceptions.ParseError(str(error))
    if isinstance(error, ObjectDoesNotExist):  # deleted by another call meanwhile
        error = exceptions.NotFound()
    response = exception_handler(error, context)
    if response is None:
        return _answer_to_fault(error, context)
    code = _code_of(error)
    response.headers[CODE_HEADER] = code
    is_detail = isinstance(response.data, dict) and set(response.data) == {"detail"}
    if is_detail and response.status_code not in _KNOWN_TO_CLIENTS:
        response.data["code"] = code
    return response


def answer_to_hostel_error(error: HostelError) -> Response:
    headers = {CODE_HEADER: error.code}
    if error.is_retryable:
        headers["Retry-After"] = str(_RETRY_AFTER_S)
    return Response({"detail": str(error), "code": error.code}, status=error.status, headers=headers)


def _answer_to_fault(error: Exception, context: dict[str, Any]) -> Response:
    log.error("api call failed", view=type(context.get("view")).__name__, exc_info=error)
    detail = "Something went wrong here. It was logged; please try again later."
    return Response({"detail": detail, "code": "fault"}, status=500, headers={CODE_HEADER: "fault"})


def _code_of(error: Exception) -> str:
    if isinstance(error, exceptions.APIException):
        return _first_code(error.get_codes())
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied.default_code
    return exceptions.NotFound.default_code if isinstance(error, Http404) else "error"


def _first_code(codes: Any) -> str:
    """DRF nests codes like the errors: {"domain_name": ["invalid_name"]}."""
    while isinstance(codes, dict | list):
        values = list(codes.values()) if isinstance(codes, dict) else codes
        codes = values[0] if values else "invalid"
    return str(codes)
