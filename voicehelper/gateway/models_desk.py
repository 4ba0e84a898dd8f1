"""The catalogue of models, as the routes see it: who may change what, and what is written down about it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, fields
from typing import Any, cast
from uuid import UUID

from voicehelper.errors import DeadlineExceeded, InvalidInput, VoiceHelperError
from voicehelper.identity.acts import Acts, act_of
from voicehelper.identity.audit import AuditEntry
from voicehelper.identity.model import Principal
from voicehelper.models.catalogue_service import CatalogueService, ModelRecord
from voicehelper.models.model import Kind, ModelEntry
from voicehelper.models.ports import Backends
from voicehelper.ports.chat import ChatDone, ChatEvent, ChatMessage, ChatModel, ChatProgress, ChatRequest

_TEST_S = 20.0
_QUESTION = ChatRequest((ChatMessage("user", "Say OK."),), max_tokens=16, temperature=None, feature="test")
_PLATFORM = frozenset({"platform:write"})


@dataclass(frozen=True, slots=True)
class ModelTest:
    """One small call: `done` is None where `error` says why. Times in milliseconds."""

    total_ms: float
    first_ms: float | None = None
    done: ChatDone | None = None
    error: VoiceHelperError | None = None


@dataclass(frozen=True)
class ModelsDesk:
    """Tenants' administrators keep their tenant's models; the platform's need `platform:write`, and so do calls of
    models that the tenant does not pay for itself. What a change says is in the log; keys are not."""

    service: CatalogueService
    backends: Backends
    acts: Acts
    now: Callable[[], float] = time.perf_counter

    async def find(self, by: Principal, kind: Kind | None, before: UUID | None, limit: int) -> list[ModelRecord]:
        """What the caller's tenant can use, newest first."""
        return await self.service.find(by.tenant_id, kind, before, limit)

    async def get(self, by: Principal, model_id: UUID) -> ModelRecord:
        """One of those. Raises `NotFound`."""
        return await self.service.get(by.tenant_id, model_id)

    async def create(self, by: Principal, entry: ModelEntry, key: str) -> ModelRecord:
        """Raises `InvalidInput`, `Conflict`, and `Forbidden` for the platform's without permission."""
        await self._allowed(by, entry, "model.created")
        async with self.acts.unit(by.tenant_id):
            record = await self.service.create(entry, key)
            await self.acts.audit.record(_act(by, "model.created", record.entry, provider=entry.provider))
        return record

    async def change(
        self, by: Principal, model_id: UUID, version: int, changes: dict[str, Any], key: str | None
    ) -> ModelRecord:
        """See `CatalogueService.change`. Raises `NotFound`, `Forbidden` too."""
        entry = (await self.get(by, model_id)).entry
        await self._allowed(by, entry, "model.changed")
        async with self.acts.unit(by.tenant_id):
            record = await self.service.change(entry, version, changes, key)
            changed = sorted(changes) + (["api_key"] if key is not None else [])
            await self.acts.audit.record(_act(by, "model.changed", record.entry, changed=changed))
        return record

    async def remove(self, by: Principal, model_id: UUID) -> None:
        """Raises `NotFound`, `Forbidden`, and `Conflict` for the instance's own."""
        entry = (await self.get(by, model_id)).entry
        await self._allowed(by, entry, "model.deleted")
        async with self.acts.unit(by.tenant_id):
            await self.service.remove(entry)
            await self.acts.audit.record(_act(by, "model.deleted", entry))

    async def test(self, by: Principal, model_id: UUID) -> ModelTest:
        """Ask the model for a word. Raises `NotFound`, `Forbidden`, and `InvalidInput` for what does not chat."""
        entry = (await self.get(by, model_id)).entry
        await self._allowed(by, entry, "model.tested")
        if entry.kind != "chat":
            raise InvalidInput("Only chat models can be tested", {"kind": entry.kind})
        await self.service.refresh()  # its key may be a moment old
        started = self.now()
        watch = _Watch(lambda: 1000 * (self.now() - started))
        try:
            async with asyncio.timeout(_TEST_S):
                await watch.follow(self.backends.chat(entry))
        except VoiceHelperError as error:
            return watch.ended(error)
        except TimeoutError:
            return watch.ended(DeadlineExceeded())
        return watch.ended()

    async def _allowed(self, by: Principal, entry: ModelEntry, action: str) -> None:
        if entry.tenant_id is None:
            await self.acts.require(by, _PLATFORM, action, "model", entry.id)


@dataclass
class _Watch:
    """Looks at one answer."""

    elapsed_ms: Callable[[], float]
    first_ms: float | None = None
    done: ChatDone | None = None

    async def follow(self, model: ChatModel) -> None:
        # `ChatModel.stream` is an async generator, whose closing hangs up
        async with aclosing(cast(Any, model.stream(_QUESTION))) as events:
            async for event in events:
                self._take(event)

    def _take(self, event: ChatEvent) -> None:
        if isinstance(event, ChatDone):
            self.done = event
        elif not isinstance(event, ChatProgress) and self.first_ms is None:
            self.first_ms = self.elapsed_ms()

    def ended(self, error: VoiceHelperError | None = None) -> ModelTest:
        return ModelTest(self.elapsed_ms(), self.first_ms, self.done, error)


def _act(by: Principal, action: str, entry: ModelEntry, **facts: Any) -> AuditEntry:
    owner = "platform" if entry.tenant_id is None else "tenant"
    return act_of(by, action, "model", entry.id, name=entry.name, owner=owner, **facts)


EDITABLE = frozenset(field.name for field in fields(ModelEntry)) - {
    *("id", "tenant_id", "kind", "provider", "has_key", "version"),
}
"""Fields of an entry that `change` takes."""
