"""What callers say: a recording with known ends, as the detector itself hears them."""

import random
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voicehelper.ports.speech import INPUT_RATE, VoiceActivityDetector
from voicehelper.voice.levels import Samples, loud_part_db, pcm_of

SPEECH = Path(__file__).resolve().parents[3] / "shared" / "data" / "speech"
_LOUDNESS_DB = -23.0
_QUIET = 3.0  # of 32768: digital silence is nothing a microphone gives


@dataclass(frozen=True)
class Said:
    """PCM at 16 kHz; the first speech in it begins at `begin` and the last ends at `end` (samples), to the detector."""

    pcm: bytes
    begin: int
    end: int


def recording(name: str = "zh_aishell_BAC009S0764W0121.wav") -> Samples:
    """The samples of one of the recordings, at the loudness of a near microphone."""
    with wave.open(str(SPEECH / name)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32)
    return samples * np.float32(10 ** ((_LOUDNESS_DB - loud_part_db(samples)) / 20))


def said(
    detector: VoiceActivityDetector, speech: Samples, before_s: float, after_s: float, dice: random.Random
) -> Said:
    """`speech` with so much quiet around it, shifted at random against the frames of callers and detector; so that its
    ends are the same to a server that waits for a probability under 0.5 and to one that waits for 0.35."""
    while True:
        pcm = _shifted(speech, before_s, after_s, dice)
        begin, end = ends(detector, pcm, 0.5)
        if (begin, end) == ends(detector, pcm, 0.35):
            return Said(pcm, begin, end)


def _shifted(speech: Samples, before_s: float, after_s: float, dice: random.Random) -> bytes:
    noise = np.random.default_rng(dice.randrange(2**32))
    lead = int(before_s * INPUT_RATE) + dice.randrange(1024)
    whole = noise.normal(0, _QUIET, lead + len(speech) + int(after_s * INPUT_RATE)).astype(np.float32)
    whole[lead : lead + len(speech)] += speech
    return pcm_of(whole)


def ends(detector: VoiceActivityDetector, pcm: bytes, threshold: float) -> tuple[int, int]:
    """From the first to behind the last frame that is speech."""
    vad = detector.listen()
    heard = [number for number, odd in enumerate(vad.probabilities(pcm)) if odd >= threshold]
    return heard[0] * vad.frame_samples, (heard[-1] + 1) * vad.frame_samples
