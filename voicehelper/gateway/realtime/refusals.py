"""What a client of `/v1/realtime` is told when something it sent cannot be done. The session goes on."""

from typing import Any

from voicehelper.context import current_context
from voicehelper.errors import VoiceHelperError, error_class
from voicehelper.gateway.catalogue import text_of
from voicehelper.gateway.openai_errors import openai_type
from voicehelper.gateway.problems import as_error

ServerEvent = dict[str, Any]
"""A server event without its `event_id`."""


class Refusal(Exception):
    """An `error` event to be.

    Args:
        code: one of the protocol's.
        message: what is wrong, for people.
        param: the field it is about, as a path (`session.audio.input.format.rate`).
        event_id: the client's own name of its event.

    Attributes:
        of_update: it was a `session.update`, whose sender waits for a `session.updated`.
    """

    of_update = False

    def __init__(self, code: str, message: str, param: str | None = None, event_id: str | None = None) -> None:
        super().__init__(code, message, param, event_id)
        self.code = code
        self.message = message
        self.param = param
        self.event_id = event_id

    def event(self) -> ServerEvent:
        """As a server event."""
        return error_event("invalid_request_error", self.code, self.message, self.param, self.event_id)


def error_event(
    kind: str, code: str, message: str, param: str | None = None, event_id: str | None = None
) -> ServerEvent:
    """An `error` event."""
    error = {"type": kind, "code": code, "message": message, "param": param, "event_id": event_id}
    return {"type": "error", "error": error}


def failure_event(failure: BaseException, event_id: str | None = None) -> ServerEvent:
    """An `error` event for an error of our tree, in the language of the request; its code is ours, as text."""
    error = as_error(failure)
    return error_event(openai_type(error.status), str(error.code), _words(error), None, event_id)


def failure_details(error: VoiceHelperError) -> dict[str, str]:
    """The error of a response that failed."""
    return {"type": openai_type(error.status), "code": str(error.code), "message": _words(error)}


def _words(error: VoiceHelperError) -> str:
    text = text_of(error, current_context().locale)
    return text if error.message == error.default_message else f"{text} ({error.message})"


def details_of_code(code: int) -> dict[str, str]:
    """The error behind one of our codes."""
    return failure_details(error_class(code)())
