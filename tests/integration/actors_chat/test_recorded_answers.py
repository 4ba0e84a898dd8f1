"""Every adapter against its vendor's wire format (tests/data/vendors), good and bad, over a real socket."""

from uuid import uuid4

import pytest

from actors.chat.backends import VendorBackends
from tests.fakes.vendor_server import Exchange, Recording, VendorServer, replayed, vendor_server
from voicehelper.errors import (
    BrokenStream,
    ContentFiltered,
    ContextTooLong,
    InvalidInput,
    ModelUnavailable,
    Overloaded,
    VoiceHelperError,
)
from voicehelper.models.model import ModelEntry
from voicehelper.ports.chat import (
    ChatDelta,
    ChatDone,
    ChatEvent,
    ChatMessage,
    ChatRequest,
    ChatToolDelta,
    ChatUsage,
    FakeChatModel,
    TokenLogprob,
)

SCHEMA = {"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}
ASK = ChatRequest((ChatMessage("user", "退款多久到账？"),), max_tokens=9)


class NoSecrets:
    def key_of(self, entry: ModelEntry) -> str:
        return "sk-secret"


async def played(
    provider: str, name: str, request: ChatRequest = ASK, piece: int = 0, **fields
) -> tuple[list[ChatEvent], VoiceHelperError | None]:
    """The events that came, and the error that ended them."""
    server = VendorServer(replayed(Recording.load(provider, name), piece), Exchange)
    path = "" if provider == "anthropic" else "/v1"
    backends = VendorBackends(FakeChatModel(), NoSecrets())
    events: list[ChatEvent] = []
    async with vendor_server(server, path):
        fields.setdefault("remote", "claude-sonnet-4-6" if provider == "anthropic" else "m-1")
        entry = ModelEntry(uuid4(), "ours", provider, base_url=server.url, **fields)
        try:
            async for event in backends.chat(entry).stream(request):
                events.append(event)
        except VoiceHelperError as error:
            return events, error
        finally:
            await backends.close()
    return events, None


def text_of(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ChatDelta))


def calls_of(events: list[ChatEvent]) -> dict[int, tuple[str, str, str]]:
    """By index: id, name, and the whole arguments."""
    calls: dict[int, tuple[str, str, str]] = {}
    for event in events:
        if isinstance(event, ChatToolDelta):
            call_id, name, arguments = calls.get(event.index, ("", "", ""))
            calls[event.index] = (call_id or event.id, name or event.name, arguments + event.arguments)
    return calls


WEATHER = '{"city":"上海"}'
SAID = [
    ("openai", "text", "三个工作日。", "stop", ChatUsage(1117, 5, 1024)),
    ("openai", "json", '{"days":3}', "stop", ChatUsage(40, 6)),
    ("openai", "reasoning", "7", "stop", ChatUsage(20, 331, 0, 320)),
    ("openai", "length", "一二", "length", ChatUsage(9, 2)),
    ("openai", "filtered_within", "首先", "content_filter", ChatUsage(9, 2)),
    ("qwen", "text", "三个工作日。", "stop", ChatUsage(3019, 104, 2048)),
    ("qwen", "thinking", "三个工作日。", "stop", ChatUsage(10, 360, 0, 322)),
    ("ernie", "text", "三个工作日。", "stop", ChatUsage(13, 5)),
    ("deepseek", "text", "三个工作日。", "stop", ChatUsage(640, 9, 512)),
    ("deepseek", "reasoner", "9.8", "stop", ChatUsage(17, 120, 0, 117)),
    ("vllm", "text", "三个工作日。", "stop", ChatUsage(31, 7, 16)),
    ("anthropic", "text", "三个工作日。", "stop", ChatUsage(25, 15)),
    ("anthropic", "cached", "好。", "stop", ChatUsage(2007, 6, 1886)),
    ("anthropic", "thinking", "453", "stop", ChatUsage(25, 60, 0, 50)),
    ("anthropic", "length", "一二", "length", ChatUsage(25, 2)),
    ("anthropic", "stop_sequence", "一二", "stop", ChatUsage(25, 2)),
    ("anthropic", "pause", "一", "stop", ChatUsage(25, 1)),
    ("anthropic", "refusal_within", "首先", "content_filter", ChatUsage(25, 4)),
]


@pytest.mark.parametrize("piece", [0, 7, 100_000])
@pytest.mark.parametrize(("provider", "name", "text", "finish", "usage"), SAID)
async def test_answers(provider, name, text, finish, usage, piece) -> None:
    events, error = await played(provider, name, piece=piece)
    assert error is None
    assert text_of(events) == text
    model = "claude-sonnet-4-6" if provider == "anthropic" else "m-1"
    assert events[-1] == ChatDone(finish, usage, model)


@pytest.mark.parametrize(
    ("provider", "calls"),
    [
        (
            "openai",
            {0: ("call_DdmO9pD3xa9XTPNJ32zg2hcA", "get_weather", WEATHER), 1: ("call_6f2R", "get_time", "{}")},
        ),
        ("qwen", {0: ("call_8f08d2b0", "get_weather", '{"city": "上海"}')}),
        ("ernie", {0: ("call_lf0x", "get_weather", WEATHER)}),
        ("deepseek", {0: ("call_0_2f", "get_weather", WEATHER)}),
        ("vllm", {0: ("chatcmpl-tool-9c1", "get_weather", '{"city": "上海"}')}),
        (
            "anthropic",
            {
                0: ("toolu_01T1x1fJ34qAmk2tNTrN7Up6", "get_weather", '{"city": "上海"}'),
                1: ("toolu_02", "get_time", "{}"),
            },
        ),
    ],
)
async def test_tool_calls(provider, calls) -> None:
    events, error = await played(provider, "tools")
    assert error is None and calls_of(events) == calls
    assert isinstance(events[-1], ChatDone) and events[-1].finish_reason == "tool_calls"
    firsts: dict[int, ChatToolDelta] = {}
    for event in events:
        if isinstance(event, ChatToolDelta):
            firsts.setdefault(event.index, event)
    assert all(first.id and first.name for first in firsts.values())


async def test_logprobs() -> None:
    events, _ = await played("openai", "logprobs")
    told = TokenLogprob("是", -0.31725305, (("是", -0.31725305), ("否", -1.3190403)))
    assert events[0] == ChatDelta("是", (told,))


async def test_a_schema_by_a_made_up_tool() -> None:
    request = ChatRequest(ASK.messages, json_schema=SCHEMA)
    events, error = await played("anthropic", "json_tool", request, remote="claude-3-5-haiku-20241022")
    assert error is None and text_of(events) == '{"days": 3}'
    assert isinstance(events[-1], ChatDone) and events[-1].finish_reason == "stop"


FAILED = [
    ("openai", "refusal", ContentFiltered, None),
    ("openai", "filtered", ContentFiltered, None),
    ("openai", "flagged", ContentFiltered, None),
    ("openai", "azure_filter", ContentFiltered, None),
    ("openai", "broken_before", BrokenStream, None),
    ("openai", "error_first", Overloaded, 5.0),
    ("openai", "rate_limited", Overloaded, 7.5),
    ("openai", "rate_limited_ms", Overloaded, 1.53),
    ("openai", "no_quota", ModelUnavailable, None),
    ("openai", "too_long", ContextTooLong, None),
    ("openai", "bad_parameter", InvalidInput, None),
    ("openai", "bad_key", ModelUnavailable, None),
    ("openai", "no_region", ModelUnavailable, None),
    ("openai", "no_model", ModelUnavailable, None),
    ("openai", "failed", ModelUnavailable, None),
    ("openai", "overloaded", ModelUnavailable, 3.0),
    ("openai", "bad_gateway", ModelUnavailable, None),
    ("qwen", "filtered", ContentFiltered, None),
    ("qwen", "native_filtered", ContentFiltered, None),
    ("qwen", "too_long", ContextTooLong, None),
    ("qwen", "busy", Overloaded, 5.0),
    ("qwen", "tokens_used_up", Overloaded, 5.0),
    ("qwen", "arrearage", ModelUnavailable, None),
    ("qwen", "bad_key", ModelUnavailable, None),
    ("qwen", "no_model", ModelUnavailable, None),
    ("qwen", "failed", ModelUnavailable, None),
    ("ernie", "filtered", ContentFiltered, None),
    ("ernie", "unsafe", ContentFiltered, None),
    ("ernie", "busy", Overloaded, 5.0),
    ("ernie", "too_long", ContextTooLong, None),
    ("ernie", "too_many_characters", ContextTooLong, None),
    ("ernie", "bad_key", ModelUnavailable, None),
    ("ernie", "no_model", ModelUnavailable, None),
    ("ernie", "failed", ModelUnavailable, None),
    ("deepseek", "no_balance", ModelUnavailable, None),
    ("deepseek", "risk", ContentFiltered, None),
    ("deepseek", "too_long", ContextTooLong, None),
    ("deepseek", "no_model", ModelUnavailable, None),
    ("deepseek", "bad_parameter", InvalidInput, None),
    ("deepseek", "bad_key", ModelUnavailable, None),
    ("deepseek", "busy", Overloaded, 5.0),
    ("deepseek", "overloaded", ModelUnavailable, None),
    ("vllm", "too_long", ContextTooLong, None),
    ("vllm", "too_long_flat", ContextTooLong, None),
    ("vllm", "no_model", ModelUnavailable, None),
    ("vllm", "bad_parameter", InvalidInput, None),
    ("vllm", "dead", ModelUnavailable, None),
    ("anthropic", "refusal", ContentFiltered, None),
    ("anthropic", "filtered", ContentFiltered, None),
    ("anthropic", "overloaded_first", ModelUnavailable, None),
    ("anthropic", "rate_limited_first", Overloaded, 5.0),
    ("anthropic", "busy", Overloaded, 17.0),
    ("anthropic", "overloaded", ModelUnavailable, None),
    ("anthropic", "too_long", ContextTooLong, None),
    ("anthropic", "too_long_with_output", ContextTooLong, None),
    ("anthropic", "too_large", ContextTooLong, None),
    ("anthropic", "no_credit", ModelUnavailable, None),
    ("anthropic", "bad_parameter", InvalidInput, None),
    ("anthropic", "bad_key", ModelUnavailable, None),
    ("anthropic", "no_permission", ModelUnavailable, None),
    ("anthropic", "no_model", ModelUnavailable, None),
    ("anthropic", "failed", ModelUnavailable, None),
    ("anthropic", "timed_out", ModelUnavailable, None),
]


@pytest.mark.parametrize(("provider", "name", "expected", "retry_after"), FAILED)
async def test_failures_before_the_answer(provider, name, expected, retry_after) -> None:
    events, error = await played(provider, name)
    assert type(error) is expected and error.retry_after == retry_after
    assert not any(isinstance(event, ChatDelta | ChatToolDelta) for event in events)
    assert "sk-" not in str(error) and "org-" not in f"{error}{error.details}"


@pytest.mark.parametrize(
    ("provider", "name", "said", "expected"),
    [
        ("openai", "broken", "三个工作", BrokenStream),
        ("openai", "error_within", "三个", BrokenStream),
        ("openai", "wrong_shape", "三", BrokenStream),
        ("qwen", "filtered_within", "三个", ContentFiltered),
        ("deepseek", "out_of_resources", "三个", BrokenStream),
        ("vllm", "error_within", "三个", BrokenStream),
        ("anthropic", "broken", "三个", BrokenStream),
        ("anthropic", "overloaded_within", "三个", BrokenStream),
        ("anthropic", "wrong_shape", "三个", BrokenStream),
    ],
)
async def test_failures_within_the_answer(provider, name, said, expected) -> None:
    events, error = await played(provider, name)
    assert type(error) is expected
    assert text_of(events) == said, "what was said before stays said"


def test_every_recording_is_played() -> None:
    from tests.fakes.vendor_server import RECORDINGS

    tested = {(row[0], row[1]) for row in (*SAID, *FAILED)}
    tested |= {(provider, "tools") for provider in ("openai", "qwen", "ernie", "deepseek", "vllm", "anthropic")}
    tested |= {("openai", "logprobs"), ("anthropic", "json_tool"), ("openai", "broken"), ("openai", "error_within")}
    tested |= {("openai", "wrong_shape"), ("qwen", "filtered_within"), ("deepseek", "out_of_resources")}
    tested |= {("vllm", "error_within"), *(("anthropic", n) for n in ("broken", "overloaded_within", "wrong_shape"))}
    assert {(path.parent.name, path.stem) for path in RECORDINGS.glob("*/*.http")} == tested
