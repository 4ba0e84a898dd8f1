"""Recorded talks replay to the bit."""

import json
from pathlib import Path

import pytest

from voicehelper.voice.journal import decode_state, dump, encode_state, load
from voicehelper.voice.model import Ask, Recognized
from voicehelper.voice.replay import replay

JOURNALS = sorted((Path(__file__).parents[2] / "data" / "voice_journals").glob("*.jsonl"))


@pytest.mark.parametrize("path", JOURNALS, ids=[path.stem for path in JOURNALS])
def test_replays_to_the_bit(path: Path) -> None:
    options, entries = load(path.read_text("utf-8").splitlines())
    assert len(entries) > 20
    again = replay(entries, options)
    assert again.differs is None
    assert any(isinstance(effect, Ask) for effects in again.effects for effect in effects)


@pytest.mark.parametrize("path", JOURNALS, ids=[path.stem for path in JOURNALS])
def test_replays_from_any_stored_state(path: Path) -> None:
    options, entries = load(path.read_text("utf-8").splitlines())
    for at in range(0, len(entries), 7):
        stored = json.loads(json.dumps(encode_state(replay(entries[:at], options).state)))
        assert replay(entries[at:], decode_state(stored)).differs is None


def test_a_changed_journal_is_noticed() -> None:
    lines = JOURNALS[0].read_text("utf-8").splitlines()
    options, entries = load(lines)
    assert list(dump(options, entries)) == lines
    final = next(entry for entry in entries if isinstance(entry.event, Recognized) and entry.event.final)
    later = [entry for entry in entries if entry is not final]
    assert replay(later, options).differs is not None


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 2"):
        decode_state({"version": 2})


def test_fields_of_other_versions() -> None:
    options, entries = load(JOURNALS[0].read_text("utf-8").splitlines())
    stored = encode_state(replay(entries, options).state)
    stored.pop("pace_ms")
    assert decode_state({**stored, "mood": "good"}).pace_ms == 0
