"""Errors in OpenAI's form, as its client sees them; and who may ask for what."""

import asyncio
import json
from typing import Any

import openai
import pytest

from tests.integration.gateway_openai.conftest import Site, entry
from voicehelper import errors
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatUsage
from voicehelper.rag.port import FakeAnswerer

HELLO: Any = [{"role": "user", "content": "你好"}]


@pytest.mark.parametrize(
    ("error", "kind", "status", "type_", "code"),
    [
        (errors.ContextTooLong(), openai.BadRequestError, 400, "invalid_request_error", "context_length_exceeded"),
        (errors.ContentFiltered(), openai.BadRequestError, 400, "invalid_request_error", "content_filter"),
        (errors.InvalidInput("no"), openai.BadRequestError, 400, "invalid_request_error", "40001"),
        (errors.UnknownModel(), openai.NotFoundError, 404, "invalid_request_error", "model_not_found"),
        (errors.BudgetExceeded(), openai.RateLimitError, 429, "insufficient_quota", "insufficient_quota"),
        (errors.TokensLimited(), openai.RateLimitError, 429, "rate_limit_error", "rate_limit_exceeded"),
        (errors.Overloaded(), openai.RateLimitError, 429, "rate_limit_error", "42902"),
        (errors.ModelUnavailable(), openai.InternalServerError, 503, "server_error", "server_error"),
        (errors.DeadlineExceeded(), openai.InternalServerError, 504, "server_error", "server_error"),
        (RuntimeError("secret"), openai.InternalServerError, 500, "server_error", "server_error"),
    ],
)
async def test_what_goes_wrong_before_the_first_word(
    site: Site, error: Exception, kind: type[openai.APIStatusError], status: int, type_: str, code: str
) -> None:
    site.model.events, site.model.error = (), error
    for stream in (False, True):
        with pytest.raises(kind) as failure:
            await site.client().chat.completions.create(model="local", messages=HELLO, stream=stream)
        found = failure.value
        assert (found.status_code, found.type, found.code) == (status, type_, code)
        assert "secret" not in str(found)
        assert found.response.json()["trace_id"] and found.response.json()["code"] >= 40000


async def test_a_budget_is_not_asked_again(site: Site) -> None:
    site.model.events, site.model.error = (), errors.BudgetExceeded(retry_after=3)
    with pytest.raises(openai.RateLimitError):
        await site.client().with_options(max_retries=2).chat.completions.create(model="local", messages=HELLO)
    assert len(site.model.requests) == 1


async def test_what_goes_wrong_within_a_stream(site: Site) -> None:
    site.model.events, site.model.error = (ChatDelta("一"),), errors.BrokenStream()
    body = {"model": "local", "messages": HELLO, "stream": True}
    text = (await site.raw().post("/v1/chat/completions", json=body)).text
    frames = [line[6:] for line in text.split("\n\n") if line.startswith("data: ")]
    assert json.loads(frames[-2])["error"]["code"] == "server_error" and json.loads(frames[-2])["code"] == 50303
    assert frames[-1] == "[DONE]"
    stream = await site.client().chat.completions.create(model="local", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError):
        [chunk async for chunk in stream]
    events = [e async for e in await site.client().responses.create(model="local", input="?", stream=True)]
    last: Any = events[-1]
    assert (last.type, last.response.status, last.response.error.code) == ("response.failed", "failed", "server_error")


async def test_a_stream_that_ends_without_its_end(site: Site) -> None:
    site.model.events = (ChatDelta("一"),)
    with pytest.raises(openai.InternalServerError):
        await site.client().chat.completions.create(model="local", messages=HELLO)
    stream = await site.client().chat.completions.create(model="local", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError):
        [chunk async for chunk in stream]


@pytest.mark.parametrize("stream", [True, False])
async def test_out_of_time(site: Site, stream: bool) -> None:
    site.model.stops_at = 1
    body = {"model": "local", "messages": HELLO, "stream": stream}
    response = await site.raw().post("/v1/chat/completions", json=body, timeout=20)
    assert response.status_code == (200 if stream else 504)
    assert "50401" in response.text and site.model.stopped == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_stops_the_model(site: Site, stream: bool) -> None:
    site.model.stops_at = 1
    body = {"model": "local", "messages": HELLO, "stream": stream}
    async with site.raw() as client:
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=body))
        while not site.model.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    async with asyncio.timeout(5):
        while not site.model.stopped:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    site.model.stops_at = None
    made = await site.client().chat.completions.create(model="local", messages=HELLO)
    assert made.choices[0].message.content == "你好。"


async def test_a_piece_is_sent_before_the_next_one_is_there(site: Site) -> None:
    site.model.stops_at = 1
    stream = await site.client().chat.completions.create(model="local", messages=HELLO, stream=True)
    seen = []
    async for chunk in stream:
        seen.append(chunk.choices[0].delta.content)
        if seen[-1] == "你好":
            site.model.go.set()
    assert [text for text in seen if text] == ["你好", "。"]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.b"}}]}]},
            "messages",
        ),
    ],
)
async def test_what_a_model_cannot_do(site: Site, given: dict[str, Any], param: str) -> None:
    body = {"model": "plain", "messages": HELLO} | given
    response = await site.raw().post("/v1/chat/completions", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert (await site.raw().post("/v1/chat/completions", json=body | {"model": "local"})).status_code == 200
    await site.harness.base("政策")
    grounded = await site.raw().post("/v1/chat/completions", json=body | {"model": "kb:政策"})
    assert (grounded.status_code, grounded.json()["error"]["param"]) == (400, param)


async def test_models_of_the_wrong_kind_or_name(site: Site) -> None:
    site.catalogue.shared.append(entry("vectors", kind="embedding"))
    client = site.client()
    for name in ("gpt-9", "vectors", "auto:best", "kb:none", "kb:", "kb:\x00", "e5"):
        with pytest.raises(openai.NotFoundError) as failure:
            await client.chat.completions.create(model=name, messages=HELLO)
        assert (failure.value.code, failure.value.param) == ("model_not_found", "model"), name
    for name in ("text-embedding-3-small", "local", "auto"):
        with pytest.raises(openai.NotFoundError) as failure:
            await client.embeddings.create(model=name, input="a")
        assert failure.value.code == "model_not_found"


async def test_what_cannot_be_embedded(site: Site) -> None:
    raw = site.raw()
    for given in ([], "", [1, 2, 3], [[1, 2], [3]], [""], None, ["a"] * 2049):
        response = await raw.post("/v1/embeddings", json={"model": "e5", "input": given})
        assert response.status_code == 400 and response.json()["error"]["param"].startswith("input"), given
    dimensions = await raw.post("/v1/embeddings", json={"model": "e5", "input": "a", "dimensions": 3})
    assert dimensions.json()["error"]["param"] == "dimensions"
    long = await raw.post("/v1/embeddings", json={"model": "e5", "input": "长" * 600})
    assert long.json()["error"]["code"] == "context_length_exceeded"


async def test_nothing_is_kept_between_responses(site: Site) -> None:
    with pytest.raises(openai.BadRequestError) as failure:
        await site.client().responses.create(model="local", input="?", previous_response_id="resp_1")
    assert failure.value.param == "previous_response_id"
    tool: Any = {"type": "web_search"}
    with pytest.raises(openai.BadRequestError):
        await site.client().responses.create(model="local", input="?", tools=[tool])


async def test_who_may(site: Site) -> None:
    anonymous = openai.AsyncOpenAI(api_key="nobody", base_url=f"{site.url}/v1", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as refused:
        await anonymous.models.list()
    assert refused.value.code == "invalid_api_key"
    await anonymous.close()
    customer = await site.harness.user("default", "c@example.com", "end_customer")
    with pytest.raises(openai.PermissionDeniedError):
        await site.client(customer).chat.completions.create(model="local", messages=HELLO)
    roles = await site.raw().post("/api/v1/roles", json={"name": "asker", "permissions": ["models:use"]})
    assert roles.status_code == 201, roles.text
    asker = await site.harness.user("default", "a@example.com", "asker")
    await site.harness.base("政策")
    assert (await site.client(asker).chat.completions.create(model="local", messages=HELLO)).choices
    with pytest.raises(openai.PermissionDeniedError):
        await site.client(asker).chat.completions.create(model="kb:政策", messages=HELLO)
    assert not [model.id async for model in site.client(asker).models.list() if model.id.startswith("kb:")]


async def test_an_api_key_asks(site: Site) -> None:
    key = await site.raw().post("/api/v1/api-keys", json={"name": "bot", "permissions": ["models:use"]})
    assert key.status_code == 201, key.text
    client = openai.AsyncOpenAI(api_key=key.json()["key"], base_url=f"{site.url}/v1", max_retries=0)
    assert (await client.chat.completions.create(model="local", messages=HELLO)).choices
    await client.close()


async def test_tenants_do_not_see_each_other(site: Site) -> None:
    base = await site.harness.base("政策")
    site.catalogue.own[site.harness.admin.tenant_id] = [entry("ours")]
    stranger = await site.harness.user("other", "s@example.com")
    client = site.client(stranger)
    for name in ("ours", "kb:政策", f"kb:{base}"):
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model=name, messages=HELLO)
        with pytest.raises(openai.NotFoundError):
            await client.responses.create(model=name, input="?")
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve(name)
    names = [model.id async for model in client.models.list()]
    assert "ours" not in names and not [name for name in names if name.startswith("kb:")]
    assert not site.model.requests and not site.answerer.questions


async def test_odd_characters(site: Site) -> None:
    """Lone surrogates of a model, and the ends of lines that some clients see in the middle of one."""
    site.model.events = (ChatDelta("a\ud800\u2028\x85“b”"), ChatDone("stop", ChatUsage(), "m"))
    made = await site.client().chat.completions.create(model="local", messages=HELLO)
    assert made.choices[0].message.content == "a?\u2028\x85“b”"
    body = {"model": "local", "messages": HELLO, "stream": True}
    async with site.raw().stream("POST", "/v1/chat/completions", json=body) as response:
        lines = [line async for line in response.aiter_lines()]  # httpx's, which split at all of them
    deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in lines if line.startswith('data: {"id"')]
    assert "".join(delta.get("content", "") for delta in deltas) == "a?\u2028\x85“b”"
    assert (await site.client().responses.create(model="local", input="?")).output_text.startswith("a?")


async def test_without_models(site: Site) -> None:
    site.use(router=None, embeddings=None, answerer=None)
    await site.harness.base("政策")
    client = site.client()
    for name in ("local", "kb:政策"):
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model=name, messages=HELLO)
    with pytest.raises(openai.InternalServerError):
        await client.embeddings.create(model="e5", input="a")


async def test_a_knowledge_base_that_cannot_be_asked(site: Site) -> None:
    await site.harness.base("政策")
    site.use(answerer=FakeAnswerer(error=errors.Overloaded(), events=()))
    with pytest.raises(openai.RateLimitError):
        await site.client().chat.completions.create(model="kb:政策", messages=HELLO, stream=True)
    for messages in (
        [{"role": "system", "content": "?"}],
        [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}],
        [{"role": "user", "content": " "}],
        [{"role": "user", "content": "长" * 8001}],
        [{"role": "user", "content": "\x00"}],
    ):
        response = await site.raw().post("/v1/chat/completions", json={"model": "kb:政策", "messages": messages})
        assert (response.status_code, response.json()["error"]["param"]) == (400, "messages"), messages
