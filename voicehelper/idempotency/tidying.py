"""Keys older than a day are forgotten."""

from typing import Protocol

from voicehelper.errors import VoiceHelperError
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

EVERY_S = 600.0
BATCH = 1000


class Prunable(Protocol):
    """Keys that can be forgotten."""

    async def prune(self, limit: int) -> int:
        """Forget up to `limit` keys whose time is over; returns how many. Raises `Unavailable`."""
        ...


async def forget_expired(keys: Prunable, clock: Clock) -> None:
    """Every ten minutes, in batches that hold no lock for long, until cancelled."""
    while True:
        await clock.sleep(EVERY_S)
        try:
            while await keys.prune(BATCH) == BATCH:
                pass
        except VoiceHelperError as error:
            log.warning("idempotency.prune_postponed", error=str(error))
