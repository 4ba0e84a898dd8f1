"""The catalogue of models and its prices."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from voicehelper.context import current_context
from voicehelper.errors import Unavailable
from voicehelper.gateway.cursors import decode_id, page_of
from voicehelper.gateway.models_desk import EDITABLE, ModelsDesk, ModelTest
from voicehelper.gateway.params import Caller, Cursor, Limit, Wired, requires
from voicehelper.gateway.problems import error_body
from voicehelper.ids import new_id
from voicehelper.models.catalogue_service import ModelRecord
from voicehelper.models.local import LOCAL_ID
from voicehelper.models.model import ModelEntry, ModelLimits, Price
from voicehelper.wire.common import Page
from voicehelper.wire.models import (
    KindName,
    ModelCreate,
    ModelSaved,
    ModelTestView,
    ModelUpdate,
    ModelView,
    OwnerName,
)

router = APIRouter(prefix="/models", tags=["models"])

_READ = [requires("models:read")]
_WRITE = [requires("models:write")]


async def _desk(services: Wired) -> ModelsDesk:
    if services.models is None:
        raise Unavailable("There is no catalogue of models here")
    return services.models


Desk = Annotated[ModelsDesk, Depends(_desk)]


@router.get("", summary="List models and their prices, newest first", dependencies=_READ)
async def list_models(
    caller: Caller,
    desk: Desk,
    kind: Annotated[KindName | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ModelView]:
    """The tenant's own, the platform's, and last the instance's own. Disabled ones too: they are not used, and still
    hide the platform's of the same name."""
    found = await desk.find(caller, kind, decode_id(cursor), limit + 1)
    return page_of(found, limit, lambda record: record.entry.id, _view)


@router.post("", status_code=201, summary="Add a model", dependencies=_WRITE)
async def create_model(body: ModelCreate, caller: Caller, desk: Desk) -> ModelSaved:
    """Every replica has it within 5 seconds. 409 when the name is taken, 403 for the platform's without its permission,
    400 for an address that a tenant's model may not have."""
    values = _values({name: getattr(body, name) for name in EDITABLE | {"kind", "provider"}}, body)
    tenant_id = caller.tenant_id if body.owner == "tenant" else None
    key = body.api_key.get_secret_value() if body.api_key is not None else ""
    return _saved(await desk.create(caller, ModelEntry(id=new_id(), tenant_id=tenant_id, **values), key))


@router.get("/{model_id}", summary="One model", dependencies=_READ)
async def get_model(model_id: UUID, caller: Caller, desk: Desk) -> ModelView:
    """One of those that the list shows."""
    return _view(await desk.get(caller, model_id))


@router.patch("/{model_id}", summary="Change, disable or enable a model", dependencies=_WRITE)
async def change_model(model_id: UUID, body: ModelUpdate, caller: Caller, desk: Desk) -> ModelSaved:
    """Every replica has it within 5 seconds. 409 (40903) when it was changed meanwhile, 409 (40901) when the name is
    taken and for the instance's own; 403 for the platform's without its permission."""
    given = {name: value for name in EDITABLE if (value := getattr(body, name)) is not None}
    key = body.api_key.get_secret_value() if body.api_key is not None else None
    return _saved(await desk.change(caller, model_id, body.version, _values(given, body), key))


@router.delete("/{model_id}", status_code=204, summary="Remove a model", dependencies=_WRITE)
async def delete_model(model_id: UUID, caller: Caller, desk: Desk) -> None:
    """Its rows in the ledger stay. 409 for the instance's own, 403 for the platform's without its permission."""
    await desk.remove(caller, model_id)


@router.post("/{model_id}/test", summary="Ask a model for one word", dependencies=_WRITE)
async def test_model(model_id: UUID, caller: Caller, desk: Desk) -> ModelTestView:
    """A real call, of a few tokens, past router and budgets: it is in no ledger. 403 for models that are not the
    tenant's own, without the platform's permission; 400 for what does not chat."""
    return _tested(await desk.test(caller, model_id))


def _values(values: dict[str, Any], body: ModelCreate | ModelUpdate) -> dict[str, Any]:
    """Fields of an entry."""
    if body.price is not None:
        values["price"] = Price(**body.price.model_dump())
    if body.limits is not None:
        values["limits"] = ModelLimits(**body.limits.model_dump())
    return values


def _owner(entry: ModelEntry) -> OwnerName:
    if entry.id == LOCAL_ID:
        return "instance"
    return "platform" if entry.tenant_id is None else "tenant"


def _shown(record: ModelRecord) -> dict[str, Any]:
    """All but whose it is, and in order."""
    return asdict(record.entry) | {
        "owner": _owner(record.entry),
        "capabilities": sorted(record.entry.capabilities),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def _view(record: ModelRecord) -> ModelView:
    return ModelView(**_shown(record))


def _saved(record: ModelRecord) -> ModelSaved:
    return ModelSaved(**_shown(record), warnings=list(record.warnings))


def _tested(test: ModelTest) -> ModelTestView:
    usage = test.done.usage if test.done else None
    return ModelTestView(
        ok=test.error is None and test.done is not None,
        model=test.done.model if test.done else None,
        first_ms=test.first_ms,
        total_ms=test.total_ms,
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
        error=error_body(test.error, current_context()) if test.error else None,
    )
