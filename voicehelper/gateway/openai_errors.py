"""Errors under `/v1`: OpenAI's `error` object beside our own fields, so that either kind of client finds its own."""

from typing import Any

from voicehelper.wire.common import ErrorBody

PREFIX = "/v1/"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def speaks_openai(path: str) -> bool:
    """Whether clients of this route expect OpenAI's errors."""
    return path.startswith(PREFIX)


def openai_body(body: ErrorBody) -> dict[str, Any]:
    """The body of an error: `error.code` is ours, as text."""
    error = {
        "message": _words(body),
        "type": openai_type(body.code // 100),
        "param": body.details.get("param"),
        "code": str(body.code),
    }
    return {"error": error, **body.model_dump(mode="json")}


def openai_type(status: int) -> str:
    """OpenAI's word for a kind of error."""
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def _words(body: ErrorBody) -> str:
    reason = body.details.get("reason")
    return f"{body.message} ({reason})" if reason else body.message
