"""Answers outside the ordinary: unknown pages, refused forms, a locked or full database, our own mistakes.

JSON below /api/, a page elsewhere; never a traceback, and nothing here reads the database.
"""

import os
import sys

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFilesSent
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from hostel.wire.errors import HostelError

_SMALLEST_ROOM = 64 * 1024  # bytes; less, and SQLite cannot make the files it needs beside the database


class DatabaseBusy(HostelError):
    """The database is busy. Nothing was changed; try again in a few seconds."""

    code = "database_busy"
    status = 503
    is_retryable = True


class DatabaseFull(HostelError):
    """The disk is full, so nothing was changed. The operator must free space."""

    code = "database_full"
    status = 507
    is_retryable = True


class DatabaseUnusable(HostelError):
    """The database cannot be used, so nothing was changed. The operator finds the reason in the panel's log."""

    code = "database_unusable"
    status = 503
    is_retryable = True


def storage_error(error: BaseException | None) -> HostelError | None:
    """SQLite's words as one of our errors, or None where it is no trouble with storage."""
    if not isinstance(error, OperationalError):
        return None
    words = str(error)
    if "locked" in words or "busy" in words:
        return DatabaseBusy()
    return DatabaseFull() if "full" in words or _has_no_room() else DatabaseUnusable()


def _has_no_room() -> bool:
    """SQLite calls a file beside the database that cannot grow an I/O error."""
    free = os.statvfs(settings.HOSTEL_PATHS.panel)
    return free.f_bavail * free.f_frsize < _SMALLEST_ROOM or (free.f_files > 0 and free.f_favail == 0)


def _cause(error: BaseException | None) -> HostelError | None:
    """The trouble with storage behind `error`: Django makes another error of one that it meets in a session."""
    while error is not None and storage_error(error) is None:
        error = error.__cause__ or error.__context__
    return storage_error(error)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    trouble = _cause(exception)
    if trouble is not None:
        return answer_to_trouble(request, trouble)
    if isinstance(exception, RequestDataTooBig):
        detail = "A form takes 1 MiB of text. Go back, your text is still there; upload it as a file instead."
        return _answer(request, 400, "form_too_large", detail)
    if isinstance(exception, TooManyFilesSent):
        most = settings.DATA_UPLOAD_MAX_NUMBER_FILES
        return _answer(request, 400, "too_many_files", f"A form takes {most} files at once. Go back and choose fewer.")
    return _answer(request, 400, "bad_request", "That request cannot be understood.")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(request, 403, "permission_denied", "You do not have permission to do that.")


def forbidden_form(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that did not come from our own page, or whose page was too old."""
    return _answer(
        request, 403, "csrf_failed", "The form was not sent from this site, or too late. Go back, reload and try again."
    )


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(request, 404, "not_found", "Not found.")


def server_error(request: HttpRequest) -> HttpResponse:
    trouble = storage_error(sys.exc_info()[1])
    if trouble is None:
        return _answer(request, 500, "fault", "Something went wrong here. It was logged; please try again later.")
    return answer_to_trouble(request, trouble)


def answer_to_trouble(request: HttpRequest, trouble: HostelError) -> HttpResponse:
    response = _answer(request, trouble.status, trouble.code, str(trouble))
    response.headers["Retry-After"] = "5"
    return response


def _answer(request: HttpRequest, status: int, code: str, detail: str) -> HttpResponse:
    if request.path_info.startswith("/api/"):
        response: HttpResponse = JsonResponse({"detail": detail, "code": code}, status=status)
        response.headers["Hostel-Error-Code"] = code
        return response
    return render(request, "error.html", {"detail": detail, "status": status}, status=status)
