"""Whisper's vocabulary: prompts, text, words."""

import string
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer

MAX_PROMPT = 160  # of the 224 tokens that the model looks back on; each costs time
_BROKEN = "�"  # what half a character decodes to
_CLOSED_UP = frozenset({"zh", "yue", "ja", "th", "lo", "my"})  # written without spaces
# Whisper writes down Chinese in either script, and often without punctuation; an example settles both.
_EXAMPLES = {"zh": "以下是普通话的句子。"}
_HOT_WORDS = {"zh": "提到：{words}。"}
_SEPARATORS = {"zh": "、"}


class WhisperTokens:
    """The tokenizer of one model."""

    def __init__(self, file: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(file))
        self.end = self._id("<|endoftext|>")
        self._start = self._id("<|startoftranscript|>")
        self._before = self._id("<|startofprev|>")
        self._task = [self._id("<|transcribe|>"), self._id("<|notimestamps|>")]

    def knows(self, language: str) -> bool:
        """Whether the model writes this language (ISO 639-1) down."""
        return self._tokenizer.token_to_id(f"<|{language}|>") is not None

    def begin(self, language: str) -> list[int]:
        """What the transcript begins with."""
        return [self._start, self._id(f"<|{language}|>"), *self._task]

    def start_for_alignment(self, language: str) -> list[int]:
        """The same without the mark that there are no times."""
        return self.begin(language)[:-1]

    def context(self, language: str, hot_words: Sequence[str]) -> list[int]:
        """What comes before the transcript: script, punctuation, and words to expect. Empty where nothing is to say."""
        example = _EXAMPLES.get(language, "")
        fitting = bisect_left(
            range(1, min(len(hot_words), MAX_PROMPT) + 1),
            True,
            key=lambda count: len(self._encoded(example + _expected(language, hot_words[:count]))) > MAX_PROMPT,
        )
        ids = self._encoded(example + _expected(language, hot_words[:fitting]))
        return [self._before, *ids[:MAX_PROMPT]] if ids else []

    def _encoded(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(" " + text, add_special_tokens=False).ids if text else []
        return ids

    def text(self, ids: Iterable[int]) -> str:
        """The text of a transcript; half a character at its end is left out."""
        return self._tokenizer.decode([i for i in ids if i < self.end]).rstrip(_BROKEN).strip()

    def words(self, ids: Sequence[int], language: str) -> list[list[int]]:
        """The tokens of each word: what spaces part, or in languages without them, each whole character."""
        pieces: list[list[int]] = []
        current: list[int] = []
        for token in ids:
            current.append(token)
            if _BROKEN not in self._tokenizer.decode(current):
                pieces.append(current)
                current = []
        if current:
            pieces.append(current)
        return pieces if language in _CLOSED_UP else self._joined(pieces)

    def decode(self, ids: Sequence[int]) -> str:
        """As it stands, spaces included."""
        return str(self._tokenizer.decode(list(ids)))

    def _joined(self, pieces: list[list[int]]) -> list[list[int]]:
        words: list[list[int]] = []
        for piece in pieces:
            text = self.decode(piece)
            if not words or text.startswith(" ") or text.strip() in string.punctuation:
                words.append(list(piece))
            else:
                words[-1] += piece
        return words

    def _id(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"The tokenizer has no {token}")
        return int(found)


def _expected(language: str, hot_words: Sequence[str]) -> str:
    if not hot_words:
        return ""
    words = _SEPARATORS.get(language, ", ").join(hot_words)
    return _HOT_WORDS.get(language, "Glossary: {words}.").format(words=words)
