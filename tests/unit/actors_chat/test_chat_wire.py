import pytest

from actors.chat.strict_schema import is_strict
from actors.chat.wire import read_chunk, request_body
from voicehelper.errors import ModelUnavailable
from voicehelper.ports.chat import ChatMessage, ChatRequest, ChatToolDelta, ChatUsage, Tool, ToolCall

WEATHER = Tool("get_weather", "The weather", {"type": "object", "properties": {"city": {"type": "string"}}})
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def test_only_what_is_asked_is_said() -> None:
    body = request_body(ChatRequest((ChatMessage("user", "你好"),), temperature=None))
    assert body == {"messages": [{"role": "user", "content": "你好"}], "max_tokens": 512}


def test_everything_that_can_be_asked() -> None:
    request = ChatRequest(
        (ChatMessage("user", "看", images=("https://x/y.png",), name="li"),),
        max_tokens=7,
        temperature=0.5,
        stop=("。",),
        json_schema=OPEN | {"additionalProperties": False},
        schema_name="thing",
        tools=(WEATHER, Tool("now", strict=True)),
        tool_choice="tool:now",
        parallel_tools=False,
        top_p=0.9,
        seed=3,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=2,
        user="u1",
    )
    body = request_body(request)
    assert body["messages"] == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "看"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}],
            "name": "li",
        }
    ]
    sampling = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")
    assert [body[name] for name in sampling] == [0.5, 0.9, 3, 0.1, 0.2]
    assert (body["logprobs"], body["top_logprobs"], body["user"], body["stop"]) == (True, 2, "u1", ["。"])
    assert body["response_format"]["json_schema"]["name"] == "thing"
    assert body["response_format"]["json_schema"]["strict"] is True
    assert body["tools"][0]["function"] == {
        "name": "get_weather",
        "description": "The weather",
        "parameters": WEATHER.parameters,
    }
    assert body["tools"][1]["function"]["strict"] is True
    assert body["tool_choice"] == {"type": "function", "function": {"name": "now"}}
    assert body["parallel_tool_calls"] is False


@pytest.mark.parametrize(("choice", "said"), [("auto", None), ("none", "none"), ("required", "required")])
def test_tool_choice(choice, said) -> None:
    body = request_body(ChatRequest((ChatMessage("user", "x"),), tools=(WEATHER,), tool_choice=choice))
    assert body.get("tool_choice") == said
    assert "tool_choice" not in request_body(ChatRequest((ChatMessage("user", "x"),), tool_choice=choice))


def test_calls_and_their_answers() -> None:
    turns = (
        ChatMessage("assistant", "", tool_calls=(ToolCall("c1", "get_weather", '{"city":"上海"}'),)),
        ChatMessage("tool", "晴", tool_call_id="c1"),
    )
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"上海"}'}}
    assert request_body(ChatRequest(turns))["messages"] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "晴", "tool_call_id": "c1"},
    ]


def test_lone_surrogates_do_not_break_json() -> None:
    body = request_body(ChatRequest((ChatMessage("user", "a\ud800b"),)))
    assert body["messages"][0]["content"] == "a?b"


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (OPEN | {"additionalProperties": False}, True),
        (OPEN, False),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "array", "items": OPEN}, False),
        ({"type": "string"}, True),
        ({"$ref": "#/$defs/x", "$defs": {"x": OPEN}}, False),
        ({"anyOf": [{"type": "null"}, OPEN | {"additionalProperties": False}]}, True),
    ],
)
def test_strict_schemas(schema, strict) -> None:
    assert is_strict(schema) is strict


def test_chunks_of_servers_that_do_it_their_way() -> None:
    whole = {"choices": [{"message": {"content": "好", "tool_calls": None}, "finish_reason": "function_call"}]}
    assert read_chunk(b'{"choices":null,"usage":null}').text == ""
    assert read_chunk({"choices": []}).finish is None
    assert (read_chunk(whole).text, read_chunk(whole).finish) == ("好", "tool_calls")
    parsed = {"choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}, "id": "c"}]}}]}
    assert list(read_chunk(parsed).tools) == [ChatToolDelta(0, "c", "f", '{"a":1}')]
    assert read_chunk({"choices": [], "usage": {"prompt_tokens": 3}}).usage == ChatUsage(3, 0)
    thinking = read_chunk({"choices": [{"delta": {"reasoning": "hm"}}]})
    assert thinking.progress and not thinking.text


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[1]",
        b'"x"',
        b'{"choices": "none"}',
        b'{"choices": [7]}',
        b'{"choices": [{"delta": {"content": 5}}]}',
        b'{"choices": [{"delta": {"tool_calls": 5}}]}',
        b'{"choices": [{"delta": {"content": "\xff"}}]}',
        b'{"usage": 3}',
    ],
)
def test_what_is_no_chunk(raw) -> None:
    with pytest.raises(ModelUnavailable):
        read_chunk(raw)
