"""When an event is tried again, and when no more: functions of (failure, attempt, times)."""

import random
import traceback
from dataclasses import dataclass
from pathlib import Path

from voicehelper.errors import RateLimited, Unavailable, VoiceHelperError
from voicehelper.events.fact import UnreadableEvent
from voicehelper.retrying import backoff

_LONGEST_S = 60.0
_PACKAGES = ("voicehelper", "deployments", "actors", "pipelines")


class HandlerTimeout(VoiceHelperError):
    """The handler took longer than it may."""

    code = 50001
    default_message = "The handler ran out of time"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long.

    Attributes:
        max_attempts: failures of the event itself before it is buried.
        backoff_s: wait after the first of them; doubles each time, up to a minute.
        outage_s: how long an engine may be away or overloaded before the event that needs it is buried. Such failures
            are not counted: an outage is not the event's fault.
        handler_s: time of one attempt.
    """

    max_attempts: int = 5
    backoff_s: float = 1.0
    outage_s: float = 900.0
    handler_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after `wait_s` seconds; `counted` says whether the failure counts as one of the attempts."""

    wait_s: float
    counted: bool


@dataclass(frozen=True, slots=True)
class Bury:
    """Give it up."""

    reason: str


def after_failure(failure: Exception, attempt: int, failing_s: float, policy: RetryPolicy) -> Again | Bury:
    """What to do after attempt `attempt` (from 1) failed, `failing_s` seconds after the first failure in a row."""
    if isinstance(failure, (Unavailable, RateLimited, ConnectionError)):
        if failing_s >= policy.outage_s:
            return Bury(describe(failure))
        return Again(backoff(int(failing_s)), counted=False)
    if isinstance(failure, UnreadableEvent) or attempt >= policy.max_attempts:
        return Bury(describe(failure))
    wait = min(_LONGEST_S, policy.backoff_s * 2 ** min(attempt - 1, 16))
    return Again(wait * random.uniform(0.9, 1.1), counted=True)  # noqa: S311 - spreads retries, keeps no secret


def describe(failure: Exception) -> str:
    """A line for people. Texts of foreign exceptions may hold what users wrote, so only their class and place are
    given."""
    if isinstance(failure, VoiceHelperError):
        return f"{type(failure).__name__}: {failure.message}"
    ours = [
        frame for frame in traceback.extract_tb(failure.__traceback__) if any(p in frame.filename for p in _PACKAGES)
    ]
    place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno} in {ours[-1].name}" if ours else ""
    return f"{type(failure).__name__}{place}"
