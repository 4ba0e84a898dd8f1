"""An OpenAPI document that says what really happens: our error format, who needs a token, what a stream carries."""

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from voicehelper.gateway.deprecations import DEPRECATIONS
from voicehelper.gateway.dispatch import FlatRoute
from voicehelper.gateway.middleware.authentication import OPEN
from voicehelper.gateway.middleware.idempotency import takes_key
from voicehelper.gateway.openai.routes import BODIES
from voicehelper.gateway.params import permission_of
from voicehelper.wire.common import ErrorBody
from voicehelper.wire.conversations import EVENTS

_SCHEMAS = "#/components/schemas/"
_SSE = "text/event-stream"

_BEARER = {"type": "http", "scheme": "bearer", "description": "An access token (RS256 JWT) or an API key"}
SSE_RESPONSE: dict[str, Any] = {
    "description": "The whole answer as JSON, or its events: `id` counts from 1, comments keep the line alive.",
    "content": {_SSE: {"schema": {"$ref": _SCHEMAS + "AnswerEvent"}}},
}
EVENTS_RESPONSE: dict[str, Any] = {
    "description": "The events; `id` as in the first stream, comments keep the line alive.",
    "content": {_SSE: {"schema": {"$ref": _SCHEMAS + "AnswerEvent"}}},
}
_ERROR = {
    "description": "An error; `code` is the HTTP status x 100 + n",
    "content": {"application/json": {"schema": {"$ref": _SCHEMAS + "ErrorBody"}}},
}

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the write happen once, however often it is sent in a day: a repetition is answered with the"
    " first response and `Idempotent-Replayed: true`. Another request under the same key is refused (42202), a"
    " repetition while the first one is running too (40904).",
    "schema": {"type": "string", "pattern": "^[!-~]([ -~]*[!-~])?$", "maxLength": 255},
}


def document_api(app: FastAPI, routes: Sequence[FlatRoute]) -> None:
    """Let the application's document be that of `routes`, corrected."""

    def corrected() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=routes)
            app.openapi_schema = _correct(document, _permissions(routes))
        return app.openapi_schema

    app.openapi = corrected  # type: ignore[method-assign]  # FastAPI's documented way


def _permissions(routes: Sequence[FlatRoute]) -> dict[tuple[str, str], str]:
    """Permission by path and (lower-case) method."""
    return {
        (route.path_format, method.lower()): permission
        for route in routes
        if isinstance(route, APIRoute) and (permission := permission_of(route))
        for method in route.methods or ()
    }


def _correct(document: dict[str, Any], permissions: dict[tuple[str, str], str]) -> dict[str, Any]:
    schemas = document["components"].setdefault("schemas", {})
    document["components"]["securitySchemes"] = {"bearer": _BEARER}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _correct_operation(operation, None if path in OPEN else permissions.get((path, method), ""))
            if takes_key(method.upper(), path):
                operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
    for old in DEPRECATIONS:
        document["paths"][old.path][old.method.lower()]["deprecated"] = True
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    models: list[tuple[type[BaseModel], Literal["serialization", "validation"]]] = [(ErrorBody, "serialization")]
    models += [(model, "serialization") for model in EVENTS.values()]
    models += [(model, "validation") for model in BODIES]
    _, definitions = models_json_schema(models, ref_template=_SCHEMAS + "{model}")
    for name, schema in definitions["$defs"].items():
        schemas.setdefault(name, schema)
    schemas["AnswerEvent"] = _event_schema()
    return document


def _correct_operation(operation: dict[str, Any], permission: str | None) -> None:
    """`permission` is None for open routes."""
    responses = operation["responses"]
    responses.pop("422", None)
    responses["4XX"] = responses["5XX"] = _ERROR
    operation["security"] = [] if permission is None else [{"bearer": []}]
    if permission:
        operation["x-permission"] = permission


def _event_schema() -> dict[str, Any]:
    return {
        "description": "One server-sent event: `event` names the type of `data`.",
        "oneOf": [
            {
                "type": "object",
                "required": ["id", "event", "data"],
                "properties": {
                    "id": {"type": "string"},
                    "event": {"const": name},
                    "data": {  # a line of text that holds JSON, as OpenAPI 3.2 describes such streams
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": {"$ref": _SCHEMAS + model.__name__},
                    },
                },
            }
            for name, model in EVENTS.items()
        ],
    }
