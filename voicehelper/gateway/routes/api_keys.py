"""API keys."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from voicehelper.gateway.cursors import decode_id, page_of
from voicehelper.gateway.params import Caller, Cursor, Limit, Wired, requires
from voicehelper.identity import ApiKey
from voicehelper.wire.api_keys import ApiKeyCreate, ApiKeyCreated, ApiKeyView
from voicehelper.wire.common import Page

router = APIRouter(prefix="/api-keys", tags=["api keys"])

_READ = [requires("keys:read")]
_WRITE = [requires("keys:write")]


@router.post("", status_code=201, summary="Create an API key", dependencies=_WRITE)
async def create_api_key(body: ApiKeyCreate, caller: Caller, services: Wired) -> ApiKeyCreated:
    """The response alone shows the key. 403 for a permission that the caller has not; a key made by a key cannot
    outlive it (400)."""
    keys = services.accounts.api_keys
    key, text = await keys.create(caller, body.name, frozenset(body.permissions), body.expires_at)
    return ApiKeyCreated(**_view(key).model_dump(), key=text)


@router.get("", summary="List the tenant's API keys, newest first", dependencies=_READ)
async def list_api_keys(
    caller: Caller,
    services: Wired,
    user_id: Annotated[UUID | None, Query(description="Only keys that this user made")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ApiKeyView]:
    """Without those that were revoked; the audit log remembers them."""
    found = await services.accounts.api_keys.find(caller, user_id, decode_id(cursor), limit + 1)
    return page_of(found, limit, lambda key: key.id, _view)


@router.get("/{key_id}", summary="One API key", dependencies=_READ)
async def get_api_key(key_id: UUID, caller: Caller, services: Wired) -> ApiKeyView:
    """404 when it was revoked."""
    return _view(await services.accounts.api_keys.get(caller, key_id))


@router.delete("/{key_id}", status_code=204, summary="Revoke an API key", dependencies=_WRITE)
async def revoke_api_key(key_id: UUID, caller: Caller, services: Wired) -> None:
    """Within a second no replica takes it any more. 403 for somebody else's that may do more than the caller."""
    await services.accounts.api_keys.revoke(caller, key_id)


def _view(key: ApiKey) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        user_id=key.user_id,
        name=key.name,
        permissions=sorted(key.permissions),
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
    )
