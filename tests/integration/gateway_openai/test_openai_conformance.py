"""What vLLM's own tests expect of an OpenAI server, as far as it is OpenAI's behaviour and not vLLM's extension.

Each test names its source under `tests/entrypoints/openai` of vllm-project/vllm (read 2026-11). Left out: `n` > 1,
`echo`, prompts as token ids, `prompt_logprobs`, `structured_outputs`, custom roles (OpenAI refuses them, so do we),
`continuous_usage_stats`, and that the last chunk with a finish reason has a content too (OpenAI's has none).
"""

import json
from typing import Any

import openai
import pytest

from tests.integration.gateway_openai.conftest import Site
from voicehelper.errors import ModelUnavailable
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatUsage, TokenLogprob

MESSAGES: Any = [
    {"role": "system", "content": "you are a helpful assistant"},
    {"role": "user", "content": "what is 1+1?"},
]
PATH = "/v1/chat/completions"


async def frames(site: Site, path: str = PATH, **body: Any) -> list[str]:
    """The data of every event of a stream."""
    response = await site.raw().post(path, json={"model": "local", "stream": True, **body})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = response.text.split("\n\n")
    assert events[-1] == "" and all(event.startswith("data: ") for event in events[:-1])
    return [event.removeprefix("data: ") for event in events[:-1]]


async def status(site: Site, path: str = PATH, **body: Any) -> int:
    """The status of a request with these fields."""
    base = {"model": "local", "messages": MESSAGES} if path == PATH else {"model": "local", "prompt": "Hello"}
    response = await site.raw().post(path, json=base | body)
    if response.status_code != 200:
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["message"]
    return response.status_code


async def test_logprobs_are_there_when_asked_for(site: Site) -> None:
    """chat_completion/test_chat.py: test_no_logprobs_chat, test_zero_logprobs_chat, test_some_logprobs_chat."""
    alternatives = tuple((str(place), -1.0 - place) for place in range(5))
    site.model.reply = lambda request: (
        ChatDelta(
            "2", () if request.logprobs is None else (TokenLogprob("2", -0.1, alternatives[: request.logprobs]),)
        ),
        ChatDone("stop", ChatUsage(1, 1), "m"),
    )
    client = site.client()
    for given, expected in (({"logprobs": False}, None), ({"logprobs": True, "top_logprobs": 0}, 0)):
        made: Any = await client.chat.completions.create(model="local", messages=MESSAGES, **given)
        found = made.choices[0].logprobs
        assert found is None if expected is None else len(found.content[0].top_logprobs) == expected
    made = await client.chat.completions.create(model="local", messages=MESSAGES, logprobs=True, top_logprobs=5)
    assert len(made.choices[0].logprobs.content[0].top_logprobs) == 5


async def test_too_many_logprobs(site: Site) -> None:
    """chat_completion/test_chat.py: test_too_many_chat_logprobs; completion/test_completion.py: the same."""
    for stream in (True, False):
        assert await status(site, logprobs=True, top_logprobs=21, stream=stream) == 400
        assert await status(site, "/v1/completions", logprobs=21, stream=stream) == 400
    assert await status(site) == 200


async def test_a_session(site: Site) -> None:
    """chat_completion/test_chat.py: test_single_chat_session."""
    site.model.events = (ChatDelta("it is two"), ChatDone("length", ChatUsage(37, 5), "m"))
    made = await site.client().chat.completions.create(model="local", messages=MESSAGES, max_completion_tokens=5)
    assert made.id is not None and len(made.choices) == 1 and made.choices[0].finish_reason == "length"
    assert made.usage is not None and made.usage.total_tokens == 42
    assert made.choices[0].message.role == "assistant"
    turns = [*MESSAGES, made.choices[0].message.model_dump(), {"role": "user", "content": "in json"}]
    assert (await site.client().chat.completions.create(model="local", messages=turns)).choices[0].message.content


async def test_a_stream_says_what_the_whole_says(site: Site) -> None:
    """chat_completion/test_chat.py: test_chat_streaming; completion/test_completion.py: test_completion_streaming."""
    client = site.client()
    whole = (await client.chat.completions.create(model="local", messages=MESSAGES)).choices[0]
    texts, finishes = [], []
    async for chunk in await client.chat.completions.create(model="local", messages=MESSAGES, stream=True):
        delta = chunk.choices[0].delta
        assert delta.role in {"assistant", None}
        texts.append(delta.content or "")
        finishes.append(chunk.choices[0].finish_reason)
    assert "".join(texts) == whole.message.content
    assert finishes[-1] == whole.finish_reason and set(finishes[:-1]) == {None}


async def test_framing(site: Site) -> None:
    """chat_completion/test_chat_error.py: the stream ends with `data: [DONE]`, after an error too."""
    assert (await frames(site, messages=MESSAGES))[-1] == "[DONE]"
    assert (await frames(site, "/v1/completions", prompt="?"))[-1] == "[DONE]"
    site.model.error, site.model.events = ModelUnavailable(), (ChatDelta("Hello"),)
    *_, error, done = await frames(site, messages=MESSAGES)
    assert json.loads(error)["error"]["message"] and done == "[DONE]"


@pytest.mark.parametrize("path", [PATH, "/v1/completions"])
async def test_stream_options(site: Site, path: str) -> None:
    """chat_completion/test_chat.py: test_chat_completion_stream_options; completion/test_completion.py: the same."""
    body: dict[str, Any] = {"messages": MESSAGES} if path == PATH else {"prompt": "What is the capital of France?"}
    for options in ({"include_usage": False}, {"include_usage": None}, {}):
        chunks = [json.loads(data) for data in (await frames(site, path, **body, stream_options=options))[:-1]]
        assert all(chunk.get("usage") is None and chunk["choices"] for chunk in chunks)
    chunks = [
        json.loads(data) for data in (await frames(site, path, **body, stream_options={"include_usage": True}))[:-1]
    ]
    *before, last = chunks
    assert all(chunk["usage"] is None for chunk in before) and before[-1]["choices"][0]["finish_reason"]
    assert last["choices"] == []
    usage = last["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    wrong: tuple[dict[str, Any], ...] = (
        {"include_usage": None},
        {"include_usage": True},
        {"continuous_usage_stats": True},
    )
    for options in wrong:
        assert await status(site, path, stream=False, stream_options=options) == 400


async def test_response_formats(site: Site) -> None:
    """chat_completion/test_chat.py: test_response_format_*; test_chat_error.py: a schema that is missing is 400."""
    schema = {"type": "json_schema", "json_schema": {"name": "foo_test", "schema": {"type": "object"}}}
    for form in ({"type": "text"}, {"type": "json_object"}, schema):
        assert await status(site, response_format=form) == 200
    for form in ({"type": "json_schema"}, {"type": "xml"}, {}):
        assert await status(site, response_format=form) == 400


async def test_extra_fields_are_allowed(site: Site) -> None:
    """chat_completion/test_chat.py: test_extra_fields_allowed, test_complex_message_content."""
    assert await status(site, messages=[{"role": "user", "content": "1+1?", "extra_field": "0"}], extra=1) == 200
    assert await status(site, messages=[{"role": "user", "content": [{"type": "text", "text": "1+1?"}]}]) == 200


async def test_seeds(site: Site) -> None:
    """chat_completion/test_chat.py: test_long_seed."""
    for seed in (-(2**63) - 1, 2**63):
        assert await status(site, seed=seed) == 400
    assert await status(site, seed=2**63 - 1) == 200


async def test_tool_choice(site: Site) -> None:
    """chat_completion/test_completion_with_function_calling.py: test_inconsistent_tool_choice_and_tools;
    test_tool_choice_null.py."""
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    named = {"type": "function", "function": {"name": "weather"}}
    assert await status(site, tool_choice=named) == 400
    assert await status(site, tools=tools, tool_choice={"type": "function", "function": {"name": "nope"}}) == 400
    assert await status(site, tools=tools, tool_choice={}) == 400
    for choice in ("auto", "required", "none", named, None):
        assert await status(site, tools=tools, tool_choice=choice) == 200


@pytest.mark.parametrize("content", ["this is not valid json{{{", '["not", "an", "object"]', "42", "null", ""])
async def test_bodies_that_are_no_object(site: Site, content: str) -> None:
    """chat_completion/test_non_object_body_validation.py."""
    for path in (PATH, "/v1/completions", "/v1/embeddings", "/v1/responses"):
        response = await site.raw().post(path, content=content, headers={"content-type": "application/json"})
        assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"


async def test_the_wrong_content_type(site: Site) -> None:
    """basic/test_basic.py: test_request_wrong_content_type."""
    with pytest.raises(openai.APIStatusError):
        await site.client().chat.completions.create(
            model="local", messages=MESSAGES, extra_headers={"Content-Type": "application/x-www-form-urlencoded"}
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"temperature": 3},
        {"top_p": 0},
        {"top_p": 1.5},
        {"presence_penalty": 3},
        {"max_tokens": 0},
        {"max_tokens": "many"},
        {"stop": 3},
        {"n": 0},
        {"n": 2},
        {"top_logprobs": 2},
        {"messages": []},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "robot", "content": "?"}]},
        {"messages": [{"role": "tool", "content": "?"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1"}}]}]},
        {"logit_bias": {"5": -100}},
        {"functions": [{"name": "f"}]},
        {"model": ""},
        {"model": None},
    ],
)
async def test_bad_parameters(site: Site, wrong: dict[str, Any]) -> None:
    """chat_completion/test_chat_error.py, test_chat_logit_bias_validation.py: 400 for what is wrong, never 500."""
    assert await status(site, **wrong) == 400
    assert not site.model.requests


async def test_unknown_models(site: Site) -> None:
    """test_serving_models.py, test_models.py: 404 for a model that is not there; the list names what is."""
    assert await status(site, model="nope") == 404
    assert await status(site, "/v1/completions", model="nope") == 404
    names = [model.id for model in (await site.client().models.list()).data]
    assert "local" in names and "nope" not in names


async def test_prompts(site: Site) -> None:
    """completion/test_prompt_validation.py, test_empty_prompt_list.py; `echo` and several prompts are refused here."""
    assert await status(site, "/v1/completions", prompt=["one"]) == 200
    for prompt in ([], "", [""], None, ["one", "two"], [1, 2, 3]):
        assert await status(site, "/v1/completions", prompt=prompt) == 400
    for wrong in ({"echo": True}, {"n": 2}, {"best_of": 2}, {"suffix": "."}):
        assert await status(site, "/v1/completions", **wrong) == 400
