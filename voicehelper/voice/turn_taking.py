"""How long a silence must last to end a turn. Pure functions; times in milliseconds."""

from typing import Literal

from voicehelper.voice.model import TurnOptions
from voicehelper.voice.phrases import Kind

PACE_MARGIN = (5, 4)
"""A silence must be longer than this speaker's usual pauses by this fraction to end his turn."""

Weight = Literal["drop", "turn"]


def silence_ms(
    options: TurnOptions, kind: Kind | None, probability: float | None, pace_ms: int = 0, yields: bool = False
) -> int:
    """The silence that ends an utterance.

    Args:
        kind: of what was said so far; None while that is not known.
        probability: that the sound is that of a finished turn; None where not known.
        pace_ms: this speaker's usual pause within a turn; 0 while not known.
        yields: it is a bare answer to a question that we asked ("yes").
    """
    low, high = options.min_silence_ms, max(options.min_silence_ms, options.max_silence_ms)
    if kind in ("stop", "go_on"):
        return 0
    if kind in ("filler", "unfinished"):
        return high if (probability or 0.0) >= 0.95 and kind == "unfinished" else max(high, options.unfinished_ms)
    if kind == "dictating":
        return high
    if kind in ("empty", "invented", "wait", "hum", "affirmation"):
        return low if not yields else (low + high) // 2
    wait = _by_sound(low, high, kind == "complete", probability)
    if kind == "complete" or (probability or 0.0) >= 0.8:
        return wait
    return max(wait, min(pace_ms * PACE_MARGIN[0] // PACE_MARGIN[1], high))


def _by_sound(low: int, high: int, complete: bool, probability: float | None) -> int:
    if probability is None:
        return low if complete else (low + high) // 2
    if complete:
        return low if probability >= 0.3 else (low + high) // 2
    sure = min(max((probability - 0.1) / 0.8, 0.0), 1.0)
    return high - int((high - low) * sure)


def pace(pace_ms: int, gap_ms: int) -> int:
    """The speaker's usual pause, after one more that did not end his turn."""
    gap = min(max(gap_ms, 0), 2000)
    return gap if pace_ms == 0 else (7 * pace_ms + 3 * gap) // 10
