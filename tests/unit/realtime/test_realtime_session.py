"""Configuration, and what is refused."""

import base64

import pytest

from tests.fakes.realtime import Line
from voicehelper.errors import InvalidInput
from voicehelper.voice.commands import Close, Configure


def update(**session):
    return {"type": "session.update", "event_id": "mine", "session": {"type": "realtime", **session}}


def kinds(events):
    return [event["type"] for event in events]


async def test_it_begins_with_the_session(line: Line) -> None:
    created = line.created
    assert created["type"] == "session.created"
    session = created["session"]
    assert session["type"] == "realtime"
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert session["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
    assert session["output_modalities"] == ["audio"]


async def test_hanging_up_closes_the_session(line: Line) -> None:
    await line.end()
    assert line.session.commands == [Close()]
    line.socket.closed = (1000, "")


@pytest.mark.parametrize(
    ("detection", "turn"),
    [
        (None, {"automatic": False, "answers": False, "interruptible": False}),
        (
            {"type": "server_vad", "silence_duration_ms": 800, "create_response": False},
            {"automatic": True, "answers": False, "interruptible": True, "min_silence_ms": 800, "max_silence_ms": 800},
        ),
        ({"type": "server_vad", "silence_duration_ms": 100}, {"min_silence_ms": 200, "unfinished_ms": 200}),
        ({"type": "semantic_vad", "interrupt_response": False}, {"interruptible": False, "max_silence_ms": 1000}),
        ({"type": "semantic_vad", "eagerness": "low"}, {"min_silence_ms": 600, "max_silence_ms": 2000}),
        ({"type": "semantic_vad", "eagerness": "high"}, {"min_silence_ms": 200, "max_silence_ms": 600}),
    ],
)
async def test_turn_detection(line: Line, detection, turn) -> None:
    events = await line.send(update(audio={"input": {"turn_detection": detection}}))
    assert kinds(events)[-1] == "session.updated"
    shown = events[-1]["session"]["audio"]["input"]["turn_detection"]
    assert (shown or {}).get("type") == (detection or {}).get("type")
    command = line.session.commands[-1]
    assert isinstance(command, Configure)
    assert {name: command.turn[name] for name in turn} == turn


async def test_only_what_is_named_changes(line: Line) -> None:
    await line.send(update(audio={"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}))
    events = await line.send(update(audio={"output": {"speed": 1.25, "voice": "zf_001"}}))
    audio = events[-1]["session"]["audio"]
    assert audio["input"]["turn_detection"] is None and audio["input"]["transcription"] is not None
    assert audio["output"]["speed"] == 1.25
    assert line.session.commands[-1].speech["voice"] == "zf_001"


async def test_voices_of_openai_stand_for_our_default(line: Line) -> None:
    await line.send(update(audio={"output": {"voice": "marin"}}))
    assert line.session.commands[-1].speech["voice"] == ""


async def test_transcription_says_language_and_words(line: Line) -> None:
    wanted = {"model": "gpt-4o-transcribe", "language": "zh", "keywords": ["云宝"]}
    await line.send(update(audio={"input": {"transcription": wanted}}))
    assert line.session.commands[-1].speech["language"] == "zh"
    assert line.session.commands[-1].speech["hot_words"] == ("云宝",)


async def test_what_changes_nothing_is_named(line: Line) -> None:
    events = await line.send(
        update(
            instructions="Be brief.",
            tracing="auto",
            audio={
                "input": {
                    "noise_reduction": {"type": "near_field"},
                    "turn_detection": {"type": "server_vad", "threshold": 0.7},
                }
            },
        )
    )
    assert kinds(events) == ["session.updated"]
    session = events[0]["session"]
    assert session["instructions"] == ""
    assert session["voicehelper"]["ignored"] == [
        "audio.input.noise_reduction",
        "audio.input.turn_detection.threshold",
        "instructions",
        "tracing",
    ]
    assert session["audio"]["input"]["turn_detection"]["threshold"] == 0.5, "what is in force is shown"


TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        (
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
            "invalid_value",
            "session.audio.input.format.rate",
        ),
        ({"audio": {"input": {"format": {"type": "audio/opus"}}}}, "invalid_value", "session.audio.input.format.type"),
        (
            {"audio": {"output": {"format": {"rate": 8000}}}},
            "missing_required_parameter",
            "session.audio.output.format.type",
        ),
        ({"audio": {"output": {"speed": 9}}}, "invalid_value", "session.audio.output.speed"),
        ({"audio": {"output": {"speed": "fast"}}}, "invalid_type", "session.audio.output.speed"),
        ({"modalities": ["text"]}, "unknown_parameter", "session.modalities"),
        ({"output_modalities": ["text", "audio"]}, "invalid_value", "session.output_modalities"),
        ({"type": "transcription"}, "invalid_value", "session.type"),
        ({"tools": [TOOL]}, "unsupported_parameter", "session.tools"),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 1}}}},
            "invalid_value",
            "session.audio.input.turn_detection.silence_duration_ms",
        ),
    ],
)
async def test_a_wrong_update_is_named_and_nothing_changes(line: Line, session, code, param) -> None:
    frame = {"type": "session.update", "event_id": "mine", "session": session}
    events = await line.send(frame)
    error = events[0]["error"]
    assert (error["code"], error["param"], error["event_id"]) == (code, param, "mine")
    assert error["type"] == "invalid_request_error"
    assert not line.session.commands
    assert events[1]["type"] == "session.updated" and events[1]["session"] == line.created["session"]


async def test_an_update_that_the_session_refuses_is_undone_and_answered(line: Line) -> None:
    line.session.refuses[Configure] = InvalidInput("No such voice")
    events = await line.send(update(audio={"output": {"voice": "nobody"}}))
    assert kinds(events) == ["error", "session.updated"]
    assert events[0]["error"]["code"] == "40001" and events[0]["error"]["event_id"] == "mine"
    assert events[1]["session"]["audio"]["output"]["voice"] == ""


async def test_tools_of_the_client_are_refused_and_the_session_is_shown(line: Line) -> None:
    events = await line.send(update(tools=[TOOL]))
    assert kinds(events) == ["error", "session.updated"]


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
async def test_telephone_sound_comes_in(line: Line, kind) -> None:
    await line.send(update(audio={"input": {"format": {"type": kind}}}))
    sound = base64.b64encode(b"\xd5" * 8000).decode()
    assert await line.send({"type": "input_audio_buffer.append", "audio": sound}) == []
    assert abs(len(line.session.heard) - 32_000) < 200, "a second at 16 kHz"


async def test_sound_is_resampled_and_cut_to_pieces(line: Line) -> None:
    sound = base64.b64encode(bytes(48_000)).decode()
    assert await line.send({"type": "input_audio_buffer.append", "audio": sound}) == []
    assert abs(len(line.session.heard) - 32_000) < 200
    assert max(line.session.pieces) <= 32 * 200 and all(size % 2 == 0 for size in line.session.pieces)


async def test_tiny_and_odd_appends_add_up(line: Line) -> None:
    sound = bytes(4800)
    frames = [
        {"type": "input_audio_buffer.append", "audio": base64.b64encode(sound[at : at + 7]).decode()}
        for at in range(0, len(sound), 7)
    ]
    for start in range(0, len(frames), 100):
        assert await line.send(*frames[start : start + 100]) == []
        await line.settle()
    assert min(line.session.pieces) >= 640
    assert len(line.session.heard) >= 2560
