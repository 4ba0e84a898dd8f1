"""An OpenAPI document that says what really happens: our error format, who needs a token, what a stream carries."""

from collections.abc import Callable
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from voicehelper.gateway.middleware.authentication import OPEN
from voicehelper.wire.common import ErrorBody
from voicehelper.wire.conversations import EVENTS

_SCHEMAS = "#/components/schemas/"
_SSE = "text/event-stream"

SSE_RESPONSE: dict[str, Any] = {
    "description": "The whole answer as JSON, or its events: `id` counts from 1, comments keep the line alive.",
    "content": {_SSE: {"schema": {"$ref": _SCHEMAS + "AnswerEvent"}}},
}
_ERROR = {
    "description": "An error; `code` is the HTTP status x 100 + n",
    "content": {"application/json": {"schema": {"$ref": _SCHEMAS + "ErrorBody"}}},
}


def document_api(app: FastAPI) -> None:
    """Replace the application's generated document by the corrected one."""
    generate: Callable[[], dict[str, Any]] = app.openapi

    def corrected() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _correct(generate())
        return app.openapi_schema

    app.openapi = corrected  # type: ignore[method-assign]  # FastAPI's documented way


def _correct(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _correct_operation(path, operation)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    models: list[tuple[type[BaseModel], Literal["serialization"]]] = [(ErrorBody, "serialization")]
    models += [(model, "serialization") for model in EVENTS.values()]
    _, definitions = models_json_schema(models, ref_template=_SCHEMAS + "{model}")
    for name, schema in definitions["$defs"].items():
        schemas.setdefault(name, schema)
    schemas["AnswerEvent"] = _event_schema()
    return document


def _correct_operation(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    responses["4XX"] = responses["5XX"] = _ERROR
    if path in OPEN:
        operation["security"] = []


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
                    "data": {"$ref": _SCHEMAS + model.__name__},
                },
            }
            for name, model in EVENTS.items()
        ],
    }
