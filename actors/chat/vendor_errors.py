"""What an OpenAI-compatible server can do wrong, as our errors.

The server's own words stay in the log's exception chain: they may name keys, accounts or prompts. A 401 of the vendor
is our misconfiguration, not the caller's missing token, so it becomes `ModelUnavailable`.
"""

from collections.abc import Callable

import httpx
import openai

from voicehelper.errors import InvalidInput, ModelUnavailable, Overloaded, VoiceHelperError

# The SDK lets transport errors within a stream, and JSON it cannot decode, through as they are.
VENDOR_ERRORS = (openai.OpenAIError, httpx.HTTPError, ValueError)

_DEFAULT_RETRY_S = 5.0
_TOO_LONG = ("context_length_exceeded", "exceed_context_size_error", "string_above_max_length")


def translated(error: Exception) -> VoiceHelperError:
    """Our error for one of `VENDOR_ERRORS`."""
    if isinstance(error, openai.APIStatusError):
        by_status = _BY_STATUS.get(error.status_code)
        return by_status(error) if by_status else _unavailable(error)
    if isinstance(error, openai.APITimeoutError | httpx.TimeoutException):
        return ModelUnavailable("The model server is silent")
    if isinstance(error, openai.APIConnectionError | httpx.HTTPError):
        return ModelUnavailable("The model server cannot be reached, or hung up")
    if isinstance(error, openai.APIError) and _is_too_long(error):
        return _too_long()
    return ModelUnavailable("The model server sent something that is not a completion")


def _bad_request(error: openai.APIStatusError) -> VoiceHelperError:
    return _too_long() if _is_too_long(error) else InvalidInput("The model server refuses the request")


def _limited(error: openai.APIStatusError) -> VoiceHelperError:
    if error.code == "insufficient_quota":
        return ModelUnavailable("The model server's quota is used up")
    return Overloaded("The model server is busy", retry_after=_retry_after(error, _DEFAULT_RETRY_S))


def _unavailable(error: openai.APIStatusError) -> VoiceHelperError:
    return ModelUnavailable("The model server failed", {"status": error.status_code}, _retry_after(error, None))


def _refused(error: openai.APIStatusError) -> VoiceHelperError:
    return ModelUnavailable("The model server refuses our key", {"status": error.status_code})


def _no_model(error: openai.APIStatusError) -> VoiceHelperError:
    return ModelUnavailable("The model server does not know the model or the address", {"status": error.status_code})


def _too_long() -> VoiceHelperError:
    return InvalidInput("The prompt is longer than the model's context")


def _is_too_long(error: openai.APIError) -> bool:
    return error.code in _TOO_LONG or error.type in _TOO_LONG or "maximum context length" in error.message


def _retry_after(error: openai.APIStatusError, default: float | None) -> float | None:
    value = error.response.headers.get("retry-after", "")
    return float(value) if value.replace(".", "", 1).isdigit() else default


_BY_STATUS: dict[int, Callable[[openai.APIStatusError], VoiceHelperError]] = {
    400: _bad_request,
    413: _bad_request,
    422: _bad_request,
    401: _refused,
    403: _refused,
    404: _no_model,
    429: _limited,
}
