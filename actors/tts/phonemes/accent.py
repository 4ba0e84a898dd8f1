"""English words inside a Chinese sentence, written so that a Chinese voice says them rightly.

Kokoro's Chinese and English share signs that mean different sounds: `p` is the p of "Paypal" in English, but the b of
北 in Chinese, where the other one is `pʰ`; and Chinese diphthongs are written out. In a sentence that is English
throughout, the voice knows; within Chinese it takes the Chinese meaning (measured: docs/voice-speech.md).
"""

import re

_ASPIRATED = re.compile(r"(?<!s)([ptk])(?=[ˈˌ]?[AIOQWYaiuæɑəɛɜɪʊʌᵻɔɹljw])")
_DIPHTHONGS = str.maketrans({"A": "ei", "I": "ai", "O": "ou", "W": "au", "Y": "ɔi"})


def within_chinese(phonemes: str) -> str:
    """English `phonemes` in the Chinese notation."""
    return _ASPIRATED.sub(r"\1ʰ", phonemes).translate(_DIPHTHONGS)
