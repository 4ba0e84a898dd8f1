"""English words to Kokoro's phonemes: misaki's lexicons, endings, acronyms, and letters for the rest.

misaki's own English (`misaki.en`) needs spacy, and espeak-ng for unknown words (GPL). Its lexicons are plain JSON (US
English, Apache-2.0): `gold` was checked by hand, `silver` was not. Without a tagger, the word before decides between
noun and verb.
"""

import importlib.resources
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from actors.tts.phonemes.inflection import add_s, stems

Entry = str | Mapping[str, str | None]

_VOWELS = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻɐ")
_BEFORE_NOUN = re.compile("an?|the|my|your|his|her|our|their|this|that|these|those|no|any|some|for|of|with|each")
_BEFORE_VERB = re.compile("to|will|would|can|could|shall|should|must|may|might|please|not|i|you|we|they|let's")
_LONGEST_ACRONYM = 5
_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_LETTER = re.compile(r"[A-Z]s?")
_PLURAL = re.compile(r"(\w+)'s|([A-Z]{2,})s")  # an API's, APIs (which are no bees)
_OVER = {  # what customers' and products' words would otherwise become
    "wifi": "wˈIfˌI",
    "iphone": "ˈIfˌOn",
    "ipad": "ˈIpˌæd",
    "ios": "ˌIˌOˈɛs",
    "alipay": "ˈæləpˌA",
    "huawei": "wˈɑwˌA",
    "xiaomi": "ʃˌWmˈi",
    "taobao": "tˈWbˌW",
    "qwen": "kwˈɛn",
    "kubernetes": "kˌubəɹnˈɛTiz",
    "app": "ˈæp",
    "apps": "ˈæps",
}


class EnglishPhonemes:
    """Says English words, each with an eye on the next.

    Args:
        spell: phonemes of a lower-case word from its letters.
    """

    def __init__(self, spell: Callable[[str], str]) -> None:
        self._gold = _lexicon("us_gold.json")
        self._silver = _lexicon("us_silver.json")
        self._spell = spell

    def __call__(self, words: Sequence[str]) -> list[str]:
        """Phonemes of `words` (letters and apostrophes), which follow each other up to a pause; letters that stand
        alone side by side (U S B) become one word."""
        words = list(_spelled_together(words))
        said: list[str] = []
        following: str | None = None
        for place in reversed(range(len(words))):
            before = words[place - 1].lower() if place else ""
            said.append(self._word(words[place].replace("’", "'"), before, following))
            following = said[-1]
        return [_as_the_model_writes(phonemes) for phonemes in reversed(said)]

    def _word(self, word: str, before: str, following: str | None) -> str:
        vowel_next = None if following is None else _starts_with_vowel(following)
        if function_word := _function_word(word, vowel_next):
            return function_word
        if plural := _PLURAL.fullmatch(word):
            known = self._known(word.lower(), before, vowel_next) if plural[1] else ""
            return known or add_s(self._word(plural[1] or plural[2], before, ""))
        if len(word) > 1 and word.isupper():
            return self._capitals(word, before, vowel_next)
        return self._known(word.lower(), before, vowel_next) or self._parts(word)

    def _capitals(self, word: str, before: str, vowel_next: bool | None) -> str:
        """SIM is a word, USB are letters; IT and US, too, which are others in small letters."""
        entry, lower = self._gold.get(word), word.lower()
        if isinstance(entry, str):
            return entry
        if entry is None and (lower in _OVER or lower in self._gold):
            return self._known(lower, before, vowel_next)
        if len(word) <= _LONGEST_ACRONYM or not set(lower) & set("aeiouy"):
            return self._letters(word)
        return self._known(lower, before, vowel_next) or self._spell(lower)

    def _known(self, word: str, before: str, vowel_next: bool | None) -> str:
        """The word itself or a stem of it, in a lexicon; else nothing."""
        found = self._look_up(word, before, vowel_next)
        if found:
            return found
        for stem, ending in stems(word):
            found = self._look_up(stem, before, vowel_next)
            if found:
                return ending(found)
        return ""

    def _look_up(self, word: str, before: str, vowel_next: bool | None) -> str:
        entry: Entry | None = _OVER.get(word)
        for lexicon in (self._gold, self._silver):
            entry = entry or lexicon.get(word) or lexicon.get(word.capitalize())
        if entry is None or isinstance(entry, str):
            return entry or ""
        kind = _kind(before)
        if vowel_next is None and "None" in entry:
            kind = "None"
        return entry.get(kind) or entry["DEFAULT"] or ""

    def _parts(self, word: str) -> str:
        """WeChat, ChatGPT, and what nobody has heard of."""
        parts: list[str] = _PARTS.findall(word)
        if len(parts) > 1:
            return "".join(self._word(part, "", "") for part in parts)
        plain = word.lower().replace("'", "")
        return self._letters(plain) if len(plain) == 1 or not set(plain) & set("aeiouy") else self._spell(plain)

    def _letters(self, word: str) -> str:
        """Each letter by its name, the last one stressed."""
        names = [str(self._gold[letter]) for letter in word.upper() if letter.isalpha()]
        return "".join(name.replace("ˈ", "ˌ") for name in names[:-1]) + "".join(names[-1:])


def _spelled_together(words: Iterable[str]) -> Iterator[str]:
    for alone, run in groupby(words, key=lambda word: bool(_LETTER.fullmatch(word))):
        if alone:
            yield "".join(run)
        else:
            yield from run


def _function_word(word: str, vowel_next: bool | None) -> str:
    """Words that lean on the next one, which `vowel_next` tells of (None: a pause comes)."""
    if vowel_next is not None and word in {"a", "to", "To"}:
        return {"a": "ɐ"}.get(word) or ("tʊ" if vowel_next else "tə")
    if word in {"in", "In"}:
        return "ˈɪn" if vowel_next is None else "ɪn"
    if word in {"the", "The"}:
        return "ði" if vowel_next else "ðə"
    return {"I": "ˌI", "A": "ɐ" if vowel_next is not None else "", "an": "ɐn", "An": "ɐn"}.get(word, "")


def _kind(before: str) -> str:
    if _BEFORE_NOUN.fullmatch(before):
        return "NOUN"
    return "VERB" if _BEFORE_VERB.fullmatch(before) else "DEFAULT"


def _starts_with_vowel(phonemes: str) -> bool:
    return next((sound in _VOWELS for sound in phonemes if sound not in "ˈˌ"), False)


def _as_the_model_writes(phonemes: str) -> str:
    """Kokoro 1.0 has a sign of its own for the flap, and no glottal stop."""
    return phonemes.replace("ɾ", "T").replace("ʔ", "t")


def _lexicon(name: str) -> dict[str, Entry]:
    data: dict[str, Entry] = json.loads((importlib.resources.files("misaki") / "data" / name).read_text("utf-8"))
    return data
