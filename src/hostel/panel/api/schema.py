"""What the OpenAPI description says beyond the code: examples, errors, words. Read by people, so written for them."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.serializers import CharField, ListSerializer

from hostel.panel.api import serializers as shapes

USERNAME = OpenApiParameter("username", str, OpenApiParameter.PATH, description="Your own user name.")
DOMAIN = OpenApiParameter(
    "domain_name", str, OpenApiParameter.PATH, description="The website's domain, in any letter case."
)

_COMMAND = "/home/xanthippe/.virtualenvs/v/bin/uvicorn --uds $DOMAIN_SOCKET asyncdjango.asgi:application"
NO_TROUBLE: dict[str, Any] = {"reason": None, "detail": "", "stderr": []}
_RUNNING: dict[str, Any] = {
    "id": 42,
    "user": "xanthippe",
    "domain_name": "xanthippe.example.com",
    "enabled": True,
    "webapp": {
        "id": 42,
        "command": _COMMAND,
        "domains": [{"domain_name": "xanthippe.example.com", "enabled": True}],
        "working_directory": "/home/xanthippe/site",
        "listens_on": "socket",
        "reload_strategy": "overlap",
        "start_deadline_s": 60.0,
        "drain_s": 30.0,
        "websocket_drain_s": 30.0,
        "grace_s": 10.0,
        "ws_spread_s": 10.0,
        "read_timeout_s": 300,
        "websocket_timeout_s": 3600,
        "buffer_requests": True,
        "buffer_responses": False,
        "max_body_mb": 100,
        "memory_mb": 512,
        "pids": 256,
        "cpu": 1.0,
        "always_on": False,
        "expose_token": False,
        "force_https": False,
        "hsts_s": 0,
        "monitors_wake": False,
        "sleep": "off",
        "sleep_after_s": 900,
        "state": "running",
        **NO_TROUBLE,
        "deploy": {"revision": 7, "phase": "done", **NO_TROUBLE},
    },
    "logfiles": {
        "access": "/var/log/xanthippe.example.com.access.log",
        "error": "/var/log/xanthippe.example.com.error.log",
        "server": "/var/log/xanthippe.example.com.server.log",
    },
}
_TROUBLE: dict[str, Any] = {
    "reason": "exited",
    "detail": "The command ended with exit code 1 before it listened on $DOMAIN_SOCKET.",
    "stderr": ["ModuleNotFoundError: No module named 'asyncdjango'"],
}
_FAILED: dict[str, Any] = {
    **_RUNNING,
    "webapp": {
        **_RUNNING["webapp"],
        "state": "failed",
        **_TROUBLE,
        "deploy": {"revision": 7, "phase": "failed", **_TROUBLE},
    },
}


def error(description: str, detail: str) -> OpenApiResponse:
    example = OpenApiExample(description, value={"detail": detail})
    return OpenApiResponse(shapes.ErrorShown, description=description, examples=[example])


REFUSALS: dict[int, OpenApiResponse] = {
    401: error("No valid token", "Invalid token."),
    403: error("Not your account, or not HTTPS", "You do not have permission to perform this action."),
    429: error("Too many calls", "Request was throttled. Expected available in 3 seconds."),
}
NOT_STORED: dict[int, OpenApiResponse] = {
    503: error("The database is busy; nothing was changed", "The database is busy. Nothing was changed."),
    507: error("The disk is full; nothing was changed", "The disk is full, so nothing was changed."),
}
NOT_FOUND = {404: error("You have no such website", "Not found.")}


def invalid(example: dict[str, Any]) -> dict[int, OpenApiResponse]:
    named = OpenApiExample("Refused value", value=example)
    return {400: OpenApiResponse(shapes.FieldErrors, description="Refused values", examples=[named])}


_TAKEN = invalid({"domain_name": ["domain with this domain name already exists."]})
_EMPTY = invalid({"webapp": {"command": ["The command must not be empty."]}})


def _website(description: str, *, with_failed: bool = True) -> OpenApiResponse:
    examples = [OpenApiExample("It runs", value=_RUNNING)]
    if with_failed:
        examples.append(OpenApiExample("The command failed", value=_FAILED))
    return OpenApiResponse(shapes.WebsiteShown, description=description, examples=examples)


list_websites = extend_schema(
    operation_id="websites_list",
    summary="List your websites",
    tags=["websites"],
    parameters=[USERNAME],
    responses={
        200: OpenApiResponse(shapes.WebsiteShown(many=True), examples=[OpenApiExample("One website", value=_RUNNING)]),
        **REFUSALS,
    },
)

create_website = extend_schema(
    operation_id="websites_create",
    summary="Create a website and put it live",
    description="Answers when the website is live, or its command has failed; at the latest after 45 seconds, then "
    "with `state` `starting`. A command that fails is no error of this call: 201, with `state` `failed`, a `reason` "
    "and the last lines of stderr. Unknown keys are ignored.",
    tags=["websites"],
    parameters=[USERNAME],
    request=shapes.WebsiteCreation,
    examples=[
        OpenApiExample(
            "uvicorn",
            value={"domain_name": "xanthippe.example.com", "enabled": True, "webapp": {"command": _COMMAND}},
            request_only=True,
        )
    ],
    responses={201: _website("Created"), **_TAKEN, **REFUSALS, **NOT_STORED},
)

get_website = extend_schema(
    operation_id="websites_retrieve",
    summary="Get one website",
    tags=["websites"],
    parameters=[USERNAME, DOMAIN],
    responses={200: _website("The website"), **REFUSALS, **NOT_FOUND},
)

change_website = extend_schema(
    operation_id="websites_partial_update",
    summary="Enable, disable, give another command or other settings",
    description="A new command starts beside the old one, which serves until the new one accepts; where the new one "
    "fails, the old one goes on serving and `webapp.deploy` says why. Times and limits hold at once, without a new "
    "run. Either all of a change is taken or, with 400, nothing. The whole object may be sent back.",
    tags=["websites"],
    parameters=[USERNAME, DOMAIN],
    request=shapes.WebsiteChange,
    examples=[
        OpenApiExample("Disable", value={"enabled": False}, request_only=True),
        OpenApiExample("Another command", value={"webapp": {"command": _COMMAND}}, request_only=True),
        OpenApiExample("More time for requests", value={"webapp": {"drain_s": 120}}, request_only=True),
    ],
    responses={200: _website("As it is now"), **_EMPTY, **REFUSALS, **NOT_FOUND, **NOT_STORED},
)

delete_website = extend_schema(
    operation_id="websites_destroy",
    summary="Delete a website",
    description="Files in your home stay as they are.",
    tags=["websites"],
    parameters=[USERNAME, DOMAIN],
    responses={204: OpenApiResponse(description="Deleted"), **REFUSALS, **NOT_FOUND, **NOT_STORED},
)

_NAME = OpenApiParameter("name", str, OpenApiParameter.PATH, description="The variable's name.")
_VARIABLE = {"name": "DEBUG", "value": "1", "is_secret": False}
_SECRET = {"name": "SECRET_KEY", "value": None, "is_secret": True}
_SHOWN_VARIABLE = OpenApiResponse(
    shapes.VariableShown,
    examples=[OpenApiExample("Plain", value=_VARIABLE), OpenApiExample("Secret", value=_SECRET)],
)
_WRONG_VARIABLE = invalid({"name": ["HOME is set by the platform; choose another name."]})
_SHOWN_VARIABLES = OpenApiResponse(
    shapes.VariableShown(many=True), examples=[OpenApiExample("One secret variable", value=_SECRET)]
)
_IN_ENVIRONMENT: dict[str, Any] = {"tags": ["environment"], "parameters": [USERNAME, DOMAIN]}
_OF_VARIABLE: dict[str, Any] = {"tags": ["environment"], "parameters": [USERNAME, DOMAIN, _NAME]}

list_environment = extend_schema(
    operation_id="environment_list",
    summary="List the environment variables of a website",
    responses={200: _SHOWN_VARIABLES, **REFUSALS, **NOT_FOUND},
    **_IN_ENVIRONMENT,
)

create_variable = extend_schema(
    operation_id="environment_create",
    summary="Set a variable",
    description="For the next run: what serves goes on with the variables it has until a reload.",
    request=shapes.VariableCreation,
    examples=[OpenApiExample("A secret one", value={**_SECRET, "value": "50 random letters"}, request_only=True)],
    responses={200: _SHOWN_VARIABLE, 201: _SHOWN_VARIABLE, **_WRONG_VARIABLE, **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_IN_ENVIRONMENT,
)

get_variable = extend_schema(
    operation_id="environment_get",
    summary="Show a variable",
    responses={200: _SHOWN_VARIABLE, **REFUSALS, **NOT_FOUND},
    **_OF_VARIABLE,
)

put_variable = extend_schema(
    operation_id="environment_put",
    summary="Set a variable",
    request=shapes.VariableChange,
    examples=[OpenApiExample("A secret", value={"value": "50 random letters", "is_secret": True}, request_only=True)],
    responses={200: _SHOWN_VARIABLE, 201: _SHOWN_VARIABLE, **_WRONG_VARIABLE, **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_OF_VARIABLE,
)

delete_variable = extend_schema(
    operation_id="environment_delete",
    summary="Remove a variable",
    responses={204: OpenApiResponse(description="Removed"), **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_OF_VARIABLE,
)

import_environment = extend_schema(
    operation_id="environment_import",
    summary="Set the variables of a `.env` file",
    description="All of them, or none: a line that cannot be read is named. `$NAME` in a value stays as it is.",
    request=shapes.FileImport,
    examples=[OpenApiExample("A file", value={"content": "SECRET_KEY='50 random letters'\n"}, request_only=True)],
    responses={
        200: _SHOWN_VARIABLES,
        **invalid({"content": ["Line 3 cannot be read: expected NAME=value."]}),
        **REFUSALS,
        **NOT_FOUND,
        **NOT_STORED,
    },
    **_IN_ENVIRONMENT,
)

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

reload_website = extend_schema(
    operation_id="websites_reload",
    summary="Start the command anew, without a gap",
    tags=["websites"],
    parameters=[USERNAME, DOMAIN],
    request=None,
    responses={
        200: OpenApiResponse(
            shapes.ReloadShown,
            description="The new run serves",
            examples=[OpenApiExample("Done", value={"status": "OK"})],
        ),
        202: OpenApiResponse(
            shapes.ReloadShown,
            description="Still starting after 45 seconds",
            examples=[OpenApiExample("Later", value={"status": "starting"})],
        ),
        409: OpenApiResponse(
            shapes.ReloadRefused,
            description="The new run failed and the old one, if any, goes on serving; or the website is disabled",
            examples=[
                OpenApiExample(
                    "Failed",
                    value={
                        "status": "error",
                        "code": "deploy_failed",
                        "error": _TROUBLE["detail"],
                        "reason": _TROUBLE["reason"],
                        "stderr": _TROUBLE["stderr"],
                    },
                )
            ],
        ),
        503: error("The platform's agent does not answer", "The agent does not answer."),
        **REFUSALS,
        **NOT_FOUND,
    },
)
