"""Answers in work hold a short lease, so that a killed replica blocks its conversations for seconds, not for ever."""

import asyncio
from collections.abc import Mapping
from uuid import UUID

from voicehelper.conversations.runs import AnswerRun
from voicehelper.conversations.tasks import end_tasks
from voicehelper.conversations.turns import TurnRepository
from voicehelper.errors import VoiceHelperError
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

LEASE_S = 6.0


class Leases:
    """Renews the leases of this process's answers (keeping the text so far), ends those that are no longer its own or
    shall stop, and expires those of dead processes."""

    def __init__(
        self, turns: TurnRepository, runs: Mapping[UUID, AnswerRun], clock: Clock, lease_s: float = LEASE_S
    ) -> None:
        self._turns = turns
        self._runs = runs
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self.lease_s = lease_s

    def start(self) -> None:
        """Begin to renew and expire in the background, at once and then three times per lease."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the background work."""
        if self._task is not None:
            await end_tasks([self._task])

    async def tend(self) -> None:
        """One round. Renewing comes first: after a pause of the database, our own answers are not taken for dead."""
        writing = [run for run in self._runs.values() if not run.over]
        if writing:
            ours = await self._turns.renew([run.renewal() for run in writing], self.lease_s)
            for run in writing:
                if ours.get(run.id):
                    run.cancel("asked")
        expired = await self._turns.expire(self.lease_s)
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
