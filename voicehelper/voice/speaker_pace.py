"""Where the client's playing probably is: its own reports, and the clock between them. Pure, in samples and seconds."""

_TRUST_S = 0.5  # a client that reports is believed to play on for so long after its last word


class Playhead:
    """Estimates what the client has played.

    A client that never reports is assumed to play sound as it gets it, without a break.

    Args:
        rate: samples per second.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._base = 0  # reports of what is before it came too late
        self._at = 0  # played at `_since`
        self._since = 0.0
        self._sent = 0
        self._held = False
        self.reports = False

    def sent(self, sample: int, now: float) -> None:
        """Everything before `sample` was sent."""
        if self.at(now) >= self._sent:  # it had run dry: playing starts anew
            self._at, self._since = self._sent, now
        self._sent = sample

    def report(self, sample: int, now: float) -> None:
        """The client has played everything before `sample`."""
        self.reports = True
        if self._base <= sample <= self._sent:
            self._at, self._since = sample, now

    def jump(self, sample: int, now: float) -> None:
        """What was sent is dropped; the next sound begins at `sample`."""
        self._base = self._at = self._sent = sample
        self._since, self._held = now, False

    def hold(self, now: float) -> None:
        """The client stops playing, and keeps what it has."""
        self._at, self._since, self._held = self.at(now), now, True

    def resume(self, now: float) -> None:
        """It goes on."""
        if self._held:
            self._since, self._held = now, False

    def at(self, now: float) -> int:
        """Samples played by `now`."""
        if self._held:
            return self._at
        elapsed = now - self._since
        if self.reports:
            elapsed = min(elapsed, _TRUST_S)
        return min(self._sent, self._at + int(elapsed * self._rate))

    def wait(self, sample: int, lead: int, now: float) -> float:
        """Seconds until sound up to `sample` may be sent, so that at most `lead` samples are sent and not played."""
        return max(0.0, (sample - lead - self.at(now)) / self._rate)
