"""What the OpenAPI description says of files and logs beyond the code. As schema.py."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.serializers import CharField, ListSerializer

from hostel.panel.api import shapes_file as shapes
from hostel.panel.api.schema import DOMAIN, NOT_FOUND, REFUSALS, USERNAME, error, invalid

read_log = extend_schema(
    operation_id="logs_read",
    summary="Read the end of a log, or follow it",
    description="With `follow=true` an event stream: each line is an event whose `data` is a JSON string; the last one "
    "of several has an `id`. Sent back as `Last-Event-ID` it goes on from there, also over one rotation of the log.",
    tags=["logs"],
    parameters=[
        USERNAME,
        DOMAIN,
        OpenApiParameter("kind", str, OpenApiParameter.PATH, enum=["access", "error", "server"]),
        OpenApiParameter("tail", int, OpenApiParameter.QUERY, description="How many lines, up to 5,000. Default 100."),
        OpenApiParameter("follow", bool, OpenApiParameter.QUERY, description="Stay, and get what comes."),
    ],
    responses={
        (200, "application/json"): OpenApiResponse(
            shapes.LogShown,
            examples=[OpenApiExample("Two lines", value={"lines": ["one", "two"], "position": "3411:8"})],
        ),
        (200, "text/event-stream"): OpenApiResponse(shapes.LogEvent, description="One event"),
        **invalid({"tail": ["Give a whole number from 0 to 5,000."]}),
        **REFUSALS,
        **NOT_FOUND,
    },
)

_PATH = OpenApiParameter("path", str, OpenApiParameter.PATH, description="Absolute, in your home or in `/var/log`.")
_NO_FILE = {404: error("There is no such file or directory", "No such file or directory: /home/xanthippe/x")}
_LISTING = {
    "app.py": {
        "type": "file",
        "url": "https://www.example.com/api/v0/user/xanthippe/files/path/home/xanthippe/app.py",
    }
}

read_file = extend_schema(
    operation_id="files_read",
    summary="Read a file, or list a directory",
    description="A directory is JSON: names, with `type` (`file`, `directory`, `symlink`) and `url`. A file is always "
    "`application/octet-stream`, whatever its name.",
    tags=["files"],
    parameters=[USERNAME, _PATH],
    responses={
        (200, "application/json"): OpenApiResponse(
            OpenApiTypes.OBJECT, examples=[OpenApiExample("A directory", value=_LISTING)]
        ),
        (200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, description="A file's bytes"),
        **REFUSALS,
        **_NO_FILE,
    },
)

write_file = extend_schema(
    operation_id="files_write",
    summary="Write a file",
    description="Whole or not at all; missing directories are made. At most 100 MiB.",
    tags=["files"],
    parameters=[USERNAME, _PATH],
    request={"multipart/form-data": shapes.FileSent},
    responses={
        200: OpenApiResponse(description="Replaced"),
        201: OpenApiResponse(description="Created"),
        400: error("No file was sent", "You must provide a file with the name 'content'."),
        **REFUSALS,
        **_NO_FILE,
        507: error("The disk is full; the file was not written", "The disk is full: the file was not written."),
    },
)

delete_file = extend_schema(
    operation_id="files_delete",
    summary="Delete a file, or a directory with all that is in it",
    tags=["files"],
    parameters=[USERNAME, _PATH],
    responses={
        204: OpenApiResponse(description="Deleted"),
        **REFUSALS,
        403: OpenApiResponse(shapes.DeletionRefused, description="Not your account, or not yours to delete"),
        404: OpenApiResponse(shapes.DeletionRefused, description="There is no such file or directory"),
    },
)

list_tree = extend_schema(
    operation_id="files_tree",
    summary="List a directory and all that is below it",
    description="At most 1,000 paths, those nearest to the directory; directories end in `/`. No dot files, no links.",
    tags=["files"],
    parameters=[USERNAME, OpenApiParameter("path", str, OpenApiParameter.QUERY, required=True)],
    responses={
        200: OpenApiResponse(
            ListSerializer(child=CharField()),
            examples=[OpenApiExample("A home", value="/home/xanthippe/site/")],
        ),
        400: error("Not a directory", "/home/xanthippe/app.py is not a directory"),
        **REFUSALS,
        **_NO_FILE,
    },
)
