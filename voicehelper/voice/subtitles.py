"""Passages as lines with times, and as subtitle files."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from voicehelper.voice.dictation import Passage

_SENTENCE_ENDS = "。！？!?."
_LONGEST_S = 10.0
_LONGEST_CHARS = 84


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence or a part of one; seconds from the start of the recording."""

    start_s: float
    end_s: float
    text: str
    confidence: float


def lines(passages: Iterable[Passage]) -> Iterator[Line]:
    """Passages at their sentence ends, and where a line would be too long for a screen. Without times of words, a
    passage is one line."""
    for passage in passages:
        words, confidence = passage.transcript.words, passage.transcript.confidence
        if not words:
            yield Line(passage.start_s, passage.end_s, passage.transcript.text, confidence)
            continue
        begin = 0
        for index, word in enumerate(words):
            text = "".join(w.text for w in words[begin : index + 1])
            ended = word.text.rstrip()[-1:] in _SENTENCE_ENDS and word.text.strip()
            full = word.end_s - words[begin].start_s >= _LONGEST_S or len(text) >= _LONGEST_CHARS
            if ended or full or index == len(words) - 1:
                if text.strip():
                    yield Line(words[begin].start_s, word.end_s, text.strip(), confidence)
                begin = index + 1


def srt(found: Iterable[Line]) -> str:
    """A SubRip file."""
    blocks = (f"{n}\n{_clock(x.start_s, ',')} --> {_clock(x.end_s, ',')}\n{x.text}\n" for n, x in enumerate(found, 1))
    return "\n".join(blocks)


def vtt(found: Iterable[Line]) -> str:
    """A WebVTT file."""
    blocks = (f"{_clock(x.start_s, '.')} --> {_clock(x.end_s, '.')}\n{_cue(x.text)}\n" for x in found)
    return "WEBVTT\n\n" + "\n".join(blocks)


def _cue(text: str) -> str:
    """Text that is no mark-up of WebVTT's."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, point: str) -> str:
    milliseconds = math.floor(seconds * 1000 + 0.5)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def joined(passages: Iterable[Passage]) -> str:
    """The whole text: Chinese closed up, other languages with spaces."""
    text = ""
    for passage in passages:
        text += separator(text, passage) + passage.transcript.text
    return text


def separator(before: str, passage: Passage) -> str:
    """What stands between the text so far and the passage's."""
    return " " if before and passage.transcript.language not in {"zh", "yue", "ja"} else ""
