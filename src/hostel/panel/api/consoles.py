"""The consoles endpoints (v0). A console runs as soon as it is made: no browser is needed."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel import agent
from hostel.panel.api import schema_consoles as schema
from hostel.panel.api.errors import refused_as
from hostel.panel.api.shapes_console import ConsoleCreation, ConsoleInput
from hostel.panel.api.views import OwnersView
from hostel.panel.consoles.use import end_console, give_input, open_console
from hostel.wire.console import ConsoleRefused, ConsoleReport, ConsoleRequest

_OUTPUT_BYTES = 1 << 16


class ConsolesView(OwnersView):
    """For the full token alone: in a console it stands in the environment."""

    scopes = None


class Consoles(ConsolesView):
    @schema.list_consoles
    def get(self, request: Request, username: str) -> Response:
        return Response([_shown(username, console) for console in agent.list_consoles(username).consoles])

    @schema.create_console
    def post(self, request: Request, username: str) -> Response:
        wanted = {key: value or "" for key, value in self.sent(ConsoleCreation).items()}
        with refused_as("non_field_errors", ConsoleRefused):
            console = open_console(self.owner, ConsoleRequest(**wanted))
        return Response(_shown(username, console), status=201)


class SharedConsoles(ConsolesView):
    @schema.list_shared_consoles
    def get(self, request: Request, username: str) -> Response:
        return Response([])


class Console(ConsolesView):
    @schema.get_console
    def get(self, request: Request, username: str, number: int) -> Response:
        return Response(_shown(username, agent.get_console(username, number)))

    @schema.delete_console
    def delete(self, request: Request, username: str, number: int) -> Response:
        end_console(self.owner, number)
        return Response(status=204)


class ConsoleOutput(ConsolesView):
    @schema.read_console_output
    def get(self, request: Request, username: str, number: int) -> Response:
        shown = agent.read_console(username, number)[-_OUTPUT_BYTES:]
        return Response({"output": shown.decode(errors="replace")})


class ConsoleInputs(ConsolesView):
    @schema.send_console_input
    def post(self, request: Request, username: str, number: int) -> Response:
        give_input(self.owner, number, self.sent(ConsoleInput)["input"])
        return Response({"status": "OK"})


def _shown(username: str, console: ConsoleReport) -> dict[str, Any]:
    """No key more, no key less: clients take it apart strictly."""
    address = f"/user/{username}/consoles/{console.id}/"
    return {
        "id": console.id,
        "user": username,
        "executable": console.wanted.executable,
        "arguments": console.wanted.arguments,
        "working_directory": console.wanted.working_directory or None,
        "name": console.name,
        "console_url": address,
        "console_frame_url": f"{address}frame/",
    }
