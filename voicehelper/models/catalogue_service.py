"""Looking at the catalogue and changing it. Who may do that is decided above."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from voicehelper.errors import Conflict, InvalidInput, NotFound, VersionConflict
from voicehelper.models.addresses import Resolve, resolve_host
from voicehelper.models.catalogue import LiveCatalogue, StoredModel
from voicehelper.models.following import TableFeed
from voicehelper.models.local import LOCAL_ID
from voicehelper.models.model import Kind, ModelEntry
from voicehelper.models.validation import addresses_of, check_addresses, check_entry, warnings_of

MOST = 500
"""Models of one tenant, or of the platform: every process holds all of them."""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """An entry as stored; the built-in one has no dates."""

    entry: ModelEntry
    created_at: datetime | None = None
    updated_at: datetime | None = None
    warnings: tuple[str, ...] = ()


class ModelStore(Protocol):
    """The table. A tenant sees its own entries and the platform's, and writes its own. Raises `Unavailable`."""

    async def find(self, tenant_id: UUID, kind: Kind | None, before: UUID | None, limit: int) -> Sequence[ModelRecord]:
        """What the tenant sees, newest first."""
        ...

    async def get(self, tenant_id: UUID, model_id: UUID) -> ModelRecord | None:
        """One that the tenant sees."""
        ...

    async def names(self, tenant_id: UUID | None) -> frozenset[str]:
        """Names that the tenant sees; of the platform's entries for None."""
        ...

    async def add(self, entry: ModelEntry, sealed: bytes | None, most: int) -> ModelRecord:
        """Replicas learn of it. Raises `Conflict` when the name is taken or there are `most` already."""
        ...

    async def change(self, entry: ModelEntry, sealed: bytes | None, *, keep_key: bool) -> ModelRecord | None:
        """Write `entry` over the row with its id and version; None where that version is gone. Replicas learn of it.
        Raises `Conflict` when the name is taken."""
        ...

    async def remove(self, entry: ModelEntry) -> bool:
        """Whether it was there. Replicas learn of it."""
        ...


class Sealer(Protocol):
    """Seals what `catalogue.Opener` opens."""

    def seal(self, plain: bytes, bound_to: bytes = b"") -> bytes:
        """For this row alone."""
        ...


class CatalogueService:
    """Lists, creates, changes and removes entries.

    Args:
        store: the table.
        live: this process's copy.
        feed: what `live` is read from.
        sealer: for keys to providers.
        resolve: finds the addresses of a tenant's `base_url`.
    """

    def __init__(
        self,
        store: ModelStore,
        live: LiveCatalogue,
        feed: TableFeed[StoredModel],
        sealer: Sealer,
        resolve: Resolve = resolve_host,
    ) -> None:
        self._store = store
        self._live = live
        self._feed = feed
        self._sealer = sealer
        self._resolve = resolve

    async def find(self, tenant_id: UUID, kind: Kind | None, before: UUID | None, limit: int) -> list[ModelRecord]:
        """What the tenant sees, newest first; the instance's own model is last."""
        found = list(await self._store.find(tenant_id, kind, before, limit))
        if len(found) < limit and kind in {None, "chat"} and (before is None or before > LOCAL_ID):
            found.append(ModelRecord(self._live.local))
        return found

    async def get(self, tenant_id: UUID, model_id: UUID) -> ModelRecord:
        """One of those. Raises `NotFound`."""
        if model_id == LOCAL_ID:
            return ModelRecord(self._live.local)
        record = await self._store.get(tenant_id, model_id)
        if record is None:
            raise NotFound("No such model")
        return record

    async def create(self, entry: ModelEntry, key: str = "") -> ModelRecord:
        """Store `entry`, for its tenant or the platform. Raises `InvalidInput`, `Conflict`."""
        check_entry(entry, self._live.local.name)
        await check_addresses(entry, self._resolve)
        record = await self._store.add(entry, self._sealed(entry, key), MOST)
        return await self._with_warnings(record)

    async def change(self, entry: ModelEntry, version: int, changes: dict[str, Any], key: str | None) -> ModelRecord:
        """Write new values over `entry`, as `get` gave it.

        Args:
            version: that the caller last saw.
            changes: new values by field of `ModelEntry`.
            key: the new one; empty removes it, None leaves it.

        Raises:
            VersionConflict: changed meanwhile.
            Conflict: the name is taken, or it is the instance's own model.
            InvalidInput: also where a stored key would go to another address than it was given for.
        """
        _changeable(entry)
        if entry.version != version:
            raise VersionConflict(details={"version": entry.version})
        wanted = replace(entry, **changes)
        check_entry(wanted, self._live.local.name)
        if addresses_of(wanted) != addresses_of(entry):  # else: a model can be disabled though its host is gone
            await check_addresses(wanted, self._resolve)
            if entry.has_key and key is None:
                raise InvalidInput("With another address, give api_key too", {"field": "api_key"})
        record = await self._store.change(wanted, self._sealed(entry, key or ""), keep_key=key is None)
        if record is None:
            raise VersionConflict
        return await self._with_warnings(record)

    async def remove(self, entry: ModelEntry) -> None:
        """Raises `NotFound`, and `Conflict` for the instance's own model."""
        _changeable(entry)
        if not await self._store.remove(entry):
            raise NotFound("No such model")

    async def refresh(self) -> None:
        """Have this process's copy up to date. Raises `Unavailable`."""
        await self._live.refresh(self._feed)

    def _sealed(self, entry: ModelEntry, key: str) -> bytes | None:
        return self._sealer.seal(key.encode(), entry.id.bytes) if key else None

    async def _with_warnings(self, record: ModelRecord) -> ModelRecord:
        entry = record.entry
        names = await self._store.names(entry.tenant_id) | {self._live.local.name}
        keyed = entry.has_key or self._live.lent_key(entry) != ""
        return replace(record, warnings=warnings_of(entry, names, keyed=keyed))


def _changeable(entry: ModelEntry) -> None:
    if entry.id == LOCAL_ID:
        raise Conflict("The instance's own model is set by its configuration")
