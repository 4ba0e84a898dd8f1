"""Asking: a question in, the answer out as a whole or as server-sent events; again, from the middle, or no more."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from voicehelper.conversations import START, Ask, Asked, Attachment, LiveEvent, Mark, error_of
from voicehelper.errors import Unavailable
from voicehelper.gateway.middleware.idempotency import write_key
from voicehelper.gateway.openapi import EVENTS_RESPONSE, SSE_RESPONSE
from voicehelper.gateway.params import Asker, Caller, Wired, requires
from voicehelper.gateway.stream import EventStream, while_connected
from voicehelper.idempotency import WriteKey, parse_key
from voicehelper.identity import Principal
from voicehelper.wire.conversations import MessageCreate, MessageView, Regenerate, TurnView

router = APIRouter(prefix="/conversations", tags=["conversations"])

_READ = [requires("conversations:read")]
_WRITE = [requires("conversations:write")]


@router.post(
    "/{conversation_id}/messages",
    summary="Ask a question",
    response_model=TurnView,
    responses={200: SSE_RESPONSE},
    dependencies=_WRITE,
)
async def ask(
    *, conversation_id: UUID, body: MessageCreate, request: Request, caller: Caller, asker: Asker, services: Wired
) -> Response:
    """The answer with citations: whole as JSON, or as typed events with `Accept: text/event-stream` or `stream: true`.

    Errors that come before the first event are ordinary error responses; later ones are the stream's `error` event.
    Leaving stops the model half a second later and keeps what was written as `stopped`, unless the connection is taken
    up again (`.../events`) or the question says `keep_running`. 409 while the previous question is being answered.

    With an `Idempotency-Key` the question is asked once, however often it is sent: a repetition gets the running
    answer from its beginning, or the finished one; an answer that broke off with its server is written anew.
    """
    question = Ask(
        body.content,
        None if body.knowledge_bases is None else tuple(body.knowledge_bases),
        tuple(Attachment(**attachment.model_dump()) for attachment in body.attachments),
        body.keep_running,
    )
    asked = await services.answers.ask(asker, conversation_id, question, _key(request, caller, body))
    return await _respond(request, asked, body.stream)


@router.post(
    "/{conversation_id}/messages/{message_id}/regenerate",
    summary="Answer the last question anew",
    response_model=TurnView,
    responses={200: SSE_RESPONSE},
    dependencies=_WRITE,
)
async def regenerate(
    *,
    conversation_id: UUID,
    message_id: UUID,
    request: Request,
    caller: Caller,
    asker: Asker,
    services: Wired,
    body: Regenerate | None = None,
) -> Response:
    """As for a question; `message_id` is the answer's, which keeps its id. What it said goes to its alternatives. Ids
    of its events begin with the number of the attempt: `2.1`, `2.2`. 409 for an answer that is not the last."""
    wanted = body or Regenerate()
    key = _key(request, caller, wanted)
    asked = await services.answers.regenerate(asker, conversation_id, message_id, wanted.keep_running, key)
    return await _respond(request, asked, wanted.stream)


@router.post(
    "/{conversation_id}/messages/{message_id}/stop", summary="Stop an answer being written", dependencies=_WRITE
)
async def stop(conversation_id: UUID, message_id: UUID, asker: Asker, services: Wired) -> MessageView:
    """The answer with what was written so far; as it is if it has ended. Any device may stop it, through any replica;
    `streaming` if its writer has not ended it within three seconds (it will)."""
    return MessageView.model_validate(await services.answers.stop_answer(asker, conversation_id, message_id))


@router.get(
    "/{conversation_id}/messages/{message_id}/events",
    summary="Events of an answer, from the beginning or where a connection broke",
    response_class=Response,
    responses={200: EVENTS_RESPONSE, 204: {"description": "The last event was received"}},
    dependencies=_READ,
)
async def events(
    *,
    conversation_id: UUID,
    message_id: UUID,
    request: Request,
    asker: Asker,
    services: Wired,
    last_event_id: Annotated[str | None, Header(max_length=40, description="`id` of the last event received")] = None,
) -> Response:
    """Each event after `Last-Event-ID` once, with the same ids and bytes as in the first stream, on any replica: of a
    running answer as they come, of a finished one at once; 204 when there is none left. Whoever reads here keeps a
    running answer going. 503 for a moment when it is written elsewhere and the replicas cannot reach each other."""
    seen = Mark.parse(last_event_id) if last_event_id else START
    source = services.answers.follow(asker, conversation_id, message_id, seen)
    return await _stream(request, source, {})


async def _respond(request: Request, asked: Asked, stream: bool) -> Response:
    headers = {"idempotent-replayed": "true"} if asked.repeated else {}
    if stream or "text/event-stream" in request.headers.get("accept", ""):
        return await _stream(request, asked.events, headers)
    async with aclosing(asked.events):
        turn = await while_connected(request.receive, _whole(asked))
    return Response(turn, media_type="application/json", headers=headers)


async def _stream(request: Request, source: AsyncGenerator[LiveEvent, None], headers: dict[str, str]) -> Response:
    """Looks at the first event before choosing the status."""
    try:
        first = await while_connected(request.receive, anext(source, None))
    except BaseException:  # also when this request is cancelled: nobody will read on
        await source.aclose()
        raise
    return Response(status_code=204) if first is None else EventStream(first, source, headers)


async def _whole(asked: Asked) -> bytes:
    """The `TurnView` of the answer, once it has ended. Raises the error that ended it."""
    question: object = None
    async for event in asked.events:
        if event.name == "message.created":
            question = orjson.loads(event.data)["question"]
        elif event.name == "error":
            raise error_of(event)[0]
        elif event.last:
            return orjson.dumps({"question": question, "answer": orjson.loads(event.data)["message"]})
    raise Unavailable("The answer ended early", retry_after=1.0)


def _key(request: Request, caller: Principal, body: MessageCreate | Regenerate) -> WriteKey | None:
    """What is asked counts, not in which form the answer is wanted."""
    key = parse_key(request.headers.getlist("idempotency-key"))
    meant = body.model_dump_json(exclude={"stream", "keep_running"}).encode()
    return None if key is None else write_key(request.scope, caller, key, meant)
