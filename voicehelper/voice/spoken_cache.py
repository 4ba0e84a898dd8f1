"""Sound that was made before: of a tenant's frequent phrases and answers, in one voice.

A process remembers what it made last (`SpokenCache`); behind it may lie a store that all replicas share and that is
never waited for longer than a moment.
"""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import astuple, dataclass
from typing import Protocol
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

_LOOK_S = 0.03
_REST_S = 5.0
_MOST_WRITES = 32


@dataclass(frozen=True, slots=True)
class SpokenKey:
    """What was said, for whom, and how. Nothing is shared between tenants."""

    tenant_id: UUID
    model: str
    voice: str
    style: str
    speed: float
    language: str
    text: str

    def digest(self) -> str:
        """The key without its text: 32 hex digits."""
        parts = "\x00".join(map(str, astuple(self)))
        return hashlib.sha256(parts.encode()).hexdigest()[:32]


class SpokenStore(Protocol):
    """Shared by replicas. Both raise `Unavailable`."""

    async def get(self, key: SpokenKey) -> bytes | None:
        """The PCM, if it is there."""
        ...

    async def put(self, key: SpokenKey, pcm: bytes) -> None:
        """Keep it for a while."""
        ...


class SpokenCache:
    """The least recently used sound goes first. A clause is put into the store when it is wanted a second time: what is
    said once is nobody's business afterwards.

    Args:
        most_bytes: of PCM in this process.
        store: behind it, if any.
    """

    def __init__(self, most_bytes: int, store: SpokenStore | None = None) -> None:
        self._most = most_bytes
        self._store = store
        self._kept: OrderedDict[SpokenKey, bytes] = OrderedDict()
        self._bytes = 0
        self._stored: OrderedDict[SpokenKey, None] = OrderedDict()
        self._away_until = 0.0
        self._writes: set[asyncio.Task[None]] = set()

    @property
    def size(self) -> int:
        """PCM held now."""
        return self._bytes

    def here(self, key: SpokenKey) -> bytes | None:
        """The PCM, if this process has it."""
        pcm = self._kept.get(key)
        if pcm is not None:
            self._kept.move_to_end(key)
            self._spread(key, pcm)
        return pcm

    async def find(self, key: SpokenKey) -> bytes | None:
        """The PCM, if this process or, within a moment, the store has it."""
        if (pcm := self.here(key)) is not None:
            metrics.SPOKEN_CACHE.labels("here").inc()
            return pcm
        pcm = await self._look(key)
        metrics.SPOKEN_CACHE.labels("miss" if pcm is None else "store").inc()
        if pcm is not None:
            self._keep(key, pcm)
            self._mark(key)
        return pcm

    def keep(self, key: SpokenKey, pcm: bytes, frequent: bool = False) -> None:
        """Remember what was made. `frequent`: other replicas will want it too."""
        self._keep(key, pcm)
        if frequent:
            self._spread(key, pcm)

    async def settled(self) -> None:
        """Wait for the writes in work."""
        await asyncio.gather(*self._writes, return_exceptions=True)

    def _keep(self, key: SpokenKey, pcm: bytes) -> None:
        if len(pcm) * 8 > self._most:  # one sound shall not drive out all others
            return
        self._bytes += len(pcm) - len(self._kept.pop(key, b""))
        self._kept[key] = pcm
        while self._bytes > self._most:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped)

    async def _look(self, key: SpokenKey) -> bytes | None:
        loop = asyncio.get_running_loop()
        if self._store is None or loop.time() < self._away_until:
            return None
        try:
            async with asyncio.timeout(_LOOK_S):
                return await self._store.get(key)
        except (Unavailable, TimeoutError):
            self._away_until = loop.time() + _REST_S
            return None

    def _spread(self, key: SpokenKey, pcm: bytes) -> None:
        """Put it into the store, once, in the background."""
        if self._store is None or key in self._stored or len(self._writes) >= _MOST_WRITES:
            return
        self._mark(key)
        task = asyncio.get_running_loop().create_task(self._write(self._store, key, pcm))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    def _mark(self, key: SpokenKey) -> None:
        self._stored[key] = None
        while len(self._stored) > 4 * max(len(self._kept), 64):
            self._stored.popitem(last=False)

    async def _write(self, store: SpokenStore, key: SpokenKey, pcm: bytes) -> None:
        try:
            await store.put(key, pcm)
        except Unavailable:
            self._stored.pop(key, None)
            log.debug("spoken_cache.not_stored")
