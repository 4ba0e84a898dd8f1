"""Keeps a session in the store: in batches, and at once where something depends on it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from voicehelper.errors import Unavailable
from voicehelper.telemetry import get_logger
from voicehelper.voice.store import Batch, Fenced, Hold, Json, SessionStore

log = get_logger(__name__)

_BATCH_S = 1.0
_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)


class Record:
    """What happened and what the session needs to go on elsewhere, written behind its back; whoever must be sure first
    awaits `kept`.

    Args:
        store: where to.
        hold: the right to write.
        snapshot: the session as it is now; called only when a batch is written.
        seq: number of the next entry.
        let_go: told once, when the session is somebody else's by now.
    """

    def __init__(
        self,
        store: SessionStore,
        hold: Hold,
        snapshot: Callable[[], Json],
        seq: int,
        let_go: Callable[[], None],
    ) -> None:
        self.hold = hold
        self.seq = seq
        self._store = store
        self._snapshot = snapshot
        self._let_go = let_go
        self._entries: list[Any] = []
        self._fenced = False
        self._writing = asyncio.Lock()
        self._generation = 0  # counts what was noted
        self._written = 0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def note(self, entry: Any) -> None:
        """An entry of the journal."""
        self._entries.append(entry)
        self.changed()

    def changed(self) -> None:
        """The snapshot is another by now."""
        self._generation += 1
        if self._timer is None and not self._fenced:
            self._timer = asyncio.get_running_loop().call_later(_BATCH_S, self._begin)

    async def kept(self) -> None:
        """Return when everything noted so far is in the store. Raises `Fenced`; waits while the store is away."""
        wanted = self._generation
        for attempt in range(1_000_000):
            if self._written >= wanted:
                return
            try:
                await self._write("")
            except Unavailable as error:
                log.warning("voice.not_kept_yet", session_id=str(self.hold.session_id), reason=error.message)
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])

    async def close(self, ended: str) -> None:
        """The last batch; `ended` says why the session is over, empty where it goes on elsewhere. Never raises."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        try:
            await self._write(ended, force=bool(ended))
        except Fenced:
            pass
        except Unavailable as error:  # whoever tidies up finds it later
            log.warning("voice.end_not_kept", session_id=str(self.hold.session_id), reason=error.message)
        self._fenced = True

    async def _write(self, ended: str, force: bool = False) -> None:
        async with self._writing:
            if self._fenced:
                raise Fenced
            if self._written == self._generation and not force:
                return
            entries, generation = list(self._entries), self._generation
            try:
                await self._store.write(self.hold, Batch(self._snapshot(), self.seq, entries, ended))
            except Fenced:
                self._fenced = True
                self._let_go()
                raise
            del self._entries[: len(entries)]
            self.seq += len(entries)
            self._written = generation

    def _begin(self) -> None:
        self._timer = None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._behind())
        else:
            self.changed()

    async def _behind(self) -> None:
        with suppress(Fenced):
            await self.kept()
