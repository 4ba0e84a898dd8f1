"""The one place where errors become responses."""

import math
from typing import Any

from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import Message

from voicehelper.context import RequestContext, current_context
from voicehelper.errors import (
    BudgetExceeded,
    InvalidId,
    InvalidInput,
    MalformedBody,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    UnsupportedType,
    VoiceHelperError,
)
from voicehelper.gateway.catalogue import text_of
from voicehelper.gateway.openai_errors import openai_body, openai_status, speaks_openai
from voicehelper.telemetry import get_logger
from voicehelper.wire.common import ErrorBody

log = get_logger(__name__)

_BY_STATUS: dict[int, type[VoiceHelperError]] = {
    400: MalformedBody,
    404: NotFound,
    405: MethodNotAllowed,
    413: PayloadTooLarge,
    415: UnsupportedType,
}
_MOST_FIELDS = 20
_LONGEST_REASON = 123  # bytes, RFC 6455


def as_error(failure: BaseException) -> VoiceHelperError:
    """What a client may know of `failure`. Anything not meant for clients is logged, and becomes a bare 500."""
    known = _known(failure)
    if known is not None:
        return known
    if isinstance(failure, RequestValidationError | WebSocketRequestValidationError):
        return _from_validation(failure)
    if isinstance(failure, HTTPException):
        return _from_status(failure)
    log.error("request.crashed", error=type(failure).__name__, exc_info=failure)
    return VoiceHelperError()


def error_body(error: VoiceHelperError, context: RequestContext) -> ErrorBody:
    """The body of every error, in the language of the request."""
    details = dict(error.details)
    if error.message != error.default_message:
        details.setdefault("reason", error.message)  # the specific words survive translation
    if error.retry_after is not None:
        details.setdefault("retry_after", error.retry_after)
    return ErrorBody(
        code=error.code, message=text_of(error, context.locale), details=details, trace_id=context.trace_id
    )


def error_response(failure: BaseException, path: str = "") -> Response:
    """The response for `failure` of the route `path`, in the current context."""
    error = as_error(failure)
    body = error_body(error, current_context())
    if speaks_openai(path):
        return JSONResponse(openai_body(body), openai_status(error.code), headers=_headers(error, failure))
    return JSONResponse(body.model_dump(mode="json"), error.status, headers=_headers(error, failure))


def close_frame(failure: BaseException) -> Message:
    """What ends a WebSocket: code 4000 + HTTP status, and as its reason the error's code and words."""
    error = as_error(failure)
    reason = f"{error.code} {text_of(error, current_context().locale)}".encode()[:_LONGEST_REASON]
    return {"type": "websocket.close", "code": 4000 + error.status, "reason": reason.decode(errors="ignore")}


async def handle(connection: HTTPConnection, failure: Exception) -> Response:
    """Starlette's shape of `error_response`. Of a socket, `Boundary` renders the failure."""
    if connection.scope["type"] == "websocket":
        raise failure
    return error_response(failure, connection.scope["path"])


def _headers(error: VoiceHelperError, failure: BaseException) -> dict[str, str]:
    headers: dict[str, str] = {}
    if isinstance(failure, HTTPException) and failure.headers:
        headers.update(failure.headers)  # Allow of a 405
    if error.status in {429, 503} or error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after or 1)))
    if isinstance(error, BudgetExceeded):
        headers["X-Should-Retry"] = "false"  # OpenAI's clients try again at any other 429
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def _known(failure: BaseException) -> VoiceHelperError | None:
    """A `VoiceHelperError`: `failure` itself, or what a remote call (`cause`) or body reader (`__cause__`) wrapped."""
    for candidate in (getattr(failure, "cause", None), failure, failure.__cause__):
        if isinstance(candidate, VoiceHelperError) and hasattr(candidate, "details"):
            return candidate
    return None


def _from_status(failure: HTTPException) -> VoiceHelperError:
    if failure.status_code >= 500:
        return VoiceHelperError()
    return _BY_STATUS.get(failure.status_code, InvalidInput)()


def _from_validation(failure: RequestValidationError | WebSocketRequestValidationError) -> VoiceHelperError:
    """Values the client sent are not echoed: they may be secrets, and may not even be encodable."""
    errors: list[Any] = list(failure.errors())
    fields = [
        {"field": ".".join(_printable(part) for part in error["loc"]), "problem": _printable(error["msg"])}
        for error in errors[:_MOST_FIELDS]
    ]
    if any(error["type"] == "json_invalid" for error in errors):
        return MalformedBody(details={"fields": fields})
    if errors and all(error["loc"][:1] == ("path",) for error in errors):
        return InvalidId(details={"fields": fields})
    return InvalidInput(details={"fields": fields})


def _printable(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode()[:200]
