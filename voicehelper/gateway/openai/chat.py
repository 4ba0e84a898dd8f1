"""`/v1/chat/completions` and `/v1/completions`."""

import asyncio
from contextlib import aclosing
from typing import Any

from voicehelper.errors import DeadlineExceeded, InvalidInput
from voicehelper.gateway.openai.events import Events, Whole, collect, route_facts, route_headers
from voicehelper.gateway.openai.frames import (
    ChatFrames,
    TextFrames,
    citation,
    dumps,
    finish,
    head,
    legacy_logprobs,
    logprobs,
    new_id,
    usage_view,
)
from voicehelper.gateway.openai.lean import Call
from voicehelper.gateway.openai.requests import chat_request, completion_request
from voicehelper.gateway.openai.sources import answer
from voicehelper.gateway.openai.streaming import stream
from voicehelper.ports.chat import ToolCall
from voicehelper.wire.openai_chat import ChatCompletionCreate, CompletionCreate, Sampling


async def chat_completion(call: Call) -> None:
    """Answer a chat completion."""
    body = call.parse(ChatCompletionCreate)
    events = answer(call, chat_request(body), body.max_completion_tokens or body.max_tokens)
    if body.stream:
        await stream(call, events, ChatFrames(body.model, _wants_usage(body), bool(body.logprobs)))
        return
    whole = await whole_of(call, events)
    shared = head(new_id("chatcmpl-"), "chat.completion", body.model)
    await call.reply(_with(shared, _choice(whole, bool(body.logprobs)), whole), route_headers(whole.done))


async def text_completion(call: Call) -> None:
    """Answer a text completion."""
    body = call.parse(CompletionCreate)
    if not (body.prompt if isinstance(body.prompt, str) else body.prompt[0]):
        raise InvalidInput("The prompt is empty", {"param": "prompt"})
    events = answer(call, completion_request(body), body.max_tokens or 16)
    if body.stream:
        await stream(call, events, TextFrames(body.model, _wants_usage(body), body.logprobs is not None))
        return
    whole = await whole_of(call, events)
    found = legacy_logprobs(whole.logprobs, 0) if whole.logprobs and body.logprobs is not None else None
    choice = {"index": 0, "text": whole.text, "logprobs": found, "finish_reason": finish(whole.done)}
    shared = head(new_id("cmpl-"), "text_completion", body.model)
    await call.reply(_with(shared, choice, whole), route_headers(whole.done))


async def whole_of(call: Call, events: Events) -> Whole:
    """The finished answer, in time. Raises `DeadlineExceeded`, and what `collect` does."""
    try:
        async with asyncio.timeout(call.seconds_left) as limit, aclosing(events):
            return await collect(events)
    except TimeoutError as error:
        if limit.expired():
            raise DeadlineExceeded from error
        raise


def _wants_usage(body: Sampling) -> bool:
    return body.stream_options is not None and bool(body.stream_options.include_usage)


def _with(shared: bytes, choice: dict[str, Any], whole: Whole) -> bytes:
    rest = {
        "choices": [choice],
        "usage": usage_view(whole.done.usage),
        "voicehelper": route_facts(whole.done, whole.grounded),
    }
    return shared[:-1] + b"," + dumps(rest)[1:]


def _choice(whole: Whole, wants_logprobs: bool) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": whole.text, "refusal": None}
    if whole.calls:
        message |= {"content": whole.text or None, "tool_calls": [_call(call) for call in whole.calls]}
    if whole.grounded is not None:
        message["annotations"] = [citation(found) for found in whole.grounded.citations]
    found = logprobs(whole.logprobs) if wants_logprobs else None
    return {"index": 0, "message": message, "logprobs": found, "finish_reason": finish(whole.done)}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
