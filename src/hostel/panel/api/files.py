"""The files endpoints (v0): what a user sees and does in the home, through the tenant's own sandbox."""

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http.response import HttpResponseBase
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel import agent, homes
from hostel.panel.accounts.models import Scope
from hostel.panel.api import schema_files as schema
from hostel.panel.api.errors import CODE_HEADER
from hostel.panel.api.views import OwnersView
from hostel.panel.files import deeds
from hostel.panel.files.answers import attachment
from hostel.wire.errors import FileForbidden, FilesUnreachable, NoSuchFile

_PIECE = 1 << 18
_KINDS = frozenset({"file", "directory", "symlink"})


class FilePath(OwnersView):
    scopes = (Scope.FILES, Scope.FILES)

    @schema.read_file
    def get(self, request: Request, username: str, path: str) -> HttpResponseBase:
        found = homes.open_file(username, _absolute(path))
        if found.headers.get("content-type") == "application/json":
            with contextlib.closing(found):
                return Response(self._listing(username, _absolute(path), agent.read_json(found)))
        # Never as JSON, whatever the name: clients take JSON for a directory.
        return attachment(found)

    @schema.write_file
    def post(self, request: Request, username: str, path: str) -> Response:
        content = request.FILES.get("content")
        if not isinstance(content, UploadedFile):
            raise exceptions.ParseError("You must provide a file with the name 'content'.")
        is_new = deeds.write(self.owner, _absolute(path), _chunks(content), length=content.size or 0)
        return Response(status=201 if is_new else 200)

    @schema.delete_file
    def delete(self, request: Request, username: str, path: str) -> Response:
        try:
            deeds.delete(self.owner, _absolute(path))
        except NoSuchFile:
            return _refused(404, "File does not exist", "not_found")
        except FileForbidden:
            return _refused(403, "You do not have permission to delete this", "forbidden")
        return Response(status=204)

    def _listing(self, username: str, directory: str, found: Any) -> dict[str, dict[str, str]]:
        if not isinstance(found, dict):
            raise FilesUnreachable
        site = f"https://{settings.HOSTEL_CONFIG.authority(settings.HOSTEL_CONFIG.panel_host)}"
        base = f"{site}/api/v0/user/{username}/files/path{_quoted(directory).rstrip('/')}"
        return {
            agent.printable(name): {
                "type": kind if isinstance(kind, str) and kind in _KINDS else "file",
                "url": f"{base}/{_quoted(str(name))}",
            }
            for name, kind in found.items()
        }


class FileTree(OwnersView):
    scopes = (Scope.FILES, Scope.FILES)

    @schema.list_tree
    def get(self, request: Request, username: str) -> Response:
        path = request.query_params.get("path", "")
        if not path:
            raise exceptions.ParseError("You must provide the parameter 'path'.")
        return Response(homes.list_tree(username, _absolute(path)))


def _absolute(path: str) -> str:
    return "/" + path.strip("/")


def _quoted(path: str) -> str:
    try:
        return quote(path, errors="surrogateescape")
    except UnicodeEncodeError as error:  # no name of a file: not even one that is not UTF-8
        raise FilesUnreachable from error


def _refused(status: int, message: str, code: str) -> Response:
    """The shape that clients of the compared API know for a deletion."""
    return Response({"message": message, "code": code}, status=status, headers={CODE_HEADER: code})


def _chunks(content: "UploadedFile[Any]") -> Iterator[bytes]:
    yield from content.chunks(_PIECE)
