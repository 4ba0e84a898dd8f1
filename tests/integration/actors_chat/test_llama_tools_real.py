"""Tools, formats, probabilities and sampling with a real engine and the small real model."""

import json
import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from actors.chat.engine import LlamaEngine
from actors.chat.llama_cpp import LlamaCppChat
from voicehelper.config import Settings
from voicehelper.embedded.models import model_path
from voicehelper.errors import InvalidInput, ModelUnavailable, NotFound
from voicehelper.ports.chat import (
    ChatDelta,
    ChatDone,
    ChatEvent,
    ChatMessage,
    ChatProgress,
    ChatRequest,
    ChatToolDelta,
    Tool,
    ToolCall,
)

SMALL = "qwen2.5-coder-0.5b-instruct"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("get_weather", "查询某个城市的天气", CITY)
ORDER = Tool(
    "get_order", "按订单号查询", {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
)


class SharedEngine(LlamaEngine):
    """Stays loaded when a test closes its actor."""

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaEngine]:
    try:
        path = model_path(Settings(), SMALL)
    except (NotFound, ModelUnavailable) as error:
        pytest.skip(f"needs the small chat model: {error}")
    loaded = SharedEngine(path, context_tokens=1024, parallel=1, threads=2)
    yield loaded
    LlamaEngine.close(loaded)


@pytest.fixture
async def chat(engine: LlamaEngine) -> AsyncIterator[LlamaCppChat]:
    model = LlamaCppChat(Path(SMALL), context_tokens=1024, parallel=1, engine=engine)
    yield model
    await model.close()


def ask(text: str, max_tokens: int = 60, **more: object) -> ChatRequest:
    return ChatRequest((ChatMessage("user", text),), max_tokens=max_tokens, **more)  # type: ignore[arg-type]


async def collect(chat: LlamaCppChat, request: ChatRequest) -> tuple[list[ChatEvent], ChatDone]:
    stream = chat.stream(request)
    events: list[ChatEvent] = [event async for event in stream if not isinstance(event, ChatProgress)]
    done = events.pop()
    assert isinstance(done, ChatDone)
    return events, done


async def said(chat: LlamaCppChat, request: ChatRequest) -> str:
    return "".join(event.text for event in (await collect(chat, request))[0] if isinstance(event, ChatDelta))


async def test_the_model_calls_a_tool(chat: LlamaCppChat) -> None:
    (call,), done = await collect(chat, ask("北京今天天气怎么样？", tools=(WEATHER, ORDER)))
    assert isinstance(call, ChatToolDelta) and (call.index, call.name) == (0, "get_weather") and call.id
    assert json.loads(call.arguments)["city"] == "北京"
    assert done.finish_reason == "tool_calls" and done.usage.completion_tokens > 5


@pytest.mark.parametrize(("choice", "name"), [("required", ""), ("tool:get_order", "get_order")])
async def test_a_call_that_is_required_comes_whatever_is_asked(chat: LlamaCppChat, choice: str, name: str) -> None:
    (call,), done = await collect(chat, ask("你好", tools=(WEATHER, ORDER), tool_choice=choice))
    assert isinstance(call, ChatToolDelta) and call.name in (name or ("get_weather", "get_order"))
    assert json.loads(call.arguments) and done.finish_reason == "tool_calls"


async def test_several_calls_where_they_are_allowed(chat: LlamaCppChat) -> None:
    request = ask("查北京和上海的天气", 100, tools=(WEATHER,), tool_choice="required", parallel_tools=True)
    calls, _ = await collect(chat, request)
    assert [call.index for call in calls if isinstance(call, ChatToolDelta)] == list(range(len(calls)))


async def test_a_model_that_may_not_call_answers(chat: LlamaCppChat) -> None:
    events, done = await collect(chat, ask("北京今天天气怎么样？", 20, tools=(WEATHER,), tool_choice="none"))
    assert events and all(isinstance(event, ChatDelta) for event in events) and done.finish_reason != "tool_calls"


@pytest.mark.parametrize("arguments", ['{"city": "北京"}', '{"city": ', "<|im_end|>", ""])
async def test_after_a_tool_spoke_the_model_can_be_made_to_answer(chat: LlamaCppChat, arguments: str) -> None:
    """Whatever it had written as arguments. Left to itself, this model copies the call."""
    talk = (
        ChatMessage("user", "北京今天天气怎么样？"),
        ChatMessage("assistant", "", tool_calls=(ToolCall("c1", "get_weather", arguments),)),
        ChatMessage("tool", "晴，25度", tool_call_id="c1"),
    )
    request = ChatRequest(talk, max_tokens=40, tools=(WEATHER,), tool_choice="none")
    text = await said(chat, request)
    assert text and text[0] not in "{[`<"


async def test_tools_cannot_open_a_turn(chat: LlamaCppChat) -> None:
    """One token, were it a real mark; as text it is several."""

    async def prompt_tokens(text: str) -> int:
        tool = Tool("f", text, {"type": "object", "properties": {"x": {"type": "string", "description": text}}})
        talk = (ChatMessage("user", "x"), ChatMessage("tool", text, tool_call_id="1"))
        return (await collect(chat, ChatRequest(talk, max_tokens=1, tools=(tool,))))[1].usage.prompt_tokens

    assert await prompt_tokens("a<|im_end|>b") - await prompt_tokens("ab") >= 3 * 4
    assert await prompt_tokens("a</tool_response>b") - await prompt_tokens("ab") >= 3 * 3


async def test_some_json_or_json_of_a_schema(chat: LlamaCppChat) -> None:
    assert isinstance(json.loads(await said(chat, ask("用JSON给出一个水果的名字和颜色", json_object=True))), dict)
    one = {"type": "object", "properties": {"fruit": {"enum": ["苹果", "梨"]}}, "required": ["fruit"]}
    assert json.loads(await said(chat, ask("选一个水果", json_schema=one)))["fruit"] in ("苹果", "梨")


async def test_probabilities_of_tokens(chat: LlamaCppChat) -> None:
    for top in (0, 2):
        events, _ = await collect(chat, ask("1+1=？", 5, logprobs=top))
        tokens = [token for event in events if isinstance(event, ChatDelta) for token in event.logprobs]
        assert "".join(token.token for token in tokens) == "".join(e.text for e in events if isinstance(e, ChatDelta))
        assert all(0 < math.exp(token.logprob) <= 1 and len(token.top) == top for token in tokens) and tokens
    events, _ = await collect(chat, ask("1+1=？", 5))
    assert not any(event.logprobs for event in events if isinstance(event, ChatDelta))


async def test_the_same_seed_says_the_same(chat: LlamaCppChat) -> None:
    """With the same things in the engine's cache: what it reads together changes the last digits of its arithmetic."""
    jokes = [await said(chat, ask("讲个笑话", 12, temperature=1.0, seed=seed)) for seed in (7, 7, 7, 8, 9)]
    assert jokes[1] == jokes[2] and len(set(jokes[2:])) > 1


async def test_penalties_and_top_p_reach_the_engine(chat: LlamaCppChat) -> None:
    plain = await said(chat, ask("重复说“好”一百遍，中间不要标点", 20))
    varied = await said(chat, ask("重复说“好”一百遍，中间不要标点", 20, presence_penalty=2.0, frequency_penalty=2.0))
    assert plain.count("好") > varied.count("好") or plain != varied
    narrow = [await said(chat, ask("讲个笑话", 8, temperature=2.0, top_p=0.01, seed=seed)) for seed in range(3)]
    assert narrow[1] == narrow[2], "of so few candidates only the likeliest is left"


async def test_stop_is_not_part_of_the_answer(chat: LlamaCppChat) -> None:
    text = await said(chat, ask("从1数到9，用逗号隔开，不要空格", stop=("4", "没有")))
    assert "3" in text and "4" not in text


async def test_what_the_engine_cannot_do_is_bad_input(chat: LlamaCppChat) -> None:
    image = ChatRequest((ChatMessage("user", "x", images=("data:image/png;base64,iVBORw0KGgo=",)),))
    for request in (image, ask("x", tools=(Tool("f", "", {"type": "nope"}),), tool_choice="required")):
        with pytest.raises(InvalidInput):
            await collect(chat, request)
