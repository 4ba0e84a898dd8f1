"""One's own tenant, and all of them for administrators of the platform."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from voicehelper.gateway.cursors import decode_id, page_of
from voicehelper.gateway.params import Caller, Cursor, Limit, Wired, requires
from voicehelper.identity import TenantChange, TenantQuery
from voicehelper.wire.common import Line, Page
from voicehelper.wire.tenants import OwnTenantUpdate, TenantCreate, TenantCreated, TenantUpdate, TenantView

router = APIRouter(tags=["tenants"])

_PLATFORM = [requires("platform:write")]


@router.get("/tenant", summary="One's own tenant", dependencies=[requires("profile:read")])
async def get_own_tenant(caller: Caller, services: Wired) -> TenantView:
    """The company one belongs to."""
    return TenantView.model_validate(await services.accounts.tenants.own(caller))


@router.patch("/tenant", summary="Rename one's own tenant, set its hot words", dependencies=[requires("tenant:write")])
async def change_own_tenant(body: OwnTenantUpdate, caller: Caller, services: Wired) -> TenantView:
    """`hot_words` are names and terms that speech recognition should expect; they hold within half a minute. 409 when
    it was changed meanwhile (40903) or the name is taken (40901)."""
    tenants = services.accounts.tenants
    return TenantView.model_validate(await tenants.change_own(caller, body.version, body.name, body.hot_words))


@router.get("/platform/tenants", summary="List all tenants, newest first", dependencies=_PLATFORM)
async def list_tenants(
    services: Wired,
    q: Annotated[Line | None, Query(description="Part of the name")] = None,
    disabled: Annotated[bool | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[TenantView]:
    """For administrators of the platform."""
    found = await services.accounts.tenants.find(TenantQuery(q, disabled, decode_id(cursor), limit + 1))
    return page_of(found, limit, lambda tenant: tenant.id, TenantView.model_validate)


@router.post("/platform/tenants", status_code=201, summary="Create a tenant with its owner", dependencies=_PLATFORM)
async def create_tenant(body: TenantCreate, caller: Caller, services: Wired) -> TenantCreated:
    """409 when the name or the owner's address is taken."""
    tenants = services.accounts.tenants
    tenant, owner, password = await tenants.create(caller, body.name, body.owner_email, body.owner_password)
    return TenantCreated(tenant=TenantView.model_validate(tenant), owner_id=owner.id, owner_password=password)


@router.get("/platform/tenants/{tenant_id}", summary="One tenant", dependencies=_PLATFORM)
async def get_tenant(tenant_id: UUID, services: Wired) -> TenantView:
    """Any one."""
    return TenantView.model_validate(await services.accounts.tenants.get(tenant_id))


@router.patch("/platform/tenants/{tenant_id}", summary="Rename, disable or enable a tenant", dependencies=_PLATFORM)
async def change_tenant(tenant_id: UUID, body: TenantUpdate, caller: Caller, services: Wired) -> TenantView:
    """Within a second after it is disabled, nobody of it gets in; its data stay. 409 when it was changed meanwhile
    (40903), when the name is taken, and for disabling one's own (40901)."""
    change = TenantChange(body.name, body.disabled)
    return TenantView.model_validate(await services.accounts.tenants.change(caller, tenant_id, body.version, change))
