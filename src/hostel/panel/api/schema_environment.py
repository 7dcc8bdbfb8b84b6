"""What the OpenAPI description says of environment variables beyond the code. As schema.py."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from hostel.panel.api import shapes_environment as shapes
from hostel.panel.api.schema import DOMAIN, NOT_FOUND, NOT_STORED, REFUSALS, USERNAME, invalid

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
