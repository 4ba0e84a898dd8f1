"""Events of an answer as they are sent; and once more, to the byte, from the finished answer's row."""

from collections.abc import Iterator
from functools import cache

from voicehelper.context import current_context
from voicehelper.conversations.live import LiveEvent, Mark
from voicehelper.conversations.model import Message
from voicehelper.conversations.turns import StoredTurn, Trail, Turn
from voicehelper.errors import Unavailable, VoiceHelperError
from voicehelper.ports.chat import ChatUsage
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, AnswerEvent, AnswerStatus
from voicehelper.wire.common import ErrorBody, View
from voicehelper.wire.conversations import (
    CitationView,
    CompletedEvent,
    DeltaEvent,
    MessageView,
    StatusEvent,
    TurnView,
    UsageEvent,
)

Frame = tuple[str, str]
"""Name and JSON data of an event."""


def frames_of(event: AnswerEvent) -> Iterator[Frame]:
    """The events that show `event` of an answerer."""
    for name, view in _views(event):
        yield name, view.model_dump_json()


def created_frame(turn: Turn) -> Frame:
    """Both messages are stored."""
    view = TurnView(question=MessageView.model_validate(turn.question), answer=MessageView.model_validate(turn.answer))
    return "message.created", view.model_dump_json()


def ended_frame(answer: Message) -> Frame:
    """The answer as stored, `completed` or `stopped`."""
    view = CompletedEvent(message=MessageView.model_validate(answer))
    return f"message.{answer.status}", view.model_dump_json()


def failure_of(error: BaseException) -> str:
    """Data of the `error` event for `error`, in English: who sends it on translates it. Nothing but the code is said of
    errors not meant for clients."""
    known = error if isinstance(error, VoiceHelperError) else VoiceHelperError()
    return _failure(known, current_context().trace_id)


def error_of(event: LiveEvent) -> tuple[VoiceHelperError, str]:
    """The error behind an `error` event, and the trace in which it happened."""
    body = ErrorBody.model_validate_json(event.data)
    details = dict(body.details)
    kind = _errors().get(body.code, VoiceHelperError)
    return kind(body.message, details, details.get("retry_after")), body.trace_id


def replay(stored: StoredTurn) -> list[LiveEvent]:
    """All events of an ended answer as they were sent."""
    answer, attempt = stored.turn.answer, stored.turn.attempt
    return [
        LiveEvent(answer.id, Mark(attempt, number), name, data)
        for number, (name, data) in enumerate(_replay(stored), start=1)
    ]


def _replay(stored: StoredTurn) -> Iterator[Frame]:
    answer = stored.turn.answer
    yield created_frame(_as_begun(stored.turn))
    for event in _retold(answer.content, stored.trail):
        yield from frames_of(event)
    if answer.citations:
        yield from frames_of(AnswerCitations(answer.citations))
    if answer.metadata.get("usage"):
        usage = ChatUsage(**answer.metadata["usage"])
        yield from frames_of(AnswerDone(answer.metadata["outcome"], usage, answer.metadata.get("model", "")))
    if answer.status == "failed":
        yield "error", stored.failure or _lost(answer)
    else:
        yield ended_frame(answer)


def _as_begun(turn: Turn) -> Turn:
    answer = turn.answer
    begun = Message(answer.id, answer.conversation_id, answer.seq, "assistant", "streaming", "", answer.created_at)
    return Turn(turn.owner, turn.question, begun, turn.attempt)


def _retold(content: str, trail: Trail | None) -> Iterator[AnswerEvent]:
    place = 0
    for step in trail or ():
        if isinstance(step, str):
            yield AnswerStatus(step)
        else:
            yield AnswerDelta(content[place : place + step])
            place += step
    if place < len(content):  # from before there were trails
        yield AnswerDelta(content[place:])


def _lost(answer: Message) -> str:
    """The answer's writer died before it could say anything."""
    code = int(answer.metadata.get("error", {}).get("code", Unavailable.code))
    return _failure(_errors().get(code, VoiceHelperError)(retry_after=1.0), "")


def _failure(error: VoiceHelperError, trace_id: str) -> str:
    details = dict(error.details)
    if error.retry_after is not None:
        details.setdefault("retry_after", error.retry_after)
    return ErrorBody(code=error.code, message=error.message, details=details, trace_id=trace_id).model_dump_json()


def _views(event: AnswerEvent) -> Iterator[tuple[str, View]]:
    match event:
        case AnswerStatus(stage):
            yield "status", StatusEvent(stage=stage)
        case AnswerDelta(text):
            yield "delta", DeltaEvent(text=text)
        case AnswerCitations(citations):
            for citation in citations:
                yield "citation", CitationView.model_validate(citation)
        case AnswerDone(_, usage, model):
            yield "usage", _usage(usage, model)


def _usage(usage: ChatUsage, model: str) -> UsageEvent:
    return UsageEvent(
        model=model,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
    )


@cache
def _errors() -> dict[int, type[VoiceHelperError]]:
    """Error classes by code."""
    found: dict[int, type[VoiceHelperError]] = {VoiceHelperError.code: VoiceHelperError}
    waiting = [VoiceHelperError]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            found.setdefault(kind.code, kind)
            waiting.append(kind)
    return found
