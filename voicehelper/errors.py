"""The error tree. Every error a client can see carries its code, HTTP status and retryability on the class.

Codes are HTTP status x 100 + n and never change their meaning. Errors cross process boundaries by pickle: a subclass
keeps the constructor's signature, so that `args` rebuilds it (see `__reduce__`). The HTTP body is rendered once, at
the edge, from these attributes; nothing of a traceback is ever part of it.
"""

from __future__ import annotations

from typing import Any, ClassVar


class VoiceHelperError(Exception):
    """Base of every error the platform raises on purpose.

    Args:
        message: text for the caller; must not contain secrets or personal data.
        details: JSON-serialisable facts that help the caller.
        retry_after: seconds after which the same request may succeed, for 429 and 503.
    """

    code: ClassVar[int] = 50000
    retryable: ClassVar[bool] = False
    default_message: ClassVar[str] = "Internal error"

    def __init__(
        self, message: str = "", details: dict[str, Any] | None = None, retry_after: float | None = None
    ) -> None:
        self.message = message or self.default_message
        self.details = details or {}
        self.retry_after = retry_after
        super().__init__(self.message, self.details, retry_after)

    def __reduce__(self) -> tuple[type[VoiceHelperError], tuple[str, dict[str, Any], float | None]]:
        return type(self), (self.message, self.details, self.retry_after)

    def __str__(self) -> str:
        return self.message

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.code // 100


class InvalidInput(VoiceHelperError):
    """The request is malformed or breaks a rule."""

    code = 40001
    default_message = "The request is not valid"


class InvalidId(InvalidInput):
    """An id in the path or body is not a UUID."""

    code = 40002
    default_message = "Not a valid id"


class MalformedBody(InvalidInput):
    """The body cannot be decoded (broken JSON, broken multipart)."""

    code = 40003
    default_message = "The body cannot be read"


class EmptyFile(InvalidInput):
    """The uploaded file holds no bytes."""

    code = 40004
    default_message = "The file is empty"


class WeakPassword(InvalidInput):
    """The password breaks a rule; `details["rules"]` names those it breaks."""

    code = 40005
    default_message = "The password is too weak"


class ContextTooLong(InvalidInput):
    """The prompt is longer than the model's context."""

    code = 40006
    default_message = "The prompt is longer than the model's context"


class Unauthenticated(VoiceHelperError):
    """No token, or one that does not verify."""

    code = 40101
    default_message = "Authentication required"


class InvalidCredentials(Unauthenticated):
    """Wrong user name or password; which of them is not said."""

    code = 40102
    default_message = "Invalid credentials"


class TokenExpired(Unauthenticated):
    """The token was valid once."""

    code = 40103
    default_message = "Token expired"


class TokenRevoked(Unauthenticated):
    """The token was ended: logout, a disabled account, a refresh token used twice."""

    code = 40104
    default_message = "Token revoked"


class Forbidden(VoiceHelperError):
    """Authenticated, but not allowed."""

    code = 40301
    default_message = "Not allowed"


class NotFound(VoiceHelperError):
    """No such resource in this tenant."""

    code = 40401
    default_message = "Not found"


class UnknownModel(NotFound):
    """The tenant has no model of this name; `details["model"]` says which."""

    code = 40402
    default_message = "No such model"


class MethodNotAllowed(VoiceHelperError):
    """The route exists, with other methods."""

    code = 40501
    default_message = "Method not allowed"


class Conflict(VoiceHelperError):
    """The resource is in a state that refuses this request (name taken, version changed)."""

    code = 40901
    default_message = "Conflict"


class ConversationBusy(Conflict):
    """The conversation is still answering the previous message."""

    code = 40902
    default_message = "The previous message is still being answered"


class VersionConflict(Conflict):
    """Somebody changed the resource meanwhile; `details["version"]` is the present one."""

    code = 40903
    default_message = "Changed by somebody else meanwhile"


class RequestInProgress(Conflict):
    """The first request with this Idempotency-Key is still being worked on."""

    code = 40904
    retryable = True
    default_message = "A request with this idempotency key is in progress"


class PayloadTooLarge(VoiceHelperError):
    """The body or file is over the limit."""

    code = 41301
    default_message = "Too large"


class UnsupportedType(VoiceHelperError):
    """The file's type is not one we can index."""

    code = 41501
    default_message = "Unsupported type"


class UnprocessableDocument(VoiceHelperError):
    """A document cannot be turned into text. `details["reason"]` is a stable word (see `documents.FailureReason`)."""

    code = 42201
    default_message = "The document cannot be read"


class IdempotencyMismatch(VoiceHelperError):
    """The Idempotency-Key was used for another request."""

    code = 42202
    default_message = "The idempotency key was used for another request"


class ContentFiltered(VoiceHelperError):
    """The model's provider refuses the prompt, or the answer, for what it says."""

    code = 42203
    default_message = "The model's provider refuses this content"


class RateLimited(VoiceHelperError):
    """Too many requests."""

    code = 42901
    retryable = True
    default_message = "Too many requests"


class Overloaded(RateLimited):
    """A queue is full; nothing was started."""

    code = 42902
    default_message = "Busy, try again shortly"


class AccountLocked(RateLimited):
    """Too many wrong passwords for this account or from this address."""

    code = 42903
    default_message = "Too many failed logins, try again later"


class BudgetExceeded(VoiceHelperError):
    """The month's money of the tenant, the user or the key is spent; `details["budget"]` says whose."""

    code = 42904
    default_message = "The budget of this month is used up"


class TokensLimited(RateLimited):
    """Too many tokens a minute; `details["limit"]` says whose."""

    code = 42905
    default_message = "Too many tokens in a minute"


class Unavailable(VoiceHelperError):
    """Something this request needs is down; it is being restarted."""

    code = 50301
    retryable = True
    default_message = "Temporarily unavailable"


class ModelUnavailable(Unavailable):
    """The language, embedding or speech model cannot be reached."""

    code = 50302
    default_message = "The model is temporarily unavailable"


class BrokenStream(ModelUnavailable):
    """The model broke off in the middle of its answer."""

    code = 50303
    default_message = "The model broke off its answer"


class ModelSilent(ModelUnavailable):
    """The model server accepted the request and said nothing for too long."""

    code = 50304
    default_message = "The model server is silent"


class DeadlineExceeded(VoiceHelperError):
    """The request's time is over."""

    code = 50401
    retryable = True
    default_message = "Out of time"


def error_class(code: int) -> type[VoiceHelperError]:
    """The class of errors with this code; `VoiceHelperError` where none has it."""
    waiting: list[type[VoiceHelperError]] = [VoiceHelperError]
    while waiting:
        kind = waiting.pop()
        if kind.code == code and "code" in vars(kind):
            return kind
        waiting.extend(kind.__subclasses__())
    return VoiceHelperError
