"""Experiments on models."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from voicehelper.wire.common import Body, Line, Paragraph, View
from voicehelper.wire.identity import Version

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
MetricName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$"),
    Field(description="`success`, `first_ms`, `ms`, `cost_micros`, `tokens`, `feedback`, or one of your own"),
]
Share = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Traffic = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, description="Share of users who take part")]
StatusName = Literal["draft", "running", "stopped"]
Measured = Literal["success", "feedback", "first_ms", "ms", "cost_micros", "tokens"]


class TargetBody(Body):
    """Which calls take part."""

    kind: Literal["model", "feature", "all"]
    name: Annotated[str, StringConstraints(max_length=200)] = Field(
        "", description="The model as requests name it (`auto`), or the feature (`answer`); empty for `all`"
    )


class Overrides(Body):
    """What of the request is replaced."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class VariantBody(Body):
    """An arm of the experiment."""

    name: Slug
    weight: Share = Field(description="Relative to the other variants'")
    models: Annotated[list[Line], Field(max_length=10)] = Field(
        default=[], description="Catalogue names, first the best; empty: the model that was asked for"
    )
    overrides: Overrides = Overrides()


class GuardRailBody(Body):
    """Stops a variant that is beyond doubt worse than the control by more than this. `margin` is for rates (`success`,
    `feedback`), `factor` for everything else."""

    metric: Measured
    statistic: Literal["mean", "p95"] = Field("mean", description="`p95` of `ms` and `first_ms` only")
    margin: float = Field(0.0, ge=0, lt=1, description="The rate may be lower by so much")
    factor: float = Field(1.0, ge=1, le=1000, description="The figure may be so many times the control's")
    min_calls: int = Field(200, ge=50, le=1_000_000, description="In each of both, before they are compared")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        rate = self.metric in {"success", "feedback"}
        if self.statistic == "p95" and self.metric not in {"ms", "first_ms"}:
            raise ValueError("p95 is known of ms and first_ms only")
        if (self.factor != 1) if rate else self.margin:
            raise ValueError("margin is for rates, factor for other metrics")
        return self


Variants = Annotated[list[VariantBody], Field(min_length=2, max_length=10, description="The first is the control")]
GuardRails = Annotated[list[GuardRailBody], Field(max_length=10)]


class ExperimentCreate(Body):
    """A new experiment, which does not run yet."""

    name: Line
    description: Paragraph = ""
    target: TargetBody
    variants: Variants
    traffic: Traffic = 1.0
    primary_metric: MetricName = "success"
    goal: Literal["more", "less"] | None = Field(
        None, description="Of a metric of your own, whether more is better (if left out) or less"
    )
    guard_rails: GuardRails = Field(default=[])


class ExperimentUpdate(Body):
    """New values of a draft; what is left out stays."""

    version: Version
    name: Line | None = None
    description: Paragraph | None = None
    target: TargetBody | None = None
    variants: Variants | None = None
    traffic: Traffic | None = None
    primary_metric: MetricName | None = None
    goal: Literal["more", "less"] | None = None
    guard_rails: GuardRails | None = None


class ExperimentStart(Body):
    """Run it."""

    version: Version


class ExperimentStop(Body):
    """End it, for good."""

    version: Version
    reason: Annotated[Paragraph, Field(description="For whoever reads the results")] = ""


class WeightsUpdate(Body):
    """New weights of a running experiment."""

    version: Version
    weights: Annotated[dict[Slug, Share], Field(max_length=10, description="By variant; all of them")]
    traffic: Traffic | None = None


class OutcomeCreate(Body):
    """A value of a metric of your own, or a judgement (`feedback`: 1 or 0)."""

    user_id: Line = Field(description="The user's id; for calls without a user the API key's")
    metric: MetricName
    value: Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _own(self) -> Self:
        if self.metric in {"success", "first_ms", "ms", "cost_micros", "tokens"}:
            raise ValueError("this metric is measured by the platform")
        if self.metric == "feedback" and self.value not in {0, 1}:
            raise ValueError("feedback is 0 or 1")
        return self


class OutcomeView(View):
    """Where a value was counted."""

    variant: str


class TargetView(View):
    """Which calls take part."""

    kind: str
    name: str


class VariantView(View):
    """An arm of the experiment."""

    name: str
    weight: float
    models: list[str]
    overrides: dict[str, float]
    stopped_at: datetime | None = Field(default=None, description="Since when its users are served like the control")
    reason: str = Field(default="", description="Why a guard rail stopped it")


class GuardRailView(View):
    """What stops a variant."""

    metric: str
    statistic: str
    margin: float
    factor: float
    min_calls: int


class ExperimentView(View):
    """An experiment."""

    id: UUID
    name: str
    description: str
    status: StatusName
    reason: str = Field(description="Why it was stopped")
    target: TargetView
    variants: list[VariantView]
    traffic: float
    weights_revision: int = Field(description="Counts changes of weights and traffic")
    weights_since: datetime | None = Field(default=None, description="From when on the newest weights hold")
    primary_metric: str
    goal: str
    guard_rails: list[GuardRailView]
    version: int
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class AssignmentView(View):
    """The variant of one user."""

    user_id: str
    variant: str | None = Field(description="Null: takes no part")
    given: bool = Field(description="Whether he was served by it lately; otherwise it is what he would be given now")
    given_at: datetime | None = None
    until: datetime | None = Field(default=None, description="Until then he keeps it, whatever becomes of the weights")


class IntervalView(View):
    """Bounds of a 95 % confidence interval."""

    low: float
    high: float


class DifferenceView(View):
    """From the control's mean, by Welch's test."""

    value: float
    interval: IntervalView
    p: float = Field(description="Two-sided; for one look at a time decided upon before")


class MetricView(View):
    """A variant's values of one metric."""

    n: int
    mean: float
    interval: IntervalView | None = Field(default=None, description="Wilson's for rates, Student's for means")
    design_effect: float = Field(description="So many calls tell as much as one by a user of its own")
    against: DifferenceView | None = Field(default=None, description="Null for the control")
    p50: float | None = None
    p95: float | None = None


class VariantResultView(View):
    """What a variant has shown."""

    name: str
    users: int
    calls: int
    enough: bool = Field(description="Whether there are users and calls enough to trust the intervals")
    metrics: dict[str, MetricView]


class MismatchView(View):
    """Whether users are divided as the weights say (chi-square)."""

    chi_square: float
    freedom: int
    p: float
    found: bool


class ResultsView(View):
    """What the experiment has shown so far; a second or two behind."""

    experiment_id: UUID
    status: StatusName
    primary_metric: str
    goal: str
    variants: list[VariantResultView]
    mismatch: MismatchView | None = None
    leader: str | None = Field(default=None, description="Best mean of the primary metric")
    certain: bool = Field(description="Whether the leader's difference is more than chance")
    warnings: list[str] = Field(
        description="`small_sample`, `sample_ratio_mismatch`, `weights_changed`, `primary_metric_missing`"
    )
