"""What was used, and what is left."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from voicehelper.gateway.budget_desk import Left
from voicehelper.gateway.params import Caller, requires
from voicehelper.gateway.routes.budgets import Desk
from voicehelper.models.usage_report import UsageRow
from voicehelper.wire.budgets import CurrentUsageView, GroupName, LeftView, UsageRowView, UsageView
from voicehelper.wire.times import Moment

router = APIRouter(prefix="/usage", tags=["budgets"])


@router.get("", summary="Calls, tokens and cost by user, model, feature ...", dependencies=[requires("usage:read")])
async def get_usage(
    caller: Caller,
    desk: Desk,
    group_by: Annotated[GroupName, Query()] = "model",
    start: Annotated[Moment | None, Query(alias="from", description="Beginning of the month, if left out")] = None,
    end: Annotated[Moment | None, Query(alias="to", description="End of the month, if left out; not included")] = None,
) -> UsageView:
    """Of the whole tenant, from its ledger."""
    first, last, rows = await desk.usage(caller, group_by, start, end)
    views = [UsageRowView.model_validate(row) for row in rows]
    return UsageView(start=first, end=last, group_by=group_by, rows=views, total=_total(rows))


@router.get("/current", summary="What the caller has left", dependencies=[requires("profile:read")])
async def get_current_usage(caller: Caller, desk: Desk) -> CurrentUsageView:
    """The limits of the tenant, of the user, and of the API key where one is used. As of this moment."""
    return CurrentUsageView(limits=[_left(left) for left in await desk.current(caller)])


def _left(left: Left) -> LeftView:
    used, limits = left.used, left.limits
    rest = None if limits.hard is None else max(0, limits.hard - used.spent - used.reserved)
    return LeftView(
        kind=left.kind,
        month=left.month,
        spent_micros=used.spent,
        reserved_micros=used.reserved,
        hard_micros=limits.hard,
        soft_micros=limits.soft,
        left_micros=rest,
        tokens_last_minute=used.tokens,
        tokens_per_minute=limits.tokens,
    )


def _total(rows: Sequence[UsageRow]) -> UsageRowView:
    names = [name for name in UsageRowView.model_fields if name != "group"]
    return UsageRowView(group="", **{name: sum(getattr(row, name) for row in rows) for name in names})
