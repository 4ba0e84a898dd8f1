"""Errors under `/v1`: OpenAI's `error` object beside our own fields, so that either kind of client finds its own."""

from typing import Any, Final

from voicehelper import errors
from voicehelper.wire.common import ErrorBody

PREFIX: Final = "/v1/"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES: Final[dict[int, str]] = {
    errors.ContextTooLong.code: "context_length_exceeded",
    errors.ContentFiltered.code: "content_filter",
    errors.UnknownModel.code: "model_not_found",
    errors.Unauthenticated.code: "invalid_api_key",
    errors.RateLimited.code: "rate_limit_exceeded",
    errors.TokensLimited.code: "rate_limit_exceeded",
    errors.BudgetExceeded.code: "insufficient_quota",
}
_STATUSES: Final = {errors.ContentFiltered.code: 400}
_BODY = "body."


def speaks_openai(path: str) -> bool:
    """Whether clients of this route expect OpenAI's errors."""
    return path.startswith(PREFIX)


def openai_body(body: ErrorBody) -> dict[str, Any]:
    """The body of an error: `error.code` is OpenAI's word for it; ours, as text, where it has none."""
    error = {
        "message": _words(body),
        "type": _type(body.code),
        "param": _param(body.details),
        "code": openai_code(body.code),
    }
    return {"error": error, **body.model_dump(mode="json")}


def openai_code(code: int) -> str:
    """OpenAI's word for an error of ours; its number as text where there is none."""
    return _CODES.get(code) or ("server_error" if code >= 50000 else str(code))


def openai_status(code: int) -> int:
    """The status with which OpenAI answers: its clients know content filters by 400."""
    return _STATUSES.get(code, code // 100)


def openai_type(status: int) -> str:
    """OpenAI's word for a kind of error."""
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def _type(code: int) -> str:
    return "insufficient_quota" if code == errors.BudgetExceeded.code else openai_type(code // 100)


def _param(details: dict[str, Any]) -> Any:
    """The field that is wrong, the first of several."""
    fields = details.get("fields")
    if "param" in details or not fields:
        return details.get("param")
    name: str = fields[0]["field"]
    return name.removeprefix(_BODY) if name.startswith(_BODY) else None


def _words(body: ErrorBody) -> str:
    reason, fields = body.details.get("reason"), body.details.get("fields")
    if reason or not fields:
        return f"{body.message} ({reason})" if reason else body.message
    return f"{body.message} ({fields[0]['field'].removeprefix(_BODY)}: {fields[0]['problem']})"
