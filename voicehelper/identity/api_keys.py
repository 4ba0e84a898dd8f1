"""API keys: credentials for machines, with permissions of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from voicehelper.errors import Forbidden, InvalidInput, NotFound
from voicehelper.identity.acts import Acts, act_of
from voicehelper.identity.model import Principal
from voicehelper.identity.opaque_tokens import API_KEY
from voicehelper.identity.permissions import unknown_permissions
from voicehelper.ids import new_id


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the API shows it. It may do what both `permissions` and the role of its user allow."""

    id: UUID
    tenant_id: UUID
    user_id: UUID
    name: str
    permissions: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class ApiKeyStore(Protocol):
    """Where keys lie. Every method raises `Unavailable`."""

    async def add(self, key: ApiKey, secret_hash: bytes) -> None:
        """Store a new key."""
        ...

    async def get(self, tenant_id: UUID, key_id: UUID) -> ApiKey | None:
        """One that was not revoked."""
        ...

    async def find(self, tenant_id: UUID, user_id: UUID | None, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        """Those that were not revoked, newest first."""
        ...

    async def revoke(self, tenant_id: UUID, key_id: UUID) -> bool:
        """Whether it ended now; replicas refuse it within a second."""
        ...


class ApiKeys:
    """Makes, lists and revokes keys."""

    def __init__(self, store: ApiKeyStore, acts: Acts) -> None:
        self._store = store
        self._acts = acts

    async def create(
        self, by: Principal, name: str, permissions: frozenset[str], expires_at: datetime | None
    ) -> tuple[ApiKey, str]:
        """A new key of the caller, and its text, which is not stored and never shown again.

        A key made by a key cannot outlive it.

        Raises:
            Forbidden: a permission that the caller has not, or a caller that is neither user nor key.
            InvalidInput: permissions that do not exist, or an end that has passed or exceeds the caller's own.
        """
        if by.kind == "visitor":
            raise Forbidden
        unknown = unknown_permissions(permissions)
        if unknown:
            raise InvalidInput("No such permissions for a key", {"permissions": sorted(unknown)})
        await self._acts.require(by, permissions, "api_key.created", "api_key")
        now = self._acts.now()
        self._check_end(by, now, expires_at)
        key = ApiKey(new_id(), by.tenant_id, by.user_id, name, permissions, now, expires_at)
        text, secret_hash = API_KEY.make(key.id)
        async with self._acts.unit(by.tenant_id):
            await self._store.add(key, secret_hash)
            facts = {"permissions": sorted(permissions), "expires_at": expires_at.isoformat() if expires_at else None}
            await self._acts.audit.record(act_of(by, "api_key.created", "api_key", key.id, **facts))
        return key, text

    async def find(
        self, by: Principal, user_id: UUID | None = None, before: UUID | None = None, limit: int = 50
    ) -> Sequence[ApiKey]:
        """The tenant's keys, newest first; `before` is the id of the last one of the page before."""
        return await self._store.find(by.tenant_id, user_id, before, limit)

    async def get(self, by: Principal, key_id: UUID) -> ApiKey:
        """One of the tenant's. Raises `NotFound`, also when it was revoked."""
        key = await self._store.get(by.tenant_id, key_id)
        if key is None:
            raise NotFound
        return key

    async def revoke(self, by: Principal, key_id: UUID) -> None:
        """End a key, one's own or one that may do no more than the caller. Raises `NotFound`, `Forbidden`."""
        key = await self.get(by, key_id)
        if key.user_id != by.user_id:
            await self._acts.require(by, key.permissions, "api_key.revoked", "api_key", key_id)
        async with self._acts.unit(by.tenant_id):
            if not await self._store.revoke(by.tenant_id, key_id):
                raise NotFound
            await self._acts.audit.record(act_of(by, "api_key.revoked", "api_key", key_id))

    @staticmethod
    def _check_end(by: Principal, now: datetime, expires_at: datetime | None) -> None:
        if expires_at is not None and expires_at <= now:
            raise InvalidInput("expires_at has passed")
        if by.kind != "key" or by.expires_at is None:
            return
        if expires_at is None or expires_at.timestamp() > by.expires_at:
            raise InvalidInput("A key made by a key cannot outlive it")
