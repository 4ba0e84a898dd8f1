"""The ear of a session: keeps what was heard, and tells when somebody begins and ceases to speak.

Positions are samples at `INPUT_RATE`, counted over the whole session.
"""

from dataclasses import dataclass

import numpy as np

from voicehelper.ports.speech import INPUT_RATE, VoiceActivity
from voicehelper.voice.levels import Levels, levelled
from voicehelper.voice.model import SpeechStarted, SpeechStopped

_WIDTH = 2  # bytes of a sample
_CERTAINLY_NONE = 0.1  # probability
_FORGET_STEP_S = 15  # the memory is cut in steps, since each moves all that is kept


@dataclass(frozen=True, slots=True)
class EarOptions:
    """How the ear hears. Times in milliseconds, kept in whole frames of the detector (32 ms).

    Attributes:
        threshold: probability from which a frame is speech; once somebody speaks, `threshold - hysteresis` suffices.
        speech_ms: speech for so long has begun; shorter sounds are clicks.
        silence_ms: silence for so long is a pause, told to the core, which decides what it means.
        memory_s: how much is kept.
        fresh_start_s: after so long without speech the detector forgets; music or noise would otherwise deafen it.
    """

    threshold: float = 0.5
    hysteresis: float = 0.15
    speech_ms: int = 64
    silence_ms: int = 96
    memory_s: float = 60.0
    fresh_start_s: float = 2.0


class Ear:
    """Hears one session.

    Args:
        vad: the session's own detector.
        start: the position of the first sample (after a resume on another replica: where the client begins again).
    """

    def __init__(self, vad: VoiceActivity, options: EarOptions | None = None, start: int = 0) -> None:
        self._vad = vad
        self._options = options or EarOptions()
        self._frame = vad.frame_samples
        self._levels = Levels()
        self._memory = bytearray()
        self._first = start  # position of the memory's first sample
        self._seen = start  # what the detector has judged
        self._fresh_at = start
        self._speaking = False
        self._run_start = start  # of the frames that contradict `_speaking`
        self._run = 0

    @property
    def position(self) -> int:
        """Samples heard."""
        return self._first + len(self._memory) // _WIDTH

    @property
    def speaking(self) -> bool:
        """Whether somebody speaks, as far as was told."""
        return self._speaking

    def hear(self, pcm: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Takes any amount of sound; returns what it began or ended. Half a sample at the end is left out."""
        self._memory += pcm[: len(pcm) // _WIDTH * _WIDTH]
        count = (self.position - self._seen) // self._frame
        if not count:
            return []
        frames = np.frombuffer(self.audio(self._seen, self._seen + count * self._frame), dtype="<i2")
        sound, levels = self._levels.take(frames.reshape(count, self._frame))
        odds = self._vad.probabilities(sound)
        told = [event for odd, level in zip(odds, levels, strict=True) if (event := self._judge(odd, level))]
        self._forget()
        return told

    def audio(self, start: int, end: int) -> bytes:
        """What was heard from `start` to `end`, as it came, as far as it is still kept."""
        start, end = max(start, self._first), min(end, self.position)
        return bytes(self._memory[(start - self._first) * _WIDTH : max(end - self._first, 0) * _WIDTH])

    def utterance(self, start: int, end: int) -> bytes:
        """What was heard from `start` to `end`, at an even loudness, as a recogniser likes it."""
        return levelled(self.audio(start, end))

    def _judge(self, odd: float, level_db: float) -> SpeechStarted | SpeechStopped | None:
        """One frame further."""
        options = self._options
        at, self._seen = self._seen, self._seen + self._frame
        speech = odd >= options.threshold - (options.hysteresis if self._speaking or self._run else 0.0)
        if speech:
            self._levels.spoke(level_db)
        if speech == self._speaking:
            self._run = 0
            self._freshen(odd)
            return None
        self._run_start = at if self._run == 0 else self._run_start
        self._run += 1
        needed = options.silence_ms if self._speaking else options.speech_ms
        if self._run * self._frame < self._samples(needed):
            return None
        return self._turn_over()

    def _turn_over(self) -> SpeechStarted | SpeechStopped:
        self._speaking, self._run = not self._speaking, 0
        self._fresh_at = self._seen
        return (SpeechStarted if self._speaking else SpeechStopped)(self._run_start, self._seen)

    def _freshen(self, odd: float) -> None:
        """The detector's memory of a long time without speech is of no use, and sometimes harmful."""
        if self._speaking:
            self._fresh_at = self._seen
        elif odd <= _CERTAINLY_NONE and self._seen - self._fresh_at >= self._options.fresh_start_s * INPUT_RATE:
            self._vad.reset()
            self._fresh_at = self._seen

    def _forget(self) -> None:
        kept = int(self._options.memory_s * INPUT_RATE)
        if len(self._memory) // _WIDTH > kept + _FORGET_STEP_S * INPUT_RATE:
            surplus = len(self._memory) // _WIDTH - kept
            del self._memory[: surplus * _WIDTH]
            self._first += surplus

    @staticmethod
    def _samples(milliseconds: int) -> int:
        return milliseconds * INPUT_RATE // 1000
