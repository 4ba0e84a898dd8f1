"""The official `openai` client, unchanged, over a real socket."""

import json
from typing import Any
from uuid import uuid4

import numpy as np
import openai
import pytest
from pydantic import BaseModel

from tests.integration.gateway_openai.conftest import Site, entry
from voicehelper.ports.chat import (
    ChatAttempt,
    ChatDelta,
    ChatDone,
    ChatProgress,
    ChatRequest,
    ChatRoute,
    ChatToolDelta,
    ChatUsage,
    TokenLogprob,
)
from voicehelper.rag.events import AnswerAlive, AnswerCitations, AnswerDelta, AnswerDone, AnswerStatus, Citation

HELLO: Any = [{"role": "user", "content": "你好"}]
USAGE = ChatUsage(7, 3, 2, 1)
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


async def test_a_chat(site: Site) -> None:
    route = ChatRoute(
        "openai", "cheapest", (ChatAttempt("a", "50302"), ChatAttempt("local", "answered")), cost_micros=5
    )
    site.model.events = (ChatDelta("好的"), ChatDelta("。"), ChatDone("length", USAGE, "local", route))
    answer = await site.client().chat.completions.with_raw_response.create(
        model="auto:cheapest",
        messages=[{"role": "system", "content": "短"}, {"role": "developer", "content": "!"}, *HELLO],
        temperature=0.3,
        top_p=0.9,
        seed=7,
        stop=["停"],
        presence_penalty=0.1,
        frequency_penalty=-0.1,
        max_completion_tokens=5,
        user="u1",
        metadata={"a": "b"},
        extra_body={"something": "unknown"},
    )
    made = answer.parse()
    assert made.id.startswith("chatcmpl-") and made.object == "chat.completion" and made.model == "auto:cheapest"
    (choice,) = made.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "好的。", "length")
    assert made.usage and made.usage.total_tokens == 10
    assert made.usage.prompt_tokens_details and made.usage.prompt_tokens_details.cached_tokens == 2
    assert made.usage.completion_tokens_details and made.usage.completion_tokens_details.reasoning_tokens == 1
    assert answer.headers["x-voicehelper-model"] == "local" and answer.headers["x-voicehelper-attempts"] == "2"
    assert made.model_extra and made.model_extra["voicehelper"]["attempts"][0]["outcome"] == "50302"
    (request,) = site.model.requests
    assert [(m.role, m.content) for m in request.messages] == [("system", "短"), ("system", "!"), ("user", "你好")]
    assert (request.temperature, request.top_p, request.seed, request.stop) == (0.3, 0.9, 7, ("停",))
    assert (request.max_tokens, request.user, request.feature, request.model) == (5, "u1", "api", "auto:cheapest")


async def test_a_stream(site: Site) -> None:
    site.model.events = (ChatProgress(), ChatDelta("一"), ChatProgress(), ChatDelta("二"), ChatDone("stop", USAGE, "m"))
    stream = await site.client().chat.completions.create(
        model="local", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "一二"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None, None, None, "stop"]
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == [] and chunks[-1].usage and chunks[-1].usage.completion_tokens == 3
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1


def _tool_turns(request: ChatRequest) -> list[Any]:
    if request.messages[-1].role == "tool":
        return [ChatDelta(f"It is {request.messages[-1].content}."), ChatDone("stop", USAGE, "m")]
    first, second = '{"city": ', '"上海"}'
    return [
        ChatToolDelta(0, "call_1", "weather", ""),
        ChatToolDelta(0, arguments=first),
        ChatToolDelta(0, arguments=second),
        ChatToolDelta(1, "call_2", "weather", '{"city": "北京"}'),
        ChatDone("tool_calls", USAGE, "m"),
    ]


async def test_tools_there_and_back(site: Site) -> None:
    site.model.reply, client = _tool_turns, site.client()
    asked = await client.chat.completions.create(
        model="local", messages=HELLO, tools=[WEATHER], tool_choice="required", parallel_tool_calls=True
    )
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls" and message.content is None
    calls: Any = message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["上海", "北京"]
    turns: Any = [*HELLO, message.model_dump(exclude_none=True)]
    turns += [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
    answer = await client.chat.completions.create(model="local", messages=turns, tools=[WEATHER])
    assert answer.choices[0].message.content == "It is sunny."
    first, second = site.model.requests
    assert (first.tool_choice, first.parallel_tools, first.tools[0].name) == ("required", True, "weather")
    assert [call.id for call in second.messages[1].tool_calls] == ["call_1", "call_2"]
    assert second.messages[3].tool_call_id == "call_2"


async def test_tools_in_a_stream(site: Site) -> None:
    site.model.reply = _tool_turns
    choice: Any = {"type": "function", "function": {"name": "weather"}}
    async with site.client().chat.completions.stream(
        model="local", messages=HELLO, tools=[WEATHER], tool_choice=choice
    ) as stream:
        final = await stream.get_final_completion()
    calls: Any = final.choices[0].message.tool_calls
    assert [(call.id, call.function.name) for call in calls] == [("call_1", "weather"), ("call_2", "weather")]
    assert json.loads(calls[0].function.arguments) == {"city": "上海"}
    assert site.model.requests[0].tool_choice == "tool:weather"


class Person(BaseModel):
    name: str
    age: int


async def test_structured_output(site: Site) -> None:
    site.model.events = (ChatDelta('{"name": "李雷", '), ChatDelta('"age": 20}'), ChatDone("stop", USAGE, "m"))
    made = await site.client().chat.completions.parse(model="local", messages=HELLO, response_format=Person)
    assert made.choices[0].message.parsed == Person(name="李雷", age=20)
    request = site.model.requests[0]
    assert request.json_schema and set(request.json_schema["properties"]) == {"name", "age"}
    assert request.schema_name == "Person"
    form: Any = {"type": "json_object"}
    await site.client().chat.completions.create(model="local", messages=HELLO, response_format=form)
    assert site.model.requests[1].json_object and site.model.requests[1].json_schema is None


async def test_probabilities(site: Site) -> None:
    tokens = (TokenLogprob("好", -0.1, (("好", -0.1), ("不", -2.5))),)
    site.model.events = (ChatDelta("好", tokens), ChatDone("stop", USAGE, "m"))
    made = await site.client().chat.completions.create(model="local", messages=HELLO, logprobs=True, top_logprobs=2)
    logprobs = made.choices[0].logprobs
    assert logprobs and logprobs.content and [each.token for each in logprobs.content[0].top_logprobs] == ["好", "不"]
    assert logprobs.content[0].bytes == list("好".encode())
    stream = await site.client().chat.completions.create(model="local", messages=HELLO, logprobs=True, stream=True)
    given = [c.choices[0].logprobs for c in [chunk async for chunk in stream] if c.choices[0].delta.content]
    assert given[0] and given[0].content and given[0].content[0].logprob == -0.1
    assert [request.logprobs for request in site.model.requests] == [2, 0]


async def test_pictures(site: Site) -> None:
    content: Any = [
        {"type": "text", "text": "什么?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
    ]
    await site.client().chat.completions.create(model="local", messages=[{"role": "user", "content": content}])
    (message,) = site.model.requests[0].messages
    assert (message.content, message.images) == ("什么?", ("data:image/png;base64,AAAA",))


async def test_text_completions(site: Site) -> None:
    client = site.client()
    made = await client.completions.create(model="local", prompt="从前", max_tokens=9)
    assert (made.object, made.choices[0].text, made.choices[0].finish_reason) == ("text_completion", "你好。", "stop")
    assert site.model.requests[0].max_tokens == 9
    stream = await client.completions.create(model="local", prompt=["从前"], stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks) == "你好。"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, "stop"]
    assert site.model.requests[1].max_tokens == 16


async def test_embeddings(site: Site) -> None:
    client = site.client()
    plain = await client.embeddings.create(model="e5", input=["退款", "发货"], encoding_format="float")
    assert [each.index for each in plain.data] == [0, 1] and len(plain.data[0].embedding) == 384
    assert plain.usage.total_tokens == 4
    encoded = await client.embeddings.create(model="e5", input=["退款", "发货"])  # base64, read by the client
    assert np.allclose(encoded.data[1].embedding, plain.data[1].embedding)
    query: Any = {"input_type": "query"}
    await client.embeddings.create(model="e5", input="退款", extra_body=query, dimensions=384)
    assert [kind for _, kind in site.embedder.calls] == ["passage", "passage", "query"]


async def test_models(site: Site) -> None:
    client = site.client()
    await site.harness.base("政策")
    site.catalogue.shared.append(entry("org/model", context_tokens=9))
    names = [model.id async for model in client.models.list()]
    assert names[:2] == ["auto", "auto:cheapest"] and {"local", "plain", "org/model", "e5", "kb:政策"} <= set(names)
    one = await client.models.retrieve("org/model")
    assert (one.id, one.object, one.owned_by) == ("org/model", "model", "openai") and one.created > 1_600_000_000
    assert (await client.models.retrieve("kb:政策")).id == "kb:政策"
    for name in ("gpt-9", "kb:none"):
        with pytest.raises(openai.NotFoundError) as failure:
            await client.models.retrieve(name)
        assert failure.value.code == "model_not_found"


def _answer(site: Site) -> Citation:
    found = Citation(1, 0, 7, uuid4(), uuid4(), "退款.md", 2, ("退款",), "三天内到账", 0.9)
    site.answerer.events = (
        AnswerStatus("searching"),
        AnswerAlive(),
        AnswerDelta("三天"),
        AnswerDelta("到账[1]。"),
        AnswerCitations((found,)),
        AnswerDone("answered", USAGE, "local", ("rerank",)),
    )
    return found


async def test_a_knowledge_base_answers(site: Site) -> None:
    base, cited = await site.harness.base("政策"), _answer(site)
    turns: Any = [
        {"role": "system", "content": "Speak like a pirate"},
        {"role": "user", "content": "你好"},
        {"role": "assistant", "content": "您好"},
        {"role": "user", "content": "退款多久到账?"},
    ]
    for name in ("kb:政策", f"kb:{base}"):
        made = await site.client().chat.completions.create(model=name, messages=turns)
        message: Any = made.choices[0].message
        assert (message.content, made.model) == ("三天到账[1]。", name)
        (annotation,) = message.annotations
        assert annotation.type == "file_citation"
        fact: Any = annotation.file_citation
        assert (fact["filename"], fact["page"], fact["quote"]) == ("退款.md", 2, "三天内到账")
        assert message.content[fact["start_index"] : fact["end_index"]] == "三天到账[1]"
        assert fact["file_id"] == str(cited.document_id)
        assert made.model_extra and made.model_extra["voicehelper"]["outcome"] == "answered"
    question = site.answerer.questions[0]
    assert (question.text, question.kb_ids) == ("退款多久到账?", (base,))
    assert [(turn.question, turn.answer) for turn in question.history] == [("你好", "您好")]
    assert not site.model.requests


async def test_a_knowledge_base_answers_in_a_stream(site: Site) -> None:
    await site.harness.base("政策")
    _answer(site)
    stream = await site.client().chat.completions.create(model="kb:政策", messages=HELLO, stream=True)
    deltas: list[Any] = [chunk.choices[0].delta async for chunk in stream]
    assert "".join(delta.content or "" for delta in deltas) == "三天到账[1]。"
    assert deltas[-1].annotations[0]["file_citation"]["filename"] == "退款.md"


async def test_responses(site: Site) -> None:
    made = await site.client().responses.create(
        model="local", input="你好", instructions="短", max_output_tokens=5, temperature=0.1, store=False
    )
    assert (made.status, made.output_text, made.object) == ("completed", "你好。", "response")
    assert made.usage and (made.usage.input_tokens, made.usage.output_tokens) == (7, 3)
    (request,) = site.model.requests
    assert [(m.role, m.content) for m in request.messages] == [("system", "短"), ("user", "你好")]
    assert request.max_tokens == 5
    site.model.events = (ChatDelta("一"), ChatDone("length", USAGE, "m"))
    cut = await site.client().responses.create(model="local", input=[{"role": "user", "content": "?"}])
    assert cut.status == "incomplete" and cut.incomplete_details
    assert cut.incomplete_details.reason == "max_output_tokens"


async def test_responses_with_functions(site: Site) -> None:
    site.model.reply, client = _tool_turns, site.client()
    tool: Any = {"type": "function", **WEATHER["function"], "strict": False}
    asked = await client.responses.create(model="local", input="天气", tools=[tool])
    calls: list[Any] = [item for item in asked.output if item.type == "function_call"]
    assert [(call.name, call.call_id) for call in calls] == [("weather", "call_1"), ("weather", "call_2")]
    turns: Any = [{"role": "user", "content": "天气"}, *[item.model_dump() for item in asked.output]]
    turns += [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
    answer = await client.responses.create(model="local", input=turns, tools=[tool])
    assert answer.output_text == "It is sunny."
    roles = [message.role for message in site.model.requests[1].messages]
    assert roles == ["user", "assistant", "tool", "tool"]


async def test_responses_in_a_stream(site: Site) -> None:
    async with site.client().responses.stream(model="local", input="你好") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert final.output_text == "你好。"
    site.model.reply = _tool_turns
    tool: Any = {"type": "function", **WEATHER["function"], "strict": False}
    async with site.client().responses.stream(model="local", input="天气", tools=[tool]) as stream:
        called: list[Any] = list((await stream.get_final_response()).output)
    assert [json.loads(item.arguments)["city"] for item in called] == ["上海", "北京"]


async def test_structured_responses(site: Site) -> None:
    site.model.events = (ChatDelta('{"name": "李雷", "age": 20}'), ChatDone("stop", USAGE, "m"))
    made = await site.client().responses.parse(model="local", input="谁", text_format=Person)
    assert made.output_parsed == Person(name="李雷", age=20)
    assert site.model.requests[0].json_schema and site.model.requests[0].schema_name == "Person"


async def test_a_response_with_citations(site: Site) -> None:
    await site.harness.base("政策")
    _answer(site)
    made: Any = await site.client().responses.create(model="kb:政策", input="退款")
    (annotation,) = made.output[0].content[0].annotations
    assert (annotation.type, annotation.filename, annotation.quote) == ("file_citation", "退款.md", "三天内到账")
    stream = await site.client().responses.create(model="kb:政策", input="退款", stream=True)
    events: list[Any] = [event async for event in stream]
    added = [event for event in events if event.type == "response.output_text.annotation.added"]
    assert added[0].annotation.filename == "退款.md"
