"""What the OpenAPI description says beyond the code: examples, errors, words. Read by people, so written for them.

What all operations share; those of each noun are in schema_<noun>.py.
"""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from hostel.panel.api import shapes_error as shapes

USERNAME = OpenApiParameter("username", str, OpenApiParameter.PATH, description="Your own user name.")
DOMAIN = OpenApiParameter(
    "domain_name", str, OpenApiParameter.PATH, description="The website's domain, in any letter case."
)
RESERVED = "Only with your account's full token: a named one is refused. "
NO_TROUBLE: dict[str, Any] = {"reason": None, "detail": "", "stderr": []}


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
