"""The vendors we know, as data: where each is, and in what it differs from OpenAI's format.

Where each difference is from: docs/providers.md. An entry's options override any of them (`EntryOptions`).
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from voicehelper.errors import ModelUnavailable
from voicehelper.models.model import ModelEntry

Wire = Literal["openai", "anthropic"]
Schemas = Literal["json_schema", "json_object", "tool", "none"]

_DASHSCOPE = "https://dashscope.aliyuncs.com"
_ANTHROPIC_2023 = (("anthropic-version", "2023-06-01"),)
_PENALTIES = frozenset({"presence_penalty", "frequency_penalty"})
_LOGPROBS = frozenset({"logprobs", "top_logprobs"})
_SAMPLING = frozenset({"temperature", "top_p"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """How some models differ from others of their provider.

    Attributes:
        models: which, by the remote name; the first that matches counts.
        drop: fields of the body that they refuse or do not know.
        schemas: how they are held to a JSON schema: `json_schema` (constrained), `json_object` (told the schema, held
            to JSON), `tool` (made to call a tool with the schema), `none` (told the schema).
        headers: sent instead of the SDK's own.
    """

    models: re.Pattern[str]
    drop: frozenset[str] = frozenset()
    schemas: Schemas | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Provider:
    """A vendor.

    Attributes:
        wire: which format, and so which SDK.
        base_url: where it is; empty where the entry has to say.
        needs_key: whether it serves nobody without a key.
        max_tokens_field: its name for the most tokens to produce.
        drop, schemas: as in `Dialect`, for models that no dialect names.
        temperature: least and most it takes.
        json_word: it refuses JSON mode where no message mentions JSON.
        busy_words: codes that mean `busy` here and something else elsewhere.
        embed_batch: most texts in one call of its embedding models.
        base64_vectors: it knows OpenAI's `encoding_format: base64`.
        rerank: where its rerankers are (a path below the base URL, or a whole URL), by the remote name.
    """

    name: str
    wire: Wire = "openai"
    base_url: str = ""
    needs_key: bool = True
    max_tokens_field: str = "max_tokens"
    drop: frozenset[str] = frozenset()
    schemas: Schemas = "json_schema"
    dialects: tuple[Dialect, ...] = ()
    temperature: tuple[float, float] = (0.0, 2.0)
    json_word: bool = False
    busy_words: frozenset[str] = frozenset()
    embed_batch: int = 64
    base64_vectors: bool = False
    rerank: tuple[tuple[re.Pattern[str], str], ...] = ((re.compile(r""), "/rerank"),)


OPENAI_COMPATIBLE: Final = Provider("openai_compatible", needs_key=False)

PROVIDERS: Final[dict[str, Provider]] = {
    provider.name: provider
    for provider in (
        OPENAI_COMPATIBLE,
        Provider("vllm", needs_key=False, base64_vectors=True),
        Provider(
            "openai",
            base_url="https://api.openai.com/v1",
            max_tokens_field="max_completion_tokens",  # reasoning models refuse max_tokens, the others take both
            dialects=(
                Dialect(re.compile(r"o\d|gpt-[5-9](?!.*chat)"), _SAMPLING | _PENALTIES | _LOGPROBS),
                Dialect(re.compile(r"gpt-(3|4(?!o|\.))"), schemas="json_object"),
            ),
            json_word=True,
            embed_batch=256,
            base64_vectors=True,
        ),
        Provider(
            "qwen",
            base_url=f"{_DASHSCOPE}/compatible-mode/v1",
            drop=frozenset({"frequency_penalty", "user"}),
            schemas="json_object",  # json_schema is for few of its models; `schemas` of the entry's options says so
            temperature=(0.0, 1.99),
            json_word=True,
            # the tokens a minute are used up, not the account: with this vendor it passes by itself
            busy_words=frozenset({"insufficient_quota"}),
            embed_batch=10,
            rerank=(
                (
                    re.compile(r"gte-rerank|qwen3-vl-rerank"),
                    f"{_DASHSCOPE}/api/v1/services/rerank/text-rerank/text-rerank",
                ),
                (re.compile(r""), f"{_DASHSCOPE}/compatible-api/v1/reranks"),
            ),
        ),
        Provider(
            "ernie",
            base_url="https://qianfan.baidubce.com/v2",
            drop=_LOGPROBS,
            schemas="json_object",
            temperature=(0.01, 1.0),
            embed_batch=16,
            rerank=((re.compile(r""), "/rerankers"),),
        ),
        Provider(
            "deepseek",
            base_url="https://api.deepseek.com",
            drop=frozenset({"seed", "user", "parallel_tool_calls"}),
            schemas="json_object",
            dialects=(
                Dialect(
                    re.compile(r"deepseek-reasoner"),
                    _SAMPLING | _PENALTIES | _LOGPROBS,
                ),
            ),
            json_word=True,
        ),
        Provider(
            "anthropic",
            wire="anthropic",
            base_url="https://api.anthropic.com",
            dialects=(
                # Models before 4.7 take sampling parameters, yet only by the API's version before 2026-10-21, the SDK's
                # own; those before 4.5 cannot be constrained to a schema.
                Dialect(
                    re.compile(r"claude-(2|3|instant|(opus|sonnet)-4-(0|2\d{7}))"),
                    schemas="tool",
                    headers=_ANTHROPIC_2023,
                ),
                Dialect(re.compile(r"claude-(opus|sonnet|haiku)-4-[1-6]"), headers=_ANTHROPIC_2023),
                Dialect(re.compile(r""), _SAMPLING),
            ),
            temperature=(0.0, 1.0),
        ),
    )
}


class EntryOptions(BaseModel):
    """`ModelEntry.options`, read. What is not known here is left alone: others may read it.

    Attributes:
        max_tokens_field, schemas, drop: instead of the provider's; `drop: []` sends everything.
        body: fields put into every request as they are, e.g. `{"reasoning_effort": "low"}`.
        headers: sent beside the SDK's own.
        enable_thinking: of Qwen's models; sent only where it is set.
        adapter: a LoRA's name, which vLLM takes in the model's place.
        silence_s: how long the vendor may be silent.
        queue: requests waiting for one of `limits.parallel` places.
        cache_prompt: Anthropic only: keep system prompt and tools in its cache (written at 1.25 times the price).
        dimensions, batch: of an embedding model: its vectors' length, and most texts a call.
        query_prefix, passage_prefix: put before texts to be embedded.
        max_tokens: of a text to be embedded.
        rerank_url: where the reranker is.
    """

    model_config = ConfigDict(extra="ignore")

    max_tokens_field: str = ""
    schemas: Schemas | None = None
    drop: frozenset[str] | None = None
    body: dict[str, Any] = {}
    headers: dict[str, str] = {}
    enable_thinking: bool | None = None
    adapter: str = ""
    silence_s: float = 60.0
    queue: int = 16
    cache_prompt: bool = False
    dimensions: int = 0
    batch: int = 0
    query_prefix: str = ""
    passage_prefix: str = ""
    max_tokens: int = 0
    rerank_url: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model takes: its provider's data, its dialect and its entry's options in one."""

    provider: Provider
    max_tokens_field: str
    drop: frozenset[str]
    schemas: Schemas
    headers: dict[str, str]
    options: EntryOptions = field(default_factory=EntryOptions)


def shape_of(provider: Provider, model: str, options: EntryOptions | None = None) -> Shape:
    """How requests to `model` (the remote name) are written."""
    options = options or EntryOptions()
    dialect = next((each for each in provider.dialects if each.models.match(model)), None)
    drop = options.drop if options.drop is not None else (dialect.drop if dialect else frozenset()) | provider.drop
    schemas = options.schemas or (dialect.schemas if dialect else None) or provider.schemas
    headers = dict(dialect.headers if dialect else ()) | options.headers
    return Shape(provider, options.max_tokens_field or provider.max_tokens_field, drop, schemas, headers, options)


def provider_of(entry: ModelEntry) -> Provider:
    """Raises `ModelUnavailable` for a provider that is not known."""
    if provider := PROVIDERS.get(entry.provider):
        return provider
    raise ModelUnavailable("No such provider", {"model": entry.name, "provider": entry.provider})


def options_of(entry: ModelEntry) -> EntryOptions:
    """Raises `ModelUnavailable` for options that cannot be read."""
    try:
        return EntryOptions.model_validate(entry.options)
    except ValidationError as error:
        fields = sorted({str(item["loc"][0]) for item in error.errors()})
        raise ModelUnavailable("The model's options are not valid", {"model": entry.name, "options": fields}) from error
