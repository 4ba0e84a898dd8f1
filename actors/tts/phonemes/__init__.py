"""From text to what Kokoro reads: phonemes of Chinese and English, in one string."""

from actors.tts.phonemes.mixed import Phonemizer
from actors.tts.phonemes.pieces import Piece, pieces

__all__ = ["Phonemizer", "Piece", "pieces"]
