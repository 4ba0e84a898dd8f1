"""The catalogue of models. Money is in micro-dollars: 1 USD per million tokens is 1,000,000."""

import json
import math
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from voicehelper.wire.common import Body, ErrorBody, View, storable
from voicehelper.wire.identity import Version

KindName = Literal["chat", "embedding", "rerank"]
ProviderName = Literal["openai", "anthropic", "qwen", "ernie", "deepseek", "openai_compatible", "vllm"]
CapabilityName = Literal["stream", "tools", "json_object", "json_schema", "vision", "logprobs", "seed", "continue"]
OwnerName = Literal["tenant", "platform", "instance"]

_LONGEST_KEY = 2000
_LONGEST_OPTIONS = 4000
_EXACT = 2**53  # integers beyond it are not the same to every reader of JSON


def _is_header_value(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if len(text) > _LONGEST_KEY or not all("!" <= character <= "~" for character in text):
        raise ValueError(f"at most {_LONGEST_KEY} printable ASCII characters")
    return key


def _is_plain_json(options: dict[str, Any]) -> dict[str, Any]:
    if not _is_plain(options, 4) or len(json.dumps(options)) > _LONGEST_OPTIONS:
        raise ValueError(f"JSON without NUL and NaN, nested at most 4 deep, of at most {_LONGEST_OPTIONS} characters")
    return options


def _is_plain(value: object, depth: int) -> bool:
    if isinstance(value, dict | list):
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(part, depth - 1) for part in parts)
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and abs(value) < _EXACT)


ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,99}$", max_length=100)]
RemoteName = Annotated[str, StringConstraints(pattern=r"^[!-~]{0,200}$", max_length=200)]
BaseUrl = Annotated[str, StringConstraints(pattern=r"^(https?://[!-~]+)?$", max_length=500), AfterValidator(storable)]
ApiKey = Annotated[SecretStr, AfterValidator(_is_header_value), Field(json_schema_extra={"maxLength": _LONGEST_KEY})]
Options = Annotated[dict[str, Any], AfterValidator(_is_plain_json)]
Money = Annotated[int, Field(ge=0, le=10**12)]
Tokens = Annotated[int, Field(ge=1, le=10**8)]
Limit = Annotated[int, Field(ge=0, le=10**9)]
Grade = Annotated[int, Field(ge=1, le=5)]
Fallbacks = Annotated[
    tuple[ModelName, ...],
    Field(max_length=20, description="Names, asked in this order where the model cannot answer"),
]


class PriceBody(Body):
    """Micro-dollars per million tokens; `per_call` is added to each call."""

    prompt: Money = 0
    completion: Money = 0
    cached: Money | None = Field(None, description="Of prompt tokens the provider reused; null: as the others")
    per_call: Money = 0


class LimitsBody(Body):
    """What the provider allows; 0 for no limit."""

    requests_per_minute: Limit = 0
    tokens_per_minute: Limit = 0
    parallel: Limit = 0


class ModelCreate(Body):
    """A new model."""

    name: ModelName = Field(description="What requests call it. A tenant's own hides the platform's of the same name")
    owner: Literal["tenant", "platform"] = Field("tenant", description="`platform` needs the permission platform:write")
    kind: KindName = "chat"
    provider: ProviderName
    remote: RemoteName = Field("", description="The provider's name of it; empty: `name`")
    base_url: BaseUrl = Field("", description="Of its API; empty: the provider's own. A tenant's: public, over https")
    api_key: ApiKey | None = Field(None, description="Stored encrypted, never shown")
    capabilities: frozenset[CapabilityName] = frozenset({"stream"})
    context_tokens: Tokens = Field(description="Prompt and output together")
    max_output_tokens: Annotated[int, Field(ge=0, le=10**8)] = Field(0, description="0: no bound of its own")
    price: PriceBody = PriceBody()
    limits: LimitsBody = LimitsBody()
    quality: Grade = 3
    speed: Grade = 3
    fallbacks: Fallbacks = ()
    options: Options = Field(default_factory=dict, description="Specific to the provider: see docs/providers.md")
    enabled: bool = True


class ModelUpdate(Body):
    """New values; what is left out stays. With another `base_url`, `api_key` must be given again."""

    version: Version
    name: ModelName | None = None
    remote: RemoteName | None = None
    base_url: BaseUrl | None = None
    api_key: ApiKey | None = Field(None, description="Empty: remove it")
    capabilities: frozenset[CapabilityName] | None = None
    context_tokens: Tokens | None = None
    max_output_tokens: Annotated[int, Field(ge=0, le=10**8)] | None = None
    price: PriceBody | None = None
    limits: LimitsBody | None = None
    quality: Grade | None = None
    speed: Grade | None = None
    fallbacks: Fallbacks | None = None
    options: Options | None = None
    enabled: bool | None = None


class PriceView(View):
    """Micro-dollars per million tokens."""

    prompt: int
    completion: int
    cached: int | None
    per_call: int


class LimitsView(View):
    """0 for no limit."""

    requests_per_minute: int
    tokens_per_minute: int
    parallel: int


class ModelView(View):
    """A model. The instance's own has owner `instance`, no dates, and is set by the configuration."""

    id: UUID
    name: str
    owner: OwnerName
    kind: KindName
    provider: str
    remote: str
    base_url: str
    has_key: bool = Field(description="Whether a key is stored with it")
    capabilities: list[str]
    context_tokens: int
    max_output_tokens: int
    price: PriceView
    limits: LimitsView
    quality: int
    speed: int
    fallbacks: list[str]
    options: dict[str, Any]
    enabled: bool
    version: int
    created_at: datetime | None = None
    updated_at: datetime | None = None


class ModelSaved(ModelView):
    """A model as written."""

    warnings: list[str] = Field(description="`unknown_fallback: NAME`, `no_key`: allowed, but will not work yet")


class ModelTestView(View):
    """What came of one small call."""

    ok: bool
    model: str | None = Field(None, description="What the provider calls the model that answered")
    first_ms: float | None = Field(None, description="Until the first piece")
    total_ms: float
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: ErrorBody | None = Field(None, description="Why there was no answer, as every error of ours")
