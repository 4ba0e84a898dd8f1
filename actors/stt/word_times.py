"""When each word was said, from the decoder's attention to the audio (dynamic time warping, as in openai/whisper)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.stt.tokens import WhisperTokens
from voicehelper.ports.speech import Word

_PER_SECOND = 50  # steps of the encoder's output


def word_times(  # noqa: PLR0917
    model: Any, tokens: WhisperTokens, encoded: Any, ids: Sequence[int], language: str, frames: int
) -> tuple[Word, ...]:
    """The words of one transcript with their times.

    Args:
        model: the `ctranslate2.models.Whisper`.
        encoded: its encoder's output for the utterance alone.
        ids: text tokens of the transcript.
        frames: of the spectrum that are not padding.
    """
    aligned = model.align(encoded, tokens.start_for_alignment(language), [list(ids)], [frames])[0]
    words = tokens.words(ids, language)
    text_at, time_at = (np.array(column) for column in zip(*aligned.alignments, strict=True))
    begins = time_at[np.diff(text_at, prepend=-1).astype(bool)] / _PER_SECOND
    edges = np.minimum(np.cumsum([0, *map(len, words)]), len(begins) - 1)
    return tuple(
        Word(tokens.decode(word), float(begins[start]), float(begins[end]))
        for word, start, end in zip(words, edges[:-1], edges[1:], strict=True)
    )
