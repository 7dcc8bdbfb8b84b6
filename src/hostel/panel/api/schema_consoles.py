"""As schema.py, of consoles."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from hostel.panel.api import shapes_console as shapes
from hostel.panel.api.schema import NOT_STORED, REFUSALS, RESERVED, USERNAME, error, invalid

_CONSOLE: dict[str, Any] = {
    "id": 24,
    "user": "xanthippe",
    "executable": "bash",
    "arguments": "",
    "working_directory": None,
    "name": "Bash console 24",
    "console_url": "/user/xanthippe/consoles/24/",
    "console_frame_url": "/user/xanthippe/consoles/24/frame/",
}
_SHOWN = OpenApiResponse(shapes.ConsoleShown, examples=[OpenApiExample("A console", value=_CONSOLE)])
_AWAY = {503: error("The console, or the platform's agent, does not answer", "The console does not answer.")}
_NO_CONSOLE = {404: error("You have no such console; it may have ended", "There is no such console.")}
_NUMBER = OpenApiParameter("number", int, OpenApiParameter.PATH, description="The console's `id`.")
_OF_ALL: dict[str, Any] = {"tags": ["consoles"], "parameters": [USERNAME]}
_OF_ONE: dict[str, Any] = {"tags": ["consoles"], "parameters": [USERNAME, _NUMBER]}

list_consoles = extend_schema(
    operation_id="consoles_list",
    summary="List your consoles",
    description=RESERVED + "A console that has ended is in no list.",
    responses={
        200: OpenApiResponse(shapes.ConsoleShown(many=True), examples=[OpenApiExample("One console", value=_CONSOLE)]),
        **REFUSALS,
        **_AWAY,
    },
    **_OF_ALL,
)

list_shared_consoles = extend_schema(
    operation_id="consoles_shared",
    summary="List consoles that others share with you: none, here nobody can",
    description=RESERVED,
    responses={
        200: OpenApiResponse(shapes.ConsoleShown(many=True), examples=[OpenApiExample("One console", value=_CONSOLE)]),
        **REFUSALS,
    },
    **_OF_ALL,
)

create_console = extend_schema(
    operation_id="consoles_create",
    summary="Open a console",
    description=RESERVED + "It runs at once, whether a browser shows it or not, and until its command ends: through "
    "closed tabs and restarts of the platform's own parts. What it showed last can be read for a minute after that.",
    request=shapes.ConsoleCreation,
    examples=[
        OpenApiExample("A shell", value={"executable": "bash"}, request_only=True),
        OpenApiExample(
            "Python in a virtualenv",
            value={"executable": "python", "working_directory": "/home/xanthippe/site", "virtualenv": "site"},
            request_only=True,
        ),
    ],
    responses={
        201: _SHOWN,
        **invalid({"non_field_errors": ["executable: expected bash, python, python3.11, ..."]}),
        **REFUSALS,
        429: error("As many consoles as you may have are open, or too many calls", "You may have 10 consoles open."),
        **NOT_STORED,
    },
    **_OF_ALL,
)

get_console = extend_schema(
    operation_id="consoles_get",
    summary="Show a console",
    description=RESERVED,
    responses={200: _SHOWN, **REFUSALS, **_NO_CONSOLE, **_AWAY},
    **_OF_ONE,
)

delete_console = extend_schema(
    operation_id="consoles_delete",
    summary="End a console, and all that runs in it",
    description=RESERVED,
    responses={204: OpenApiResponse(description="Ended"), **REFUSALS, **_NO_CONSOLE, **NOT_STORED},
    **_OF_ONE,
)

read_console_output = extend_schema(
    operation_id="consoles_output",
    summary="Read what a console has shown last",
    description=RESERVED,
    responses={
        200: OpenApiResponse(
            shapes.OutputShown,
            examples=[OpenApiExample("A prompt", value={"output": "\u001b[0;0m19:34 ~\u001b[0;33m $ "})],
        ),
        **REFUSALS,
        **_NO_CONSOLE,
        **_AWAY,
    },
    **_OF_ONE,
)

send_console_input = extend_schema(
    operation_id="consoles_input",
    summary="Type into a console",
    description=RESERVED,
    request=shapes.ConsoleInput,
    examples=[OpenApiExample("A command", value={"input": "ls\n"}, request_only=True)],
    responses={
        200: OpenApiResponse(shapes.InputAccepted, examples=[OpenApiExample("Typed", value={"status": "OK"})]),
        **invalid({"input": ["This field is required."]}),
        **REFUSALS,
        **_NO_CONSOLE,
        **NOT_STORED,
    },
    **_OF_ONE,
)
