"""Answers in work hold a short lease, so that a killed replica blocks its conversations for seconds, not for ever."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from voicehelper.conversations.draft import Draft
from voicehelper.conversations.model import TurnRepository
from voicehelper.errors import VoiceHelperError
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

LEASE_S = 10.0


class Leases:
    """Renews the leases of this process's answers (keeping the text so far) and expires those of dead processes."""

    def __init__(self, repository: TurnRepository, clock: Clock, lease_s: float = LEASE_S) -> None:
        self._repository = repository
        self._clock = clock
        self._active: dict[UUID, Draft] = {}
        self._task: asyncio.Task[None] | None = None
        self.lease_s = lease_s

    def start(self) -> None:
        """Begin to renew and expire in the background, at once and then three times per lease."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the background work."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @contextmanager
    def hold(self, draft: Draft) -> Iterator[None]:
        """Renew the lease of `draft` within the block."""
        self._active[draft.message_id] = draft
        try:
            yield
        finally:
            self._active.pop(draft.message_id, None)

    async def tend(self) -> None:
        """One round. Renewing comes first: after a pause of the database, our own answers are not taken for dead."""
        if self._active:
            await self._repository.renew(
                [(draft.message_id, draft.text) for draft in self._active.values()], self.lease_s
            )
        expired = await self._repository.expire()
        if expired:
            log.warning("answers.expired", count=expired)

    async def _run(self) -> None:
        while True:
            try:
                await self.tend()
            except VoiceHelperError as error:  # the database is away; it will be back
                log.warning("leases.not_tended", code=error.code, reason=error.message)
            except Exception as error:  # without this loop every answer of the process loses its lease
                log.error("leases.failed", error=type(error).__name__, exc_info=error)
            await self._clock.sleep(self.lease_s / 3)
