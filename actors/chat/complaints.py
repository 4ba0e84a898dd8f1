"""What vendors say of failed calls, and the one meaning each has for us.

Vendors agree on little: the same fault is a status here, a code there, and a sentence elsewhere. The words and
sentences are from their documentation and from answers seen (docs/providers.md); the first rule that fits wins.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.chat.retry_after import retry_after
from voicehelper.errors import (
    ContentFiltered,
    ContextTooLong,
    InvalidInput,
    ModelUnavailable,
    Overloaded,
    VoiceHelperError,
)

_DEFAULT_RETRY_S = 5.0
_STATUS_FROM, _STATUS_TO = 400, 600


@dataclass(frozen=True, slots=True)
class Complaint:
    """A failed call in its vendor's words.

    Attributes:
        status: the HTTP status; 0 where the complaint came within a stream and names none.
        words: its code and type, lower case.
        message: its sentence, lower case.
        param: the field of the request that it blames.
        headers: of the answer.
        busy_words: codes that mean `busy` with this vendor, whatever they mean elsewhere.
    """

    status: int
    words: frozenset[str] = frozenset()
    message: str = ""
    param: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    busy_words: frozenset[str] = frozenset()


def complaint(
    status: int, body: Any, headers: Mapping[str, str] | None = None, busy_words: frozenset[str] = frozenset()
) -> Complaint:
    """Read the body of an error: `{"error": {...}}`, its inside, or a flat object with `code` and `message`."""
    error = body.get("error", body) if isinstance(body, Mapping) else body
    if not isinstance(error, Mapping):
        return Complaint(status, message=str(error or "").lower(), headers=headers or {}, busy_words=busy_words)
    code, kind = error.get("code"), error.get("type")
    if status == 0 and str(code).isdecimal() and _STATUS_FROM <= int(str(code)) < _STATUS_TO:
        status = int(str(code))
    words = frozenset(str(word).lower() for word in (code, kind) if word)
    message = str(error.get("message") or error.get("detail") or "").lower()
    return Complaint(status, words, message, str(error.get("param") or ""), headers or {}, busy_words)


def meaning(said: Complaint) -> VoiceHelperError:
    """Our error for it."""
    for fits, make in _RULES:
        if fits(said):
            return make(said)
    return ModelUnavailable("The model server failed", {"status": said.status}, retry_after(said.headers, time.time()))


_FILTERED = frozenset(
    # OpenAI and Azure, DashScope, Qianfan
    {"content_filter", "content_policy_violation", "responsibleaipolicyviolation", "invalid_prompt"}
    | {"data_inspection_failed", "datainspectionfailed", "faqruleblocked"}
    | {"system_unsafe", "user_setting_unsafe", "functions_unsafe", "image_url_unsafe"}
)
_FILTERED_TEXTS = (
    "content exists risk",  # DeepSeek
    "inappropriate content",  # DashScope
    "content filtering policy",  # Anthropic
    "content management policy",  # Azure
    "violating our usage policy",  # OpenAI
)
_TOO_LONG = frozenset(
    # OpenAI, llama.cpp, Qianfan, Anthropic
    {"context_length_exceeded", "string_above_max_length", "exceed_context_size_error"}
    | {"tokens_too_long", "characters_too_long", "request_too_large"}
)
_TOO_LONG_TEXTS = (
    "context length",  # OpenAI, DeepSeek, vLLM
    "maximum model length",  # vLLM
    "prompt is too long",  # Anthropic
    "exceed context limit",  # Anthropic
    "range of input length",  # DashScope
    "max input tokens",  # Qianfan
    "max input characters",  # Qianfan
)
_SPENT = frozenset(
    # OpenAI, Anthropic, DashScope
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_error"}
    | {"arrearage", "allocationquota.freetieronly"}
)
_SPENT_TEXTS = ("credit balance is too low", "insufficient balance", "account is in good standing")
_NO_MODEL = frozenset({"model_not_found", "model_not_supported", "modelnotfound", "invalid_model", "not_found_error"})
_NO_MODEL_TEXTS = ("model not exist",)
_OUR_KEY = frozenset(
    {"invalid_api_key", "invalidapikey", "authentication_error", "permission_error", "invalid_iam_token"}
)
_BUSY = frozenset({"rate_limit_error", "too_many_requests", "limit_requests", "limit_burst_rate"})
_DOWN = frozenset(
    {"overloaded_error", "api_error", "timeout_error", "server_error", "internal_error", "dispatch_internal_error"}
)
_REFUSED = frozenset({"invalid_request_error", "badrequesterror", "invalid_parameter_error", "invalidparameter"})
_BAD_REQUEST = frozenset({400, 413, 415, 422})


def _says(words: frozenset[str], texts: tuple[str, ...] = ()) -> Callable[[Complaint], bool]:
    return lambda said: bool(words & said.words) or any(text in said.message for text in texts)


def _is_busy(said: Complaint) -> bool:
    if said.words & (_BUSY | said.busy_words):
        return True
    return any(word.startswith("throttling") or word.endswith("rate_limit_exceeded") for word in said.words)


def _is_too_long(said: Complaint) -> bool:
    client_side = said.status == 0 or said.status in _BAD_REQUEST
    return client_side and _says(_TOO_LONG, _TOO_LONG_TEXTS)(said)


def _too_long(_said: Complaint) -> VoiceHelperError:
    return ContextTooLong()


def _filtered(_said: Complaint) -> VoiceHelperError:
    return ContentFiltered()


def _busy(said: Complaint) -> VoiceHelperError:
    wait = retry_after(said.headers, time.time())
    return Overloaded("The model server is busy", retry_after=_DEFAULT_RETRY_S if wait is None else wait)


def _spent(said: Complaint) -> VoiceHelperError:
    return ModelUnavailable("The model server's quota is used up", {"status": said.status})


def _no_key(said: Complaint) -> VoiceHelperError:
    return ModelUnavailable("The model server refuses our key", {"status": said.status})


def _no_model(said: Complaint) -> VoiceHelperError:
    return ModelUnavailable("The model server does not know the model or the address", {"status": said.status})


def _down(said: Complaint) -> VoiceHelperError:
    return ModelUnavailable("The model server failed", {"status": said.status}, retry_after(said.headers, time.time()))


def _refused(said: Complaint) -> VoiceHelperError:
    return InvalidInput("The model server refuses the request", {"field": said.param} if said.param else None)


_RULES: tuple[tuple[Callable[[Complaint], bool], Callable[[Complaint], VoiceHelperError]], ...] = (
    (_says(_FILTERED, _FILTERED_TEXTS), _filtered),
    (_is_too_long, _too_long),
    (lambda said: bool(said.words & said.busy_words), _busy),
    (_says(_SPENT, _SPENT_TEXTS), _spent),
    (lambda said: said.status == 402, _spent),
    (lambda said: said.status == 429 or _is_busy(said), _busy),
    (lambda said: said.status in (401, 403) or _says(_OUR_KEY)(said), _no_key),
    (lambda said: said.status == 404 or _says(_NO_MODEL, _NO_MODEL_TEXTS)(said), _no_model),
    (lambda said: said.status >= 500 or _says(_DOWN)(said), _down),
    (lambda said: said.status in _BAD_REQUEST or _says(_REFUSED)(said), _refused),
)
