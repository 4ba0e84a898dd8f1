"""What a tenant's callers probably say: the words of its documents."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.identity.lru import Lru
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger
from voicehelper.voice.sound_alike import SoundAlikes, terms_of

log = get_logger(__name__)

Wording = Callable[[UUID], Awaitable[Sequence[str]]]
"""Texts in the words of a tenant: names, headings and passages of its documents. Raises `Unavailable`."""

_FRESH_S = 300.0
_TENANTS = 64
_EXPECTED = 60  # more than a recogniser looks at


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words of one tenant. `expected`: those that a recogniser is told of, most frequent first."""

    expected: tuple[str, ...] = ()
    alikes: SoundAlikes = field(default_factory=lambda: SoundAlikes(()))


class Vocabularies:
    """Vocabularies of tenants, made of `wording` in the background and anew when they are five minutes old.

    Asking never waits: until the first is made, a tenant's is empty.
    """

    def __init__(self, wording: Wording, clock: Clock) -> None:
        self._wording = wording
        self._clock = clock
        self._known: Lru[UUID, tuple[float, Vocabulary]] = Lru(_TENANTS)
        self._making: dict[UUID, asyncio.Task[None]] = {}

    def of(self, tenant_id: UUID) -> Vocabulary:
        """The tenant's, as far as it is known."""
        at, known = self._known.get(tenant_id) or (None, Vocabulary())
        if (at is None or not 0 <= self._clock.now() - at < _FRESH_S) and tenant_id not in self._making:
            task = self._making[tenant_id] = asyncio.create_task(self._make(tenant_id))
            task.add_done_callback(lambda _: self._making.pop(tenant_id, None))
        return known

    async def settled(self) -> None:
        """Wait for what is being made."""
        await asyncio.gather(*self._making.values())

    async def _make(self, tenant_id: UUID) -> None:
        try:
            texts = await self._wording(tenant_id)
        except Unavailable as error:
            log.warning("voice.no_vocabulary", reason=error.message)
            return
        vocabulary = await asyncio.to_thread(_vocabulary, texts)
        self._known.put(tenant_id, (self._clock.now(), vocabulary))


def _vocabulary(texts: Sequence[str]) -> Vocabulary:
    terms = terms_of(texts)
    return Vocabulary(tuple(terms[:_EXPECTED]), SoundAlikes(terms))
