"""What the OpenAPI description says of what the edge does for a website by itself: static files, passwords."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from hostel.panel.api import shapes_edge as shapes
from hostel.panel.api.schema import DOMAIN, NOT_FOUND, NOT_STORED, REFUSALS, USERNAME, invalid

_ID = OpenApiParameter("mapping_id", int, OpenApiParameter.PATH, description="The mapping's number.")
_MAPPING = {"id": 3, "url": "/static/", "path": "/home/xanthippe/site/static"}
_SHOWN_MAPPING = OpenApiResponse(shapes.MappingShown, examples=[OpenApiExample("A directory", value=_MAPPING)])
_SHOWN_MAPPINGS = OpenApiResponse(
    shapes.MappingShown(many=True), examples=[OpenApiExample("One directory", value=_MAPPING)]
)
_WRONG_MAPPING = invalid({"path": ["A path lies in your home: /home/xanthippe/site, for example."]})
_OF_STATIC_FILES: dict[str, Any] = {"tags": ["static files"], "parameters": [USERNAME, DOMAIN]}
_OF_MAPPING: dict[str, Any] = {"tags": ["static files"], "parameters": [USERNAME, DOMAIN, _ID]}

list_mappings = extend_schema(
    operation_id="static_files_list",
    summary="List the static mappings of a website, in their order",
    responses={200: _SHOWN_MAPPINGS, **REFUSALS, **NOT_FOUND},
    **_OF_STATIC_FILES,
)

create_mapping = extend_schema(
    operation_id="static_files_create",
    summary="Answer addresses with files",
    description="Of several mappings that fit an address the first one counts; where it has no file: 404. "
    "In force at once, without a reload.",
    request=shapes.MappingRequest,
    examples=[
        OpenApiExample(
            "A directory", value={"url": "/static/", "path": "/home/xanthippe/site/static"}, request_only=True
        ),
        OpenApiExample(
            "A file", value={"url": "/robots.txt", "path": "/home/xanthippe/site/robots.txt"}, request_only=True
        ),
    ],
    responses={201: _SHOWN_MAPPING, **_WRONG_MAPPING, **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_OF_STATIC_FILES,
)

get_mapping = extend_schema(
    operation_id="static_files_get",
    summary="Show a static mapping",
    responses={200: _SHOWN_MAPPING, **REFUSALS, **NOT_FOUND},
    **_OF_MAPPING,
)

put_mapping = extend_schema(
    operation_id="static_files_put",
    summary="Replace a static mapping; its place in the order stays",
    request=shapes.MappingRequest,
    examples=[OpenApiExample("A directory", value={"url": "/s/", "path": "/home/xanthippe/s"}, request_only=True)],
    responses={200: _SHOWN_MAPPING, **_WRONG_MAPPING, **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_OF_MAPPING,
)

patch_mapping = extend_schema(
    operation_id="static_files_patch",
    summary="Change one side of a static mapping",
    request=shapes.MappingChange,
    examples=[OpenApiExample("Another address", value={"url": "/assets/"}, request_only=True)],
    responses={200: _SHOWN_MAPPING, **_WRONG_MAPPING, **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_OF_MAPPING,
)

delete_mapping = extend_schema(
    operation_id="static_files_delete",
    summary="Remove a static mapping",
    responses={204: OpenApiResponse(description="Removed"), **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_OF_MAPPING,
)

_USER = OpenApiParameter("name", str, OpenApiParameter.PATH, description="The visitor's user name.")
_HTTP_USER = {"username": "guest"}
_SHOWN_USER = OpenApiResponse(shapes.HttpUserShown, examples=[OpenApiExample("A user", value=_HTTP_USER)])
_SHOWN_USERS = OpenApiResponse(shapes.HttpUserShown(many=True), examples=[OpenApiExample("One", value=_HTTP_USER)])
_WRONG_USER = invalid({"username": ["A user name has 1 to 64 bytes, no colon and no slash."]})
_OF_USERS: dict[str, Any] = {"tags": ["password"], "parameters": [USERNAME, DOMAIN]}
_OF_USER: dict[str, Any] = {"tags": ["password"], "parameters": [USERNAME, DOMAIN, _USER]}

list_http_users = extend_schema(
    operation_id="http_users_list",
    summary="List who has a password for a website; nobody: it asks for none",
    responses={200: _SHOWN_USERS, **REFUSALS, **NOT_FOUND},
    **_OF_USERS,
)

create_http_user = extend_schema(
    operation_id="http_users_create",
    summary="Give a visitor a name and a password",
    description="From the first one on, the website asks all visitors for one, at once and without a reload.",
    request=shapes.HttpUserCreation,
    examples=[OpenApiExample("A user", value={"username": "guest", "password": "correct horse"}, request_only=True)],
    responses={200: _SHOWN_USER, 201: _SHOWN_USER, **_WRONG_USER, **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_OF_USERS,
)

get_http_user = extend_schema(
    operation_id="http_users_get",
    summary="Show a user",
    responses={200: _SHOWN_USER, **REFUSALS, **NOT_FOUND},
    **_OF_USER,
)

put_http_user = extend_schema(
    operation_id="http_users_put",
    summary="Give a user another password",
    request=shapes.HttpUserChange,
    examples=[OpenApiExample("Another password", value={"password": "correct horse"}, request_only=True)],
    responses={200: _SHOWN_USER, 201: _SHOWN_USER, **_WRONG_USER, **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_OF_USER,
)

delete_http_user = extend_schema(
    operation_id="http_users_delete",
    summary="Remove a user; with the last one, the website asks for no password",
    responses={204: OpenApiResponse(description="Removed"), **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_OF_USER,
)
