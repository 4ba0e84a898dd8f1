"""How much a session may send: sound in real time, with some to catch up."""

from voicehelper.errors import InvalidInput, RateLimited
from voicehelper.ports.speech import INPUT_RATE

LONGEST_FRAME_S = 2.0
"""More sound than that in one frame is no frame."""

_BURST_S = 5.0
_RESUME_S = 90.0
_PATIENCE_S = 30.0


class Pace:
    """Sound may come in real time, and `burst_s` of it at once: networks stutter. Who sends faster is made to wait (he
    is not read), and who goes on so without a break is sent away.

    Args:
        now: seconds.
        resumed: what was recorded while there was no connection comes at once.
    """

    def __init__(self, now: float, *, resumed: bool = False, burst_s: float = _BURST_S) -> None:
        self._burst = burst_s
        self._saved = _RESUME_S if resumed else burst_s
        self._at = now
        self._waiting_since: float | None = None

    def take(self, samples: int, now: float) -> float:
        """Seconds to wait before more is read.

        Raises `InvalidInput` for too long a frame; `RateLimited` where the client has been ahead for too long.
        """
        seconds = samples / INPUT_RATE
        if seconds > LONGEST_FRAME_S:
            raise InvalidInput("A frame of sound is at most two seconds", {"longest_s": LONGEST_FRAME_S})
        if self._saved < self._burst:
            self._saved = min(self._burst, self._saved + now - self._at)
        self._at = now
        self._saved -= seconds
        if self._saved >= 0:
            self._waiting_since = None
            return 0.0
        if self._waiting_since is None:
            self._waiting_since = now
        if now - self._waiting_since > _PATIENCE_S:
            raise RateLimited("Sound comes faster than real time", {"limit": "voice input"})
        return -self._saved
