"""What each vendor is asked, beside OpenAI's format."""

from uuid import uuid4

import pytest

from actors.chat.providers import PROVIDERS, EntryOptions, options_of, provider_of, shape_of
from actors.chat.shaping import shaped_body
from voicehelper.errors import ModelUnavailable
from voicehelper.models import providers as named
from voicehelper.models.model import ModelEntry
from voicehelper.ports.chat import ChatMessage, ChatRequest, Tool

SCHEMA = {"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}
EVERYTHING = ChatRequest(
    (ChatMessage("system", "简短"), ChatMessage("user", "你好")),
    max_tokens=9,
    temperature=0.0,
    top_p=0.9,
    seed=1,
    presence_penalty=0.1,
    frequency_penalty=0.1,
    logprobs=1,
    user="u",
    tools=(Tool("f"),),
    parallel_tools=True,
)


def body_of(provider: str, model: str = "m", request: ChatRequest = EVERYTHING, **options) -> dict:
    return shaped_body(request, shape_of(PROVIDERS[provider], model, EntryOptions(**options)), model)


def test_the_catalogue_names_the_same_providers() -> None:
    assert set(PROVIDERS) == named.PROVIDERS
    assert {name for name, provider in PROVIDERS.items() if provider.base_url} == named.OWN_ADDRESS


@pytest.mark.parametrize(
    ("provider", "model", "absent"),
    [
        ("openai_compatible", "m", set()),
        ("vllm", "m", set()),
        ("openai", "gpt-4.1", {"max_tokens"}),
        (
            "openai",
            "o3-mini",
            {"max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"},
        ),
        (
            "openai",
            "gpt-5-mini",
            {"max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"},
        ),
        ("qwen", "qwen-plus", {"frequency_penalty", "user"}),
        ("ernie", "ernie-4.5-turbo-128k", {"logprobs", "top_logprobs"}),
        ("deepseek", "deepseek-chat", {"seed", "user", "parallel_tool_calls"}),
    ],
)
def test_what_a_model_does_not_take_is_left_out(provider, model, absent) -> None:
    plain = set(body_of("openai_compatible"))
    body = body_of(provider, model)
    assert plain - set(body) == absent
    assert body["stream"] is True and body["stream_options"] == {"include_usage": True} and body["model"] == model


def test_openai_calls_it_max_completion_tokens() -> None:
    assert body_of("openai", "gpt-4.1")["max_completion_tokens"] == 9
    assert body_of("openai", "gpt-4.1", max_tokens_field="max_tokens")["max_tokens"] == 9


def test_temperatures_are_kept_in_what_the_vendor_takes() -> None:
    assert body_of("ernie")["temperature"] == 0.01
    hot = ChatRequest(EVERYTHING.messages, temperature=2.0)
    assert (body_of("ernie", request=hot)["temperature"], body_of("qwen", request=hot)["temperature"]) == (1.0, 1.99)


def test_schemas_where_they_are_not_known() -> None:
    asked = ChatRequest(EVERYTHING.messages, json_schema=SCHEMA)
    assert body_of("openai", "gpt-4.1", asked)["response_format"]["type"] == "json_schema"
    for provider, model in (("deepseek", "deepseek-chat"), ("qwen", "qwen-plus"), ("openai", "gpt-4-turbo")):
        body = body_of(provider, model, asked)
        assert body["response_format"] == {"type": "json_object"}
        assert body["messages"][0]["content"].startswith("简短\n\n") and '"days"' in body["messages"][0]["content"]
    assert body_of("qwen", "qwen-plus", asked, schemas="json_schema")["response_format"]["type"] == "json_schema"
    told = body_of("openai_compatible", "m", asked, schemas="none")
    assert "response_format" not in told and '"days"' in told["messages"][0]["content"]


def test_json_mode_wants_the_word() -> None:
    asked = ChatRequest((ChatMessage("user", "你好"),), json_object=True)
    assert body_of("deepseek", request=asked)["messages"][0]["role"] == "system"
    knows = ChatRequest((ChatMessage("user", "用JSON回答"),), json_object=True)
    assert len(body_of("deepseek", request=knows)["messages"]) == 1
    assert len(body_of("vllm", request=asked)["messages"]) == 1


def test_options_of_an_entry() -> None:
    body = body_of("qwen", "qwen-plus", enable_thinking=False, body={"top_k": 5}, drop=[])
    assert body["enable_thinking"] is False and body["top_k"] == 5 and "user" in body
    entry = ModelEntry(uuid4(), "ours", "qwen", options={"silence_s": "long", "somebody_elses": 1})
    with pytest.raises(ModelUnavailable) as caught:
        options_of(entry)
    assert caught.value.details["options"] == ["silence_s"]
    with pytest.raises(ModelUnavailable):
        provider_of(ModelEntry(uuid4(), "ours", "nobody"))
