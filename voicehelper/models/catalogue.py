"""The catalogue in this process's memory: every tenant's models, and the keys to their providers.

The whole table is held. It is read again whenever it changed: at a notification, and when a cheap look every few
seconds shows another mark, so that a lost notification costs seconds and never correctness. While the database is away
the last good copy serves; before there was one, the instance's own model does.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from voicehelper.errors import ModelUnavailable
from voicehelper.models.following import TableCopy, TableFeed
from voicehelper.models.model import ModelEntry
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

Models = Mapping[str, ModelEntry]


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A row: its entry, and the key to its provider as it is stored, encrypted."""

    entry: ModelEntry
    sealed: bytes | None = field(default=None, repr=False)


class Opener(Protocol):
    """Opens what was sealed (`identity.secrets.SecretBox`)."""

    def open(self, sealed: bytes, bound_to: bytes = b"") -> bytes:
        """Raises `ValueError` where another key sealed it, or for something else."""
        ...


class LiveCatalogue:
    """`Catalogue` and `Secrets` of this process.

    Args:
        local: the instance's own model; nothing hides it.
        opener: opens stored keys.
        provider_keys: the platform's keys by provider, for entries of the platform without a key of their own. A
            tenant's entry never gets one: it names its own address and its own price.
        refresh_s: how often to look for changes that nobody told of.
    """

    def __init__(
        self, local: ModelEntry, opener: Opener, provider_keys: Mapping[str, str], *, refresh_s: float = 2.0
    ) -> None:
        self._local = local
        self._opener = opener
        self._provider_keys = provider_keys
        self._refresh_s = refresh_s
        self._copy: TableCopy[StoredModel] = TableCopy(self._take, "models")
        self._sealed: dict[UUID, bytes] = {}
        self._platform: Models = {local.name: local}
        self._tenants: dict[UUID, Models] = {}
        self._entries: tuple[ModelEntry, ...] = (local,)

    @property
    def local(self) -> ModelEntry:
        """The instance's own model."""
        return self._local

    @property
    def entries(self) -> Sequence[ModelEntry]:
        """Every enabled model of every tenant, and the instance's own: what is to be probed."""
        return self._entries

    def of(self, tenant_id: UUID) -> Models:
        """See `Catalogue`. The mapping is never changed: after a change there is another one."""
        return self._tenants.get(tenant_id, self._platform)

    def key_of(self, entry: ModelEntry) -> str:
        """See `Secrets`. Raises `ModelUnavailable` where the stored key cannot be opened."""
        sealed = self._sealed.get(entry.id)
        if sealed is not None:
            return self._opened(entry, sealed)
        return self.lent_key(entry)

    def lent_key(self, entry: ModelEntry) -> str:
        """The platform's key for `entry`, where it may use that; else empty."""
        return self._provider_keys.get(entry.provider, "") if entry.tenant_id is None else ""

    async def tried(self, timeout: float) -> None:
        """Return once the table was read, or reading it failed, for the first time; or after `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._copy.tried.wait()

    async def refresh(self, feed: TableFeed[StoredModel]) -> None:
        """Read the table if it has changed. Raises `Unavailable`."""
        await self._copy.refresh(feed)

    async def run(self, feed: TableFeed[StoredModel]) -> None:
        """Follow the table, until cancelled."""
        await self._copy.run(feed, self._refresh_s)

    def _take(self, rows: Sequence[StoredModel]) -> None:
        own: dict[UUID | None, dict[str, ModelEntry]] = {}
        for row in rows:
            own.setdefault(row.entry.tenant_id, {})[row.entry.name] = row.entry
        platform = own.pop(None, {})
        self._sealed = {row.entry.id: row.sealed for row in rows if row.sealed is not None}
        self._tenants = {tenant: self._merged(platform, models) for tenant, models in own.items() if tenant}
        self._platform = self._merged(platform)
        self._entries = (*(row.entry for row in rows if row.entry.enabled), self._local)
        log.info("catalogue.read", models=len(rows))

    def _merged(self, *layers: Models) -> Models:
        """Later layers hide earlier ones, also where they are disabled; nothing hides the instance's own."""
        merged = {name: entry for layer in layers for name, entry in layer.items()}
        return {name: entry for name, entry in merged.items() if entry.enabled} | {self._local.name: self._local}

    def _opened(self, entry: ModelEntry, sealed: bytes) -> str:
        try:
            return self._opener.open(sealed, entry.id.bytes).decode()
        except ValueError as error:
            log.error("catalogue.key_not_readable", model_id=str(entry.id))
            raise ModelUnavailable("The stored key of this model cannot be opened: set it again") from error
