"""What the OpenAPI description says of what the edge does for a website by itself: static files."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from hostel.panel.api import shapes_edge as shapes
from hostel.panel.api.schema import DOMAIN, NOT_FOUND, NOT_STORED, REFUSALS, USERNAME, invalid

_ID = OpenApiParameter("mapping_id", int, OpenApiParameter.PATH, description="The mapping's number.")
_MAPPING = {"id": 3, "url": "/static/", "path": "/home/xanthippe/site/static"}
_SHOWN_MAPPING = OpenApiResponse(shapes.MappingShown, examples=[OpenApiExample("A directory", value=_MAPPING)])
_WRONG_MAPPING = invalid({"path": ["A path lies in your home: /home/xanthippe/static, for example."]})
_OF_STATIC_FILES: dict[str, Any] = {"tags": ["static files"], "parameters": [USERNAME, DOMAIN]}
_OF_MAPPING: dict[str, Any] = {"tags": ["static files"], "parameters": [USERNAME, DOMAIN, _ID]}

list_mappings = extend_schema(
    operation_id="static_files_list",
    summary="List the static mappings of a website, in their order",
    responses={200: shapes.MappingShown(many=True), **REFUSALS, **NOT_FOUND},
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
    responses={200: _SHOWN_MAPPING, **_WRONG_MAPPING, **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_OF_MAPPING,
)

patch_mapping = extend_schema(
    operation_id="static_files_patch",
    summary="Change one side of a static mapping",
    request=shapes.MappingChange,
    responses={200: _SHOWN_MAPPING, **_WRONG_MAPPING, **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_OF_MAPPING,
)

delete_mapping = extend_schema(
    operation_id="static_files_delete",
    summary="Remove a static mapping",
    responses={204: OpenApiResponse(description="Removed"), **REFUSALS, **NOT_FOUND, **NOT_STORED},
    **_OF_MAPPING,
)
