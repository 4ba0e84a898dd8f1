"""What an experiment is: what it runs on, its variants, their weights over time, and its guard rails."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

Status = Literal["draft", "running", "stopped"]
TargetKind = Literal["model", "feature", "all"]
Goal = Literal["more", "less"]

GOALS: Final[dict[str, Goal]] = {
    "success": "more",
    "feedback": "more",
    "first_ms": "less",
    "ms": "less",
    "cost_micros": "less",
    "tokens": "less",
}
"""Metrics every call has (`feedback`: every answer judged), and whether more of each is better."""

RATES: Final = frozenset({"success", "feedback"})
"""Metrics that are 0 or 1."""

LATENCIES: Final = frozenset({"first_ms", "ms"})
"""Metrics whose distribution is kept."""


@dataclass(frozen=True, slots=True)
class Target:
    """What an experiment runs on: a model as requests name it, a feature of ours, or all of a tenant's calls (`name` is
    empty then)."""

    kind: TargetKind
    name: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """One arm.

    Attributes:
        models: catalogue names used instead of the model asked for, first the best; empty: as asked.
        overrides: of the request: `temperature`, `top_p`, `max_tokens`.
        stopped_at: since when it gets no traffic; reason: why.
    """

    name: str
    models: tuple[str, ...] = ()
    overrides: dict[str, Any] = field(default_factory=dict)
    stopped_at: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Weights:
    """How users are divided from `since` (Unix time) on: shares per variant, in their order, of any sum; and the share
    of users who take part at all, 0 to 1. `revision` counts from 1."""

    revision: int
    since: float
    shares: tuple[float, ...]
    traffic: float = 1.0


@dataclass(frozen=True, slots=True)
class GuardRail:
    """What stops a variant: worse than the control by more than this, beyond doubt (see `guard`).

    Attributes:
        metric: `success` or `feedback` (by `margin`), another of `GOALS` (by `factor`).
        statistic: `mean`, or `p95` of a latency.
        margin: the rate may be lower by so much, 0 to 1.
        factor: the figure may be so many times the control's, 1 or more.
        min_calls: in each arm, before it is looked at.
    """

    metric: str
    statistic: Literal["mean", "p95"] = "mean"
    margin: float = 0.0
    factor: float = 1.0
    min_calls: int = 200


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment of a tenant. The first variant is the control. `weights` are all there ever were, oldest first."""

    id: UUID
    tenant_id: UUID
    name: str
    target: Target
    variants: tuple[Variant, ...]
    weights: tuple[Weights, ...]
    salt: str
    primary_metric: str = "success"
    goal: Goal = "more"
    guard_rails: tuple[GuardRail, ...] = ()
    status: Status = "draft"
    reason: str = ""
    description: str = ""
    version: int = 1
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def control(self) -> Variant:
        """What the others are compared with."""
        return self.variants[0]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The variant that somebody has (its place; -1: takes no part), since `at` and until `until`, both Unix times.
    `revision` is that of the weights by which it was drawn."""

    variant: int
    at: float
    until: float
    revision: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """Somebody (`subject`, a hash) is served by a variant, for the first time today."""

    experiment_id: UUID
    subject: bytes
    chosen: Chosen
