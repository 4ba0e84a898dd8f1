"""Asking: a question in, the answer out as a whole or as server-sent events."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from voicehelper.context import current_context
from voicehelper.conversations import Owner, Turn, TurnCompleted, TurnEvent, TurnStarted
from voicehelper.errors import VoiceHelperError
from voicehelper.gateway.openapi import SSE_RESPONSE
from voicehelper.gateway.params import Asker, Wired, requires
from voicehelper.gateway.problems import as_error, error_body
from voicehelper.gateway.services import Services
from voicehelper.gateway.stream import ENDED, EventStream, Pump, while_connected
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, AnswerStatus
from voicehelper.wire.common import View
from voicehelper.wire.conversations import (
    CitationView,
    CompletedEvent,
    DeltaEvent,
    MessageCreate,
    MessageView,
    StatusEvent,
    TurnView,
    UsageEvent,
)

router = APIRouter(prefix="/conversations", tags=["conversations"])


@router.post(
    "/{conversation_id}/messages",
    summary="Ask a question",
    response_model=TurnView,
    responses={200: SSE_RESPONSE},
    dependencies=[requires("conversations:write")],
)
async def ask(conversation_id: UUID, body: MessageCreate, request: Request, asker: Asker, services: Wired) -> Response:
    """The answer with citations: whole as JSON, or as typed events with `Accept: text/event-stream` or `stream: true`.

    Errors that come before the first event are ordinary error responses; later ones are the stream's `error` event.
    Leaving stops the model and keeps what was written as `stopped`. 409 while the previous question is being answered.
    """
    pump = Pump(_turn(services, asker, conversation_id, body))
    try:
        first = await while_connected(request.receive, pump.next())
        if body.stream or _wants_events(request):
            return EventStream(first, pump, encode_event, encode_error)
        turn = await while_connected(request.receive, _whole(first, pump))
        await pump.close()
    except BaseException:  # also when this request is cancelled: the model must not go on for nobody
        await pump.close()
        raise
    return Response(turn.model_dump_json(), media_type="application/json")


def _turn(services: Services, asker: Owner, conversation_id: UUID, body: MessageCreate) -> AsyncGenerator[TurnEvent]:
    return services.answers.send(asker, conversation_id, body.content, body.knowledge_bases)


async def _whole(first: Any, pump: Pump[TurnEvent]) -> TurnView:
    question = MessageView.model_validate(first.turn.question)
    while True:
        event = await pump.next()
        if isinstance(event, TurnCompleted):
            return TurnView(question=question, answer=MessageView.model_validate(event.answer))
        if event is ENDED:
            raise VoiceHelperError("The answer ended early")


def encode_event(event: TurnEvent) -> list[tuple[str, str]]:
    """Name and JSON data of the server-sent events for `event`."""
    return [(name, view.model_dump_json()) for name, view in _views(event)]


def encode_error(failure: Exception) -> tuple[str, str]:
    """Name and JSON data of the `error` event: the same body as an error response's."""
    return "error", error_body(as_error(failure), current_context()).model_dump_json()


def _views(event: TurnEvent) -> list[tuple[str, View]]:
    match event:
        case TurnStarted(turn):
            return [("message.created", _turn_view(turn))]
        case AnswerStatus(stage):
            return [("status", StatusEvent(stage=stage))]
        case AnswerDelta(text):
            whole = text.encode("utf-8", "replace").decode()  # half a character cannot travel alone
            return [("delta", DeltaEvent(text=whole))]
        case AnswerCitations(citations):
            return [("citation", CitationView.model_validate(citation)) for citation in citations]
        case AnswerDone():
            return [("usage", _usage(event))]
        case TurnCompleted(answer):
            return [("message.completed", CompletedEvent(message=MessageView.model_validate(answer)))]


def _turn_view(turn: Turn) -> TurnView:
    return TurnView(question=MessageView.model_validate(turn.question), answer=MessageView.model_validate(turn.answer))


def _usage(done: AnswerDone) -> UsageEvent:
    return UsageEvent(
        model=done.model,
        prompt_tokens=done.usage.prompt_tokens,
        completion_tokens=done.usage.completion_tokens,
        cached_tokens=done.usage.cached_tokens,
    )


def _wants_events(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")
