"""Budgets and usage. Money is in whole micro-dollars: 1 USD is 1,000,000."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from voicehelper.wire.common import Body, View
from voicehelper.wire.identity import Version

SubjectName = Literal["tenant", "user", "key"]
GroupName = Literal["user", "key", "model", "provider", "feature", "day", "outcome"]

Micros = Annotated[int, Field(ge=0, le=10**15)]
Hard = Annotated[Micros | None, Field(description="Micro-dollars of a month (UTC) beyond which calls are refused")]
Soft = Annotated[Micros | None, Field(description="Beyond which cheaper models answer, with a warning")]
Minute = Annotated[int, Field(ge=1, le=10**12)]
Tokens = Annotated[Minute | None, Field(description="Tokens within any minute, of prompt and answer")]


class BudgetCreate(Body):
    """Limits for the tenant, a user or a key. Without `subject_id`, for every user or key without a budget of its own:
    each gets that much."""

    kind: SubjectName
    subject_id: UUID | None = None
    hard_micros: Hard = None
    soft_micros: Soft = None
    tokens_per_minute: Tokens = None


class BudgetUpdate(Body):
    """New limits; what is left out stays, null takes a limit away."""

    version: Version
    hard_micros: Hard = None
    soft_micros: Soft = None
    tokens_per_minute: Tokens = None


class BudgetView(View):
    """A budget."""

    id: UUID
    kind: SubjectName
    subject_id: UUID | None
    hard_micros: int | None
    soft_micros: int | None
    tokens_per_minute: int | None
    version: int
    created_at: datetime
    updated_at: datetime


class UsageRowView(View):
    """The calls of one group."""

    group: str = Field(description="Id, name or day (UTC); empty for calls without")
    calls: int
    errors: int = Field(description="Calls that neither answered nor were cancelled")
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = Field(description="Of the prompt tokens")
    reasoning_tokens: int = Field(description="Of the completion tokens")
    cost_micros: int


class UsageView(View):
    """What was used; complete up to a second or two ago. `total` is over the rows shown."""

    start: datetime
    end: datetime
    group_by: GroupName
    rows: list[UsageRowView] = Field(description="Dearest first, days in order; at most 1000")
    total: UsageRowView


class LeftView(View):
    """One of the caller's limits, and how far it is used up. Null: no limit."""

    kind: SubjectName
    month: str
    spent_micros: int
    reserved_micros: int = Field(description="Set aside for calls that run")
    hard_micros: int | None
    soft_micros: int | None
    left_micros: int | None
    tokens_last_minute: int
    tokens_per_minute: int | None


class CurrentUsageView(View):
    """What the caller has used this month, and what is left of it."""

    limits: list[LeftView]
