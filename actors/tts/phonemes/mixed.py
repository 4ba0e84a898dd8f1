"""Text in Chinese, English or both to phonemes that one voice reads.

What arrives is already written as it is spoken. A digit that slipped through is read by itself, a sign without a sound
is a gap between words.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from actors.tts.phonemes.accent import within_chinese
from actors.tts.phonemes.chinese import chinese
from actors.tts.phonemes.english import EnglishPhonemes

_TOKEN = re.compile(
    r"(?P<han>[\u3400-\u9fff\uf900-\ufaff〇]+)"
    r"|(?P<latin>[A-Za-z]+(?:['’][A-Za-z]+)*)"
    r"|(?P<digit>[0-9０-９])"
    r"|(?P<mark>[,.!?;:，。！？；：、．…—“”\"《》「」『』【】()（）])"
    r"|(?P<sign>[%&+@=])"
    r"|(?P<line>\n)"
)
_MARKS = str.maketrans("，。！？；：、．《》「」『』【】（）", ",.!?;:,.“”“”“”“”()")
_DIGITS = {
    "zh": "零一二三四五六七八九",
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
}
_SIGNS = {
    "zh": {"%": "百分号", "&": "和", "+": "加", "@": "艾特", "=": "等于"},
    "en": {"%": "percent", "&": "and", "+": "plus", "@": "at", "=": "equals"},
}


@dataclass(frozen=True, slots=True)
class Sound:
    """A word or a run of Chinese, as phonemes; or a mark, which stands at once after what is before it."""

    text: str
    mark: bool = False


class Phonemizer:
    """Turns text into sounds.

    Args:
        spell: English words that are in no lexicon, from their letters.
    """

    def __init__(self, spell: Callable[[str], str]) -> None:
        self._english = EnglishPhonemes(spell)

    def __call__(self, text: str, language: str, chinese_voice: bool = True) -> list[Sound]:
        """The sounds of `text`; digits and signs are read in `language` (`zh`, else English)."""
        tokens = _tokens(text, "zh" if language == "zh" else "en")
        accent = chinese_voice and any(kind == "han" for kind, _ in tokens)
        sounds: list[Sound] = []
        for kind, run in groupby(tokens, key=lambda token: token[0]):
            texts = [token[1] for token in run]
            if kind == "mark":
                sounds += [Sound(text, mark=True) for text in texts]
            else:
                sounds += [Sound(said) for said in self._say(kind, texts, accent) if said]
        return sounds

    def _say(self, kind: str, texts: Sequence[str], accent: bool) -> list[str]:
        if kind == "han":
            return chinese("".join(texts)).split(" ")
        said = self._english(texts)
        return [within_chinese(word) for word in said] if accent else said


def _tokens(text: str, language: str) -> list[tuple[str, str]]:
    """Kind (`han`, `latin`, `mark`) and text of every token."""
    found = []
    for match in _TOKEN.finditer(text):
        kind, token = str(match.lastgroup), match.group()
        if kind == "line":
            found.append(("mark", "."))
        elif kind == "mark":
            found.append(("mark", token.translate(_MARKS)))
        elif kind in {"digit", "sign"}:
            spoken = _DIGITS[language][int(token)] if kind == "digit" else _SIGNS[language][token]
            found.append(("han" if language == "zh" else "latin", spoken))
        else:
            found.append((kind, token))
    return found
