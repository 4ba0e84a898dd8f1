"""What the room is about: models, their prices, and what a call costs. Money is in micro-dollars, an int."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

from voicehelper.ports.chat import ChatUsage

Kind = Literal["chat", "embedding", "rerank"]
Capability = Literal["stream", "tools", "json_object", "json_schema", "vision", "logprobs", "seed", "continue"]
Strategy = Literal["cheapest", "fastest", "best_quality", "named"]

AUTO: Final = "auto"
"""The model name that leaves the choice to the router, by the default strategy; `auto:STRATEGY` names another."""

LOCAL: Final = "local"
"""The provider of the instance's own model (`settings.chat`); its entry is built in and needs no row."""


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars per million tokens: 1 USD per million tokens is 1,000,000. `per_call` is added to each call."""

    prompt: int = 0
    completion: int = 0
    cached: int | None = None
    per_call: int = 0

    def cost(self, usage: ChatUsage) -> int:
        """Micro-dollars of `usage`, rounded up once; cached tokens at their own price where there is one."""
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        cached_price = self.prompt if self.cached is None else self.cached
        total = (usage.prompt_tokens - cached) * self.prompt + cached * cached_price
        total += usage.completion_tokens * self.completion
        return self.per_call + -(-total // 1_000_000)

    def most(self, prompt_tokens: int, completion_tokens: int) -> int:
        """The most a call of so many tokens can cost."""
        dearest = max(self.prompt, self.cached or 0)
        return self.per_call + -(-(prompt_tokens * dearest + completion_tokens * self.completion) // 1_000_000)


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What the provider allows us: requests and tokens a minute, calls at the same time; 0 for no limit."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    parallel: int = 0


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model of the catalogue.

    Attributes:
        tenant_id: whose it is; None for the platform's, which every tenant sees.
        name: what requests call it; unique per tenant, a tenant's own hides the platform's of the same name.
        provider: of `actors.chat.providers`: `openai`, `anthropic`, `qwen`, `ernie`, `deepseek`, `vllm`,
            `openai_compatible`; or `local`.
        remote: the provider's name of it.
        base_url: of its API; empty for the provider's own.
        has_key: whether a secret is stored; the key itself is got by `Secrets`.
        context_tokens: prompt and output together; max_output_tokens: of those the output, 0 for no bound of its own.
        quality, speed: 1 (least) to 5.
        fallbacks: names tried in this order when it cannot answer.
        options: provider-specific, e.g. `max_tokens_field`, `enable_thinking`, `adapter` (a LoRA's name).
        version: counts its changes.
    """

    id: UUID
    name: str
    provider: str
    remote: str = ""
    tenant_id: UUID | None = None
    kind: Kind = "chat"
    base_url: str = ""
    has_key: bool = False
    capabilities: frozenset[str] = frozenset({"stream"})
    context_tokens: int = 4096
    max_output_tokens: int = 0
    price: Price = Price()
    limits: ModelLimits = ModelLimits()
    quality: int = 3
    speed: int = 3
    fallbacks: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True
    version: int = 1


@dataclass(frozen=True, slots=True)
class Caller:
    """Who pays: `user_id` and `key_id` are empty where there is none; `feature` is what of ours asks."""

    tenant_id: UUID
    user_id: str = ""
    key_id: str = ""
    feature: str = ""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money and tokens set aside for one call.

    Attributes:
        id: of the call; its ledger row has the same id.
        caller: who pays.
        model: the entry's name; provider: its provider.
        micros: set aside; 0 where nothing is limited.
        tokens: set aside against tokens a minute.
        soft: a soft limit is passed: degrade.
        at: Unix time of the reservation; decides the month.
    """

    id: UUID
    caller: Caller
    model: str
    provider: str
    micros: int
    tokens: int
    soft: bool
    at: float


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a reserved call ended: its ledger row.

    Attributes:
        usage: as the provider counted; estimated where it did not say (`estimated`).
        cost_micros: by the price list.
        outcome: `answered`, `cancelled`, `broken`, or the error's code.
        ms: whole time; first_ms: to the first piece, None where none came.
    """

    usage: ChatUsage
    cost_micros: int
    outcome: str
    ms: float
    first_ms: float | None = None
    estimated: bool = False
    experiment: str = ""
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Assignment:
    """The variant of an experiment that a user gets: models to use instead of those asked for, first the best.

    `counted` is False for who was drawn for a variant that was stopped: he is served like the control, and its figures
    leave him out.
    """

    experiment_id: UUID
    experiment: str
    variant: str
    models: tuple[str, ...] = ()
    overrides: dict[str, Any] = field(default_factory=dict)
    counted: bool = True
