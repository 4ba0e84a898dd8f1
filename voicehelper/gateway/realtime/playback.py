"""The sound on its way to a client that never says what it has played. Pure, but for `clock`.

A client of the protocol drops what it has buffered as soon as it is told that the user speaks. Where that turns out to
be no turn, what it had not played yet is sent once more.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from voicehelper.voice.outputs import Frame, SoundStopped
from voicehelper.voice.speaker_pace import Playhead

_KEPT_S: Final = 3.0
"""Sound that is remembered; a client is never that far behind."""


class Playback:
    """What was sent, and what of it was probably played.

    Args:
        rate: samples per second.
        clock: seconds, monotonic.

    Attributes:
        end: the sample after the last that was sent.
    """

    def __init__(self, rate: int, clock: Callable[[], float]) -> None:
        self.rate = rate
        self.end = 0
        self._clock = clock
        self._head = Playhead(rate)
        self._kept: deque[Frame] = deque()
        self._generation = 0

    @property
    def sounding(self) -> bool:
        """Whether the client is still playing."""
        return self._head.at(self._clock()) < self.end

    def sent(self, frame: Frame) -> bool:
        """`frame` goes to the client; False where its sound was stopped meanwhile."""
        if frame.generation < self._generation:
            return False
        self.end = frame.sample + samples_of(frame)
        self._head.sent(self.end, self._clock())
        self._kept.append(frame)
        while self._kept[0].sample < self.end - _KEPT_S * self.rate:
            self._kept.popleft()
        return True

    def held(self) -> None:
        """The client stops, and drops what it has not played."""
        self._head.hold(self._clock())

    def resumed(self) -> list[Frame]:
        """The client goes on; what it has dropped."""
        now = self._clock()
        at = self._head.at(now)
        self._head.resume(now)
        return [_after(frame, at) for frame in self._kept if frame.sample + samples_of(frame) > at]

    def stopped(self, stop: SoundStopped) -> None:
        """What was sent is dropped for good."""
        self._generation = stop.generation
        self.end = stop.sample
        self._head.jump(stop.sample, self._clock())
        self._head.resume(self._clock())
        self._kept.clear()


def samples_of(frame: Frame) -> int:
    """Length of a frame."""
    return len(frame.pcm) // 2


def _after(frame: Frame, sample: int) -> Frame:
    skip = max(0, sample - frame.sample)
    return replace(frame, sample=frame.sample + skip, pcm=frame.pcm[skip * 2 :])
