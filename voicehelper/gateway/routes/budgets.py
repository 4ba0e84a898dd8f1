"""Limits of money and tokens."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from voicehelper.errors import Unavailable
from voicehelper.gateway.budget_desk import BudgetDesk
from voicehelper.gateway.cursors import decode_id, page_of
from voicehelper.gateway.params import Caller, Cursor, Limit, Wired, requires
from voicehelper.models.budgets import Budget, Limits
from voicehelper.wire.budgets import BudgetCreate, BudgetUpdate, BudgetView
from voicehelper.wire.common import Page

router = APIRouter(prefix="/budgets", tags=["budgets"])

_READ = [requires("budgets:read")]
_WRITE = [requires("budgets:write")]
_NAMES = {"hard_micros": "hard", "soft_micros": "soft", "tokens_per_minute": "tokens"}


async def _desk(services: Wired) -> BudgetDesk:
    if services.budgets is None:
        raise Unavailable("There are no budgets here")
    return services.budgets


Desk = Annotated[BudgetDesk, Depends(_desk)]


@router.get("", summary="List budgets, newest first", dependencies=_READ)
async def list_budgets(caller: Caller, desk: Desk, cursor: Cursor = None, limit: Limit = 50) -> Page[BudgetView]:
    """The tenant's own, those of its users and keys, and those that hold for every user or key."""
    found = await desk.store.all(caller.tenant_id, decode_id(cursor), limit + 1)
    return page_of(found, limit, lambda budget: budget.id, _view)


@router.post("", status_code=201, summary="Limit the tenant, a user or a key", dependencies=_WRITE)
async def create_budget(body: BudgetCreate, caller: Caller, desk: Desk) -> BudgetView:
    """Holds within 5 seconds for calls begun after that. 409 when there is one already, 404 for no such user or key."""
    limits = Limits(body.hard_micros, body.soft_micros, body.tokens_per_minute)
    return _view(await desk.create(caller, body.kind, body.subject_id, limits))


@router.get("/{budget_id}", summary="One budget", dependencies=_READ)
async def get_budget(budget_id: UUID, caller: Caller, desk: Desk) -> BudgetView:
    """One of the tenant's."""
    return _view(await desk.store.get(caller.tenant_id, budget_id))


@router.patch("/{budget_id}", summary="Change limits", dependencies=_WRITE)
async def change_budget(budget_id: UUID, body: BudgetUpdate, caller: Caller, desk: Desk) -> BudgetView:
    """Holds within 5 seconds. 409 (40903) when it was changed meanwhile."""
    given = {_NAMES[name]: getattr(body, name) for name in body.model_fields_set if name in _NAMES}
    return _view(await desk.change(caller, budget_id, body.version, given))


@router.delete("/{budget_id}", status_code=204, summary="Take limits away", dependencies=_WRITE)
async def delete_budget(budget_id: UUID, caller: Caller, desk: Desk) -> None:
    """Within 5 seconds. What was spent stays in the ledger, and counts again under a new budget."""
    await desk.remove(caller, budget_id)


def _view(budget: Budget) -> BudgetView:
    assert budget.created_at is not None and budget.updated_at is not None  # it comes from the store
    return BudgetView(
        id=budget.id,
        kind=budget.kind,
        subject_id=budget.subject_id,
        hard_micros=budget.limits.hard,
        soft_micros=budget.limits.soft,
        tokens_per_minute=budget.limits.tokens,
        version=budget.version,
        created_at=budget.created_at,
        updated_at=budget.updated_at,
    )
