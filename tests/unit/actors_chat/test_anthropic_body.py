import pytest

from actors.chat.anthropic_body import blank_stops, messages_body
from actors.chat.providers import PROVIDERS, EntryOptions, shape_of
from voicehelper.errors import InvalidInput
from voicehelper.ports.chat import ChatMessage, ChatRequest, Tool, ToolCall

SCHEMA = {"type": "object", "properties": {"days": {"type": "integer", "minimum": 0}}, "required": ["days"]}
NEW, MIDDLE, OLD = "claude-opus-4-7", "claude-sonnet-4-5", "claude-3-5-haiku-20241022"


def body_of(request: ChatRequest, model: str = MIDDLE, **options) -> dict:
    return messages_body(request, shape_of(PROVIDERS["anthropic"], model, EntryOptions(**options)), model)


def ask(*messages: ChatMessage, **fields) -> ChatRequest:
    return ChatRequest(messages or (ChatMessage("user", "你好"),), **fields)


def test_a_plain_question() -> None:
    assert body_of(ask(ChatMessage("system", "简短"), ChatMessage("user", "你好"), temperature=0.3, user="u1")) == {
        "model": MIDDLE,
        "max_tokens": 512,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "你好"}]}],
        "stream": True,
        "system": [{"type": "text", "text": "简短"}],
        "metadata": {"user_id": "u1"},
        "temperature": 0.3,
    }


@pytest.mark.parametrize(("model", "takes"), [(NEW, False), ("claude-sonnet-5", False), (MIDDLE, True), (OLD, True)])
def test_sampling_is_for_older_models(model, takes) -> None:
    assert ("temperature" in body_of(ask(temperature=0.0), model)) is takes


def test_sampling_is_one_of_two_and_within_bounds() -> None:
    body = body_of(ask(temperature=1.7, top_p=0.9))
    assert body["temperature"] == 1.0 and "top_p" not in body
    assert body_of(ask(temperature=None, top_p=0.9))["top_p"] == 0.9


def test_a_conversation_with_tools() -> None:
    calls = (ToolCall("t1", "weather", '{"city":"上海"}'), ToolCall("t2", "now", ""), ToolCall("t3", "now", "{broken"))
    body = body_of(
        ask(
            ChatMessage("user", "天气？", images=("data:image/png;base64,iVBO", "https://x/y.png")),
            ChatMessage("assistant", "我查。", tool_calls=calls),
            ChatMessage("tool", "晴", tool_call_id="t1"),
            ChatMessage("tool", "三点", tool_call_id="t2"),
            ChatMessage("user", ""),
            ChatMessage("user", "谢谢"),
        )
    )
    user, assistant, results = body["messages"]
    assert user["content"][0]["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBO"}
    assert user["content"][1]["source"] == {"type": "url", "url": "https://x/y.png"}
    assert [block["type"] for block in assistant["content"]] == ["text", "tool_use", "tool_use", "tool_use"]
    assert [block.get("input") for block in assistant["content"][1:]] == [
        {"city": "上海"},
        {},
        {"arguments": "{broken"},
    ]
    assert [block["type"] for block in results["content"]] == ["tool_result", "tool_result", "text"]
    assert results["content"][0] == {"type": "tool_result", "tool_use_id": "t1", "content": "晴"}


@pytest.mark.parametrize(
    ("choice", "parallel", "said"),
    [
        ("auto", None, {"type": "auto"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ("none", False, {"type": "none"}),
        ("tool:now", None, {"type": "tool", "name": "now"}),
    ],
)
def test_tool_choice(choice, parallel, said) -> None:
    body = body_of(ask(tools=(Tool("now", "The time", strict=True),), tool_choice=choice, parallel_tools=parallel))
    assert body["tool_choice"] == said
    schema = {"type": "object", "properties": {}}
    assert body["tools"] == [{"name": "now", "input_schema": schema, "description": "The time", "strict": True}]


def test_schemas() -> None:
    constrained = body_of(ask(json_schema=SCHEMA))["output_config"]["format"]
    assert constrained["type"] == "json_schema" and constrained["schema"]["additionalProperties"] is False
    made_up = body_of(ask(json_schema=SCHEMA, schema_name="days"), OLD)
    assert made_up["tool_choice"] == {"type": "tool", "name": "days"} and "output_config" not in made_up
    told = body_of(ask(json_object=True))
    assert "JSON" in told["system"][0]["text"]
    with pytest.raises(InvalidInput):
        body_of(ask(json_schema={"what": "ever"}))


def test_blank_stop_words_are_ours_to_find() -> None:
    request = ask(stop=("\n", "完", ""))
    assert body_of(request)["stop_sequences"] == ["完"] and blank_stops(request) == ("\n",)


def test_the_stable_part_is_cached_where_it_is_wanted() -> None:
    request = ask(ChatMessage("system", "规则"), ChatMessage("user", "你好"))
    assert body_of(request, cache_prompt=True)["system"][0]["cache_control"] == {"type": "ephemeral"}


def test_a_beginning_to_be_continued() -> None:
    body = body_of(ask(ChatMessage("user", "说"), ChatMessage("assistant", "三个 ")))
    assert body["messages"][-1] == {"role": "assistant", "content": [{"type": "text", "text": "三个"}]}
