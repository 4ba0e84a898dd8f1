"""Chinese characters to Kokoro's phonemes: words by rjieba, pinyin by pypinyin, IPA by misaki.

This is the recipe the model was trained with (`misaki.zh`, Apache-2.0, its version for Kokoro 1.0), with rjieba in the
place of jieba: the same dictionary without seconds of loading. Tones stay as in the dictionary, 一 and 不 too.
"""

from functools import lru_cache

import rjieba
from misaki.transcription import pinyin_to_ipa
from pypinyin import Style, lazy_pinyin

_TONES = (("˧˩˧", "↓"), ("˧˥", "↗"), ("˥˩", "↘"), ("˥", "→"))
_SYLLABIC = (("ɻ\u0329", "ɨ"), ("ɹ\u0329", "ɨ"), ("\u032f", ""))


def chinese(text: str) -> str:
    """Phonemes of a run of Chinese characters, a space between words. Characters without a reading are left out."""
    return " ".join(filter(None, map(_word, rjieba.cut(text))))


def _word(word: str) -> str:
    return "".join(_syllable(pinyin) for pinyin in lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True))


@lru_cache(4096)
def _syllable(pinyin: str) -> str:
    if not pinyin.isascii():  # pypinyin hands back what it cannot read
        return ""
    ipa = "".join(pinyin_to_ipa(pinyin)[0])
    for marks, symbol in (*_TONES, *_SYLLABIC):
        ipa = ipa.replace(marks, symbol)
    return ipa
