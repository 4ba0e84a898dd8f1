"""`kb:NAME` as a model: answers from that knowledge base, with citations.

The last message is the question, those before it are the history. System messages are not obeyed: how a grounded
answer is made, and what keeps it grounded, is ours.
"""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, cast

from voicehelper.errors import Forbidden, InvalidInput, ModelUnavailable, NotFound, UnknownModel
from voicehelper.gateway.openai.events import Events, Grounded
from voicehelper.gateway.openai.lean import Call
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatMessage, ChatProgress, ChatRequest
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, PastTurn, Question

PREFIX = "kb:"
_LONGEST = 8000  # of a question, as in conversations


async def grounded(call: Call, request: ChatRequest) -> Events:
    """The answer of the knowledge base that `request.model` names by `kb:NAME` or `kb:ID`.

    Raises `Forbidden` without `knowledge:read`, `UnknownModel`, `InvalidInput` for what such an answer cannot have, and
    what `QuestionAnswerer.answer` raises.
    """
    answerer, question = call.services.answerer, await _question(call, request)
    if answerer is None:
        raise ModelUnavailable
    citations: tuple[Any, ...] = ()
    async with aclosing(cast(Any, answerer.answer(question))) as events:
        async for event in events:
            if isinstance(event, AnswerDelta):
                yield ChatDelta(event.text)
            elif isinstance(event, AnswerCitations):
                citations = event.citations
            elif isinstance(event, AnswerDone):
                yield Grounded(citations, event.outcome, event.degraded)
                yield ChatDone("stop", event.usage, event.model)
            else:
                yield ChatProgress()


async def _question(call: Call, request: ChatRequest) -> Question:
    if not call.principal.may("knowledge:read"):
        raise Forbidden(details={"permission": "knowledge:read", "param": "model"})
    _check(request)
    name = request.model.removeprefix(PREFIX)
    try:
        kb_ids = await call.services.scopes.resolve(call.principal.tenant_id, [name] if _nameable(name) else ["\ufffd"])
    except NotFound:
        raise UnknownModel(details={"model": request.model, "param": "model"}) from None
    *earlier, last = [message for message in request.messages if message.role in {"user", "assistant"}]
    return Question(last.content, call.principal.tenant_id, kb_ids, past_turns(earlier))


def _check(request: ChatRequest) -> None:
    for param, given in (
        ("tools", request.tools),
        ("response_format", request.json_object or request.json_schema is not None),
        ("logprobs", request.logprobs is not None),
    ):
        if given:
            raise InvalidInput(f"A knowledge base's answer has no {param}", {"param": param})
    last = request.messages[-1]
    if last.role != "user" or last.images or not last.content.strip():
        raise InvalidInput("The last message is to be the user's question, in words", {"param": "messages"})
    if len(last.content) > _LONGEST or "\x00" in last.content:
        raise InvalidInput(f"A question has at most {_LONGEST} characters", {"param": "messages"})


def _nameable(name: str) -> bool:
    return bool(name) and "\x00" not in name


def past_turns(messages: Sequence[ChatMessage]) -> tuple[PastTurn, ...]:
    """Finished exchanges, oldest first: what the user said since the last answer, and the answer."""
    turns: list[PastTurn] = []
    asked: list[str] = []
    for message in messages:
        if message.role == "user":
            asked.append(message.content)
        elif asked:
            turns.append(PastTurn("\n".join(asked), message.content))
            asked = []
    return tuple(turns)
