"""Lines of passages, SubRip, WebVTT."""

from voicehelper.ports.speech import Transcript, Word
from voicehelper.voice.dictation import Passage
from voicehelper.voice.subtitles import joined, lines, srt, vtt


def passage(text: str, start: float, language: str = "zh", step: float = 0.5) -> Passage:
    pieces = list(text) if language == "zh" else [f" {word}" for word in text.split()]
    words = tuple(Word(p, start + i * step, start + (i + 1) * step) for i, p in enumerate(pieces))
    return Passage(start, start + len(words) * step, Transcript(text, language, 0.9, words))


def test_lines_end_with_sentences():
    found = list(lines([passage("你好。请问退款？", 1.0)]))
    assert [(line.text, line.start_s, line.end_s) for line in found] == [("你好。", 1.0, 2.5), ("请问退款？", 2.5, 5.0)]


def test_a_line_is_never_longer_than_a_screen():
    found = list(lines([passage("字" * 100, 0.0, step=0.01), passage("慢" * 30, 10.0, step=1.0)]))
    assert max(len(line.text) for line in found) <= 84
    assert max(line.end_s - line.start_s for line in found) <= 10
    assert "".join(line.text for line in found) == "字" * 100 + "慢" * 30


def test_without_times_of_words_a_passage_is_a_line():
    (line,) = lines([Passage(1.0, 2.0, Transcript("你好。再见。", "zh"))])
    assert (line.text, line.start_s, line.end_s) == ("你好。再见。", 1.0, 2.0)


def test_files():
    found = list(lines([passage("Hello <b> & you.", 3599.9994, "en", 1.0)]))
    assert srt(found) == "1\n00:59:59,999 --> 01:00:03,999\nHello <b> & you.\n"
    assert vtt(found) == "WEBVTT\n\n00:59:59.999 --> 01:00:03.999\nHello &lt;b&gt; &amp; you.\n"
    assert (srt([]), vtt([])) == ("", "WEBVTT\n\n")


def test_chinese_is_closed_up_and_english_is_not():
    assert joined([passage("你好", 0), passage("再见", 1)]) == "你好再见"
    assert joined([passage("Good morning.", 0, "en"), passage("Bye.", 1, "en")]) == "Good morning. Bye."
