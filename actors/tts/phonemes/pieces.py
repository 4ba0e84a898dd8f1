"""Cutting what is to be said into pieces that are synthesised one after the other.

A piece ends at the end of a sentence, at a comma once it is long enough (the first sound then waits for less), and
before the model's limit.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from actors.tts.phonemes.mixed import Sound

LONGEST = 300
"""Phonemes of one piece; the model takes 510, and hurries when it gets so many."""
_SHORTEST = 24  # phonemes on both sides of a cut at a comma: some seven Chinese characters
_OPENING, _CLOSING = "“(", '”")'
_SENTENCE_ENDS = frozenset(".!?…")
_CLAUSE_ENDS = frozenset(",;:—")
_PAUSES_MS = {".": 320, "!": 320, "?": 340, "…": 400, ",": 160, ";": 240, ":": 200, "—": 200}
_NO_PAUSE_MS = 40


@dataclass(frozen=True, slots=True)
class Piece:
    """Phonemes to say at once, and the silence after them in milliseconds at normal speed."""

    phonemes: str
    pause_ms: int


def pieces(sounds: Iterable[Sound]) -> list[Piece]:
    """The pieces of an utterance; none where nothing can be said."""
    sounds = _within_limit(sounds)
    left = sum(len(sound.text) + 1 for sound in sounds)
    done: list[Piece] = []
    piece = ""
    for place, sound in enumerate(sounds):
        left -= len(sound.text) + 1
        if not sound.mark and len(piece) + len(sound.text) >= LONGEST:
            done.append(_piece(piece))
            piece = ""
        piece += sound.text if sound.mark or not piece else f" {sound.text}"
        marks_follow = place + 1 < len(sounds) and sounds[place + 1].mark and sounds[place + 1].text not in _OPENING
        if sound.mark and not marks_follow and _ends_here(piece, left):
            done.append(_piece(piece))
            piece = ""
    return [piece for piece in (*done, _piece(piece)) if any(map(str.isalpha, piece.phonemes))]


def _ends_here(piece: str, left: int) -> bool:
    last = piece.rstrip(_CLOSING)[-1:]
    if last in _SENTENCE_ENDS:
        return True
    return last in _CLAUSE_ENDS and len(piece) >= _SHORTEST and left >= _SHORTEST


def _piece(phonemes: str) -> Piece:
    last = phonemes.rstrip(_CLOSING)[-1:]
    return Piece(phonemes.strip(), _PAUSES_MS.get(last, _NO_PAUSE_MS))


def _within_limit(sounds: Iterable[Sound]) -> list[Sound]:
    """A run that is too long by itself (a word of hundreds of letters) is cut anywhere."""
    return [
        Sound(sound.text[start : start + LONGEST - 1], sound.mark)
        for sound in sounds
        for start in range(0, len(sound.text), LONGEST - 1)
    ]
