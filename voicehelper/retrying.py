"""Waiting for engines to come back: background work outlives every outage."""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from voicehelper.errors import VoiceHelperError
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)
T = TypeVar("T")

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 3.0


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later, without anything being wrong with what it was given."""
    if isinstance(error, VoiceHelperError):
        return error.retryable
    return isinstance(error, (ConnectionError, TimeoutError))


def backoff(attempt: int) -> float:
    """Seconds before attempt `attempt` + 1 (from 0): doubling, capped, spread by a fifth."""
    wait: float = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(attempt, 10))
    return wait * random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, keeps no secret


async def until_available(what: str, call: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """The result of `call`, tried again for as long as it fails transiently. Other errors pass through."""
    attempt = 0
    while True:
        try:
            return await call()
        except (VoiceHelperError, ConnectionError, TimeoutError) as error:
            if not is_transient(error):
                raise
            if attempt in (0, 5) or attempt % 20 == 0:
                log.warning("waiting.for_engine", what=what, attempt=attempt + 1, error=str(error))
        await clock.sleep(backoff(attempt))
        attempt += 1
