"""What the OpenAPI description says of websites beyond the code. As schema.py."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema

from hostel.panel.api import shapes_website as shapes
from hostel.panel.api.schema import DOMAIN, NO_TROUBLE, NOT_FOUND, NOT_STORED, REFUSALS, USERNAME, error, invalid

_COMMAND = "/home/xanthippe/.virtualenvs/v/bin/uvicorn --uds $DOMAIN_SOCKET asyncdjango.asgi:application"
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

_TAKEN = invalid({"domain_name": ["domain with this domain name already exists."]})
_EMPTY = invalid({"webapp": {"command": ["The command must not be empty."]}})


def _website(description: str) -> OpenApiResponse:
    examples = [OpenApiExample("It runs", value=_RUNNING), OpenApiExample("The command failed", value=_FAILED)]
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
