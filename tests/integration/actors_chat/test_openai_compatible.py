"""The OpenAI-compatible actor against a real socket: the format as it should be, and as it should not."""

import asyncio
import time
from contextlib import aclosing

import pytest

from actors.chat.openai_compatible import OpenAICompatibleChat
from tests.fakes.openai_server import Behaviour, Exchange, openai_server
from voicehelper.context import RequestContext, use_context
from voicehelper.errors import (
    ContextTooLong,
    DeadlineExceeded,
    InvalidInput,
    ModelUnavailable,
    Overloaded,
    VoiceHelperError,
)
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatEvent, ChatMessage, ChatRequest, ChatUsage

ASK = ChatRequest((ChatMessage("system", "简短"), ChatMessage("user", "退款多久到账？")), max_tokens=9, stop=("\n",))


async def ask(
    behaviour: Behaviour, request: ChatRequest = ASK, key: str = "k-1", silence_s: float = 5
) -> list[ChatEvent]:
    async with openai_server(behaviour) as server:
        chat = OpenAICompatibleChat(server.url, key, model="remote-1", silence_s=silence_s)
        try:
            return [event async for event in chat.stream(request)]
        finally:
            await chat.close()


async def good(exchange: Exchange) -> None:
    await exchange.start_stream()
    await exchange.data({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]})
    await exchange.delta("三个")
    await exchange.delta("工作日。")
    await exchange.delta(None, "stop")
    await exchange.usage(20, 5, cached=8)
    await exchange.data("[DONE]")


async def test_streams_text_then_usage() -> None:
    events = await ask(good)
    assert events == [ChatDelta("三个"), ChatDelta("工作日。"), ChatDone("stop", ChatUsage(20, 5, 8), "remote-1")]


async def test_sends_what_the_format_says() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = ChatRequest(ASK.messages, 9, 0.2, ("\n",), schema, "other-model")
    async with openai_server(good) as server:
        chat = OpenAICompatibleChat(server.url, "k-1", model="remote-1")
        done = [event async for event in chat.stream(request)][-1]
        await chat.close()
    (seen,) = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == "Bearer k-1"
    assert seen.body["messages"][1] == {"role": "user", "content": "退款多久到账？"}
    assert (seen.body["model"], seen.body["max_tokens"], seen.body["stop"]) == ("other-model", 9, ["\n"])
    assert seen.body["response_format"]["json_schema"]["schema"] == schema
    assert seen.body["stream_options"] == {"include_usage": True}
    assert isinstance(done, ChatDone) and done.model == "other-model"


async def test_other_servers_leave_things_out() -> None:
    async def terse(exchange: Exchange) -> None:
        await exchange.start_stream()
        await exchange.data({"choices": [{"delta": {"content": "好"}}]})
        await exchange.send(": keep-alive\n\n")
        await exchange.data({"choices": None, "usage": None})
        await exchange.data({"choices": [{"finish_reason": "length"}]})

    assert await ask(terse) == [ChatDelta("好"), ChatDone("length", ChatUsage(), "remote-1")]


def failing(status: int, headers: dict[str, str] | None = None, **error: str) -> Behaviour:
    async def fail(exchange: Exchange) -> None:
        await exchange.error(status, headers, **error)

    return fail


@pytest.mark.parametrize(
    ("behaviour", "expected", "retry_after"),
    [
        (failing(401, message="bad key sk-123"), ModelUnavailable, None),
        (failing(403), ModelUnavailable, None),
        (failing(404, code="model_not_found"), ModelUnavailable, None),
        (failing(400, message="odd"), InvalidInput, None),
        (failing(400, code="context_length_exceeded"), ContextTooLong, None),
        (failing(422), InvalidInput, None),
        (failing(429, {"Retry-After": "7"}), Overloaded, 7.0),
        (failing(429), Overloaded, 5.0),
        (failing(429, code="insufficient_quota"), ModelUnavailable, None),
        (failing(500), ModelUnavailable, None),
        (failing(503, {"Retry-After": "3"}), ModelUnavailable, 3.0),
        (failing(418), ModelUnavailable, None),
    ],
)
async def test_statuses(behaviour: Behaviour, expected: type[VoiceHelperError], retry_after: float | None) -> None:
    with pytest.raises(expected) as caught:
        await ask(behaviour)
    assert type(caught.value) is expected
    assert caught.value.retry_after == retry_after
    assert "sk-123" not in str(caught.value)


async def cut_off(exchange: Exchange) -> None:
    await exchange.start_stream()
    await exchange.delta("三个")


async def reset(exchange: Exchange) -> None:
    await exchange.head(200, {"Content-Type": "text/event-stream", "Content-Length": "9000"})
    await exchange.delta("三个")
    exchange.writer.transport.abort()


async def broken_json(exchange: Exchange) -> None:
    await exchange.start_stream()
    await exchange.delta("三个")
    await exchange.data('{"choices": [{"delta')


async def wrong_shape(exchange: Exchange) -> None:
    await exchange.start_stream()
    await exchange.delta("三个")
    await exchange.data({"choices": "none"})


async def error_within(exchange: Exchange) -> None:
    await exchange.start_stream()
    await exchange.delta("三个")
    await exchange.data({"error": {"message": "CUDA out of memory", "type": "server_error"}})


async def html(exchange: Exchange) -> None:
    await exchange.head(200, {"Content-Type": "text/html"})
    await exchange.send("<html>gateway login</html>")


async def bad_utf8(exchange: Exchange) -> None:
    await exchange.start_stream()
    await exchange.send(b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n')


@pytest.mark.parametrize("behaviour", [cut_off, reset, broken_json, wrong_shape, error_within, html, bad_utf8])
async def test_broken_streams(behaviour: Behaviour) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await ask(behaviour)
    assert "CUDA" not in str(caught.value)


async def test_silence() -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.start_stream()
        await exchange.delta("三")
        await asyncio.sleep(60)

    with pytest.raises(ModelUnavailable):
        await ask(silent, silence_s=0.2)


async def test_deadline_of_the_request() -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.start_stream()
        while True:
            await exchange.delta("慢")
            await asyncio.sleep(0.02)

    with use_context(RequestContext(deadline=time.time() + 0.3)), pytest.raises(DeadlineExceeded):
        await ask(slow)


async def test_nobody_listens() -> None:
    chat = OpenAICompatibleChat("http://127.0.0.1:9/v1", "", model="m")
    with pytest.raises(ModelUnavailable):
        [event async for event in chat.stream(ASK)]
    await chat.close()


async def test_closing_the_stream_hangs_up_and_frees_the_permit() -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.start_stream()
        while True:
            await exchange.delta("再")
            await asyncio.sleep(0.01)

    async with openai_server(endless) as server:
        chat = OpenAICompatibleChat(server.url, "", model="m", parallel=1, queue=0)
        for _ in range(2):
            async with aclosing(chat.stream(ASK)) as events:
                assert await anext(events) == ChatDelta("再")
                with pytest.raises(Overloaded):
                    await anext(chat.stream(ASK))
            await asyncio.wait_for(server.hung_up.wait(), 2)
            server.hung_up.clear()
        await chat.close()


def test_needs_an_address() -> None:
    with pytest.raises(InvalidInput):
        OpenAICompatibleChat("", "", model="m")
