"""The upstream of `make prove-router`, through the official client, in each of its moods."""

import asyncio
from contextlib import asynccontextmanager, suppress

import openai
import pytest

from tests.fakes.openai_server import OpenAIServer
from tests.prove.router_openai import Names, steps
from tests.prove.router_server import Answer, _take
from tests.prove.router_upstream import Upstream

ASKED = [{"role": "user", "content": "?"}]


@asynccontextmanager
async def client_of(upstream):
    server = await asyncio.start_server(OpenAIServer(upstream.behave).handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0, timeout=5) as client:
            yield client
    finally:
        server.close()


async def _said(upstream, **body):
    async with client_of(upstream) as client:
        stream = await client.chat.completions.create(model="m", messages=ASKED, max_tokens=9, stream=True, **body)
        return [chunk async for chunk in stream]


async def test_it_says_who_it_is_and_what_it_took():
    upstream = Upstream("gold")
    chunks = await _said(upstream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "I am gold. One two three."
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (10, 16)
    assert (upstream.asked, upstream.answered) == (1, 1)


async def test_it_calls_the_first_tool():
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    chunks = await _said(Upstream("gold"), tools=[tool])
    calls = [call for chunk in chunks if chunk.choices for call in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].function.name == "weather"
    assert "".join(call.function.arguments for call in calls) == '{"city": "Hangzhou"}'


@pytest.mark.parametrize(
    ("mode", "error"),
    [("429", openai.RateLimitError), ("500", openai.InternalServerError), ("hang_up", openai.APIConnectionError)],
)
async def test_it_fails_as_told(mode, error):
    with pytest.raises(error):
        await _said(Upstream("gold", mode))


@pytest.mark.parametrize(("mode", "words"), [("break_first", 0), ("break_after", 3)])
async def test_streams_that_break_have_no_finish(mode, words):
    chunks = []
    async with client_of(Upstream("gold", mode)) as client:
        with suppress(openai.APIConnectionError):  # whether an early end is one, the SDK's versions see differently
            async for chunk in await client.chat.completions.create(
                model="m", messages=ASKED, max_tokens=9, stream=True
            ):
                chunks.append(chunk)
    assert len([chunk for chunk in chunks if chunk.choices[0].delta.content]) == words
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)


def test_an_error_in_a_stream_is_no_answer():
    answer = Answer(200)
    _take(answer, {"choices": [{"delta": {"content": "He"}, "finish_reason": None}]})
    assert not answer.ok
    _take(answer, {"error": {"code": "server_error"}})
    assert (answer.text, answer.ok) == ("He", False)


def test_steps_that_need_more_are_asked_for():
    assert "grounded answer" not in steps(openai.OpenAI(api_key="k"), Names("m"))
    every = steps(openai.OpenAI(api_key="k"), Names("m", "t", "kb", embed="e"))
    assert {"chat", "stream", "tools", "structured output", "embeddings", "grounded answer"} <= set(every)
