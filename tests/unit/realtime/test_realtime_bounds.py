"""What a client may send, in what amounts, and how it is told."""

import json
import random

import pytest

from tests.fakes.realtime import Line
from voicehelper.gateway.inbox import Allowance, Flooded, Inbox
from voicehelper.gateway.realtime.parsing import LONGEST_EVENT, parse
from voicehelper.gateway.realtime.refusals import Refusal
from voicehelper.voice.commands import Close
from voicehelper.wire.realtime import BufferAppend, ItemCreate


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x00\x01", "invalid_event"),
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[]", "invalid_event"),
        ("[" * 5000, "invalid_json"),
        ('{"type": "\\ud800"}', "invalid_json"),
        ('{"type": "abc"}', "invalid_value"),
        ('{"type": 1e999}', "invalid_json"),
        ("{}", "missing_required_parameter"),
        ('{"type": "input_audio_buffer.append"}', "missing_required_parameter"),
        ('{"type": "input_audio_buffer.append", "audio": "%%%"}', "invalid_value"),
        ('{"type": "input_audio_buffer.append", "audio": "é"}', "invalid_value"),
        ('{"type": "input_audio_buffer.append", "audio": "' + "A" * (4 * 2**20 + 4) + '"}', "string_above_max_length"),
        ('{"type": "' + "A" * LONGEST_EVENT + '"}', "event_too_large"),
        ('{"type": "session.update", "session": {"include": [' + "0," * 10**6 + "0]}}", "event_too_large"),
        ('{"type": "input_audio_buffer.append", "audio": "' + "A" * 10**6, "event_too_large"),
        ('{"type": "input_audio_buffer.append", "audio": "' + "A" * 10**6 + '\\"}', "invalid_json"),
    ],
)
async def test_a_broken_event_is_an_error_and_the_session_goes_on(line: Line, frame, code) -> None:
    events = await line.send(frame)
    assert [event["error"]["code"] for event in events] == [code]
    assert (await line.send({"type": "session.update", "session": {}}))[0]["type"] == "session.updated"


def test_long_sound_is_taken_and_nothing_else_that_is_long() -> None:
    sound = "QUJ/" * 300_000
    append = {"type": "input_audio_buffer.append", "event_id": "mine", "audio": sound}
    for text in (json.dumps(append), json.dumps(append, indent=2), json.dumps(append).replace("/", "\\/")):
        event = parse(text)
        assert isinstance(event, BufferAppend) and (event.audio, event.event_id) == (sound, "mine")
    part = {"type": "input_audio", "audio": sound}
    item = {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [part]}}
    assert isinstance(parse(json.dumps(item)), ItemCreate), "so that it is refused by name"


async def test_the_clients_name_of_its_event_comes_back(line: Line) -> None:
    events = await line.send({"type": "input_audio_buffer.append", "audio": "%", "event_id": "mine"})
    assert events[0]["error"]["event_id"] == "mine"


async def test_errors_without_end_end_the_session(line: Line) -> None:
    await line.send(*["nonsense"] * 60)
    await line.send({"type": "session.update", "session": {}})
    await line.send(*["nonsense"] * 60)
    assert line.socket.closed is None, "not in a row"
    await line.send(*["nonsense"] * 60)
    assert line.socket.closed is not None and line.socket.closed[0] == 1008
    assert line.session.commands[-1] == Close()
    assert line.socket.events[-1]["error"]["code"] == "too_many_errors"


async def test_who_sends_more_than_can_wait_is_sent_away(line: Line) -> None:
    line.socket.client_sends(*[{"type": "input_audio_buffer.clear"}] * 4000)
    await line.settle()
    assert line.socket.closed is not None and line.socket.closed[0] == 1008
    assert line.socket.events[-1]["error"]["code"] == "rate_limit_exceeded"


async def test_an_inbox_holds_only_so_many_bytes() -> None:
    async def receive():
        return {"type": "websocket.receive", "bytes": bytes(1000)}

    with pytest.raises(Flooded):
        await Inbox(receive, most_bytes=50_000).fill()


def test_an_allowance_is_spent_and_comes_back() -> None:
    allowance = Allowance(burst=2, rate=10, now=0.0)
    assert [allowance.take(1, 0.0) for _ in range(3)] == [0.0, 0.0, pytest.approx(0.1)]
    assert allowance.take(1, 10.0) == 0.0


def test_random_strings_are_refused_or_read() -> None:
    chance = random.Random(7)
    for _ in range(10_000):
        text = chance.randbytes(chance.randrange(60)).decode("latin-1")
        with pytest.raises(Refusal):
            parse(text)
