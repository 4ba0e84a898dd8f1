"""The names and terms that a tenant's callers say: products, places, people."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from uuid import UUID

from voicehelper.identity.lru import Lru
from voicehelper.ports.clock import Clock

_FRESH_S = 30.0
_TENANTS = 1024


class HotWords(Protocol):
    """Where they are found."""

    async def of(self, tenant_id: UUID) -> tuple[str, ...]:
        """The tenant's, most important first. Raises `Unavailable`."""
        ...


class RememberedHotWords:
    """Implements `HotWords`, asking `load` for a tenant's at most every half minute."""

    def __init__(self, load: Callable[[UUID], Awaitable[Sequence[str]]], clock: Clock) -> None:
        self._load = load
        self._clock = clock
        self._known: Lru[UUID, tuple[float, tuple[str, ...]]] = Lru(_TENANTS)

    async def of(self, tenant_id: UUID) -> tuple[str, ...]:
        """See `HotWords`."""
        now = self._clock.now()
        known = self._known.get(tenant_id)
        if known is None or not 0 <= now - known[0] < _FRESH_S:
            known = (now, tuple(await self._load(tenant_id)))
            self._known.put(tenant_id, known)
        return known[1]
