"""Turns, items and responses: what the session says in the protocol's words, and what the client asks for."""

import base64
import json
from uuid import UUID

from tests.fakes.realtime import CONVERSATION, Line
from voicehelper.conversations import LiveEvent, Mark
from voicehelper.errors import InvalidInput, ModelUnavailable, NotFound
from voicehelper.voice import commands
from voicehelper.voice.model import (
    Dropped,
    Failure,
    Final,
    Partial,
    StateChanged,
    UserStarted,
    UserStopped,
)
from voicehelper.voice.outputs import (
    AnswerCut,
    Answering,
    AnswerSaid,
    ClauseSaid,
    Closed,
    Frame,
    SoundHeld,
    SoundResumed,
    SoundStopped,
)

MESSAGE = UUID(int=42)
ITEM = f"item_{MESSAGE.hex}"
MANUAL = {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None, "transcription": {}}}}}
READING = {"type": "session.update", "session": {"audio": {"input": {"transcription": {"model": "x"}}}}}
TEXT_ONLY = {"type": "session.update", "session": {"output_modalities": ["text"]}}
SECOND = base64.b64encode(bytes(48_000)).decode()
APPEND = {"type": "input_audio_buffer.append", "audio": SECOND}
COMMIT = {"type": "input_audio_buffer.commit", "event_id": "c1"}
RESPOND = {"type": "response.create", "event_id": "r1"}


def kinds(events):
    return [event["type"] for event in events]


def answering(turn, name, number=1, **data):
    return Answering(turn, LiveEvent(MESSAGE, Mark(1, number), name, json.dumps(data)))


def typed(text, **more):
    content = [{"type": "input_text", "text": text}]
    return {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": content, **more}}


def pcm(samples):
    return b"\1\0" * samples


HEARD = (UserStarted(1, 16_000), UserStopped(1, 32_000))
FINAL = Final(1, 1, "退货要多久？", "zh", 12_000, 32_000, 400)


async def spoken_turn(line):
    await line.say(*HEARD, FINAL)


async def test_a_spoken_turn_is_an_item_with_its_transcript(line: Line) -> None:
    await line.send(READING)
    events = await line.say(UserStarted(1, 16_000))
    assert kinds(events) == ["input_audio_buffer.speech_started"]
    assert events[0]["audio_start_ms"] == 750, "with what lies before the onset"
    item = events[0]["item_id"]
    partials = await line.say(Partial(1, "退货要多", 2), Partial(1, "退货要多久", 4), UserStopped(1, 32_000))
    assert [event["delta"] for event in partials] == ["退货", "要多"]
    events = await line.say(UserStarted(1, 36_000), UserStopped(1, 40_000), FINAL)
    assert kinds(events) == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
    ]
    assert events[0]["audio_end_ms"] == 2500
    assert {event.get("item_id", item) for event in events} == {item}
    assert events[4]["delta"] == "久？" and events[5]["transcript"] == "退货要多久？"
    shown = await line.send({"type": "conversation.item.retrieve", "item_id": item})
    assert shown[0]["item"]["content"] == [{"type": "input_audio", "transcript": "退货要多久？"}]


async def test_transcripts_are_sent_only_where_they_are_wanted(line: Line) -> None:
    events = await line.say(UserStarted(1, 16_000), Partial(1, "退货要多", 2), UserStopped(1, 32_000), FINAL)
    assert not [kind for kind in kinds(events) if "transcription" in kind]


async def test_an_answer_is_a_response(line: Line) -> None:
    await spoken_turn(line)
    events = await line.say(
        answering(1, "message.created"),
        answering(1, "delta", 2, text="七天"),
        ClauseSaid(1, 0, None, "七天内。", "七天内"),
        Frame(0, pcm(2400), 0),
        Frame(2400, pcm(2400), 0),
        answering(1, "citation", 3, index=1, quote="七天"),
        answering(1, "usage", 4, model="m", prompt_tokens=10, completion_tokens=4, cached_tokens=8),
        answering(1, "message.completed", 5),
        AnswerSaid(1, 4800),
    )
    assert kinds(events) == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.delta",
    ]
    assert events[0]["response"]["conversation_id"] == str(CONVERSATION)
    assert events[1]["item"]["id"] == ITEM and events[1]["item"]["content"] == []
    assert events[2]["previous_item_id"].startswith("item_")
    assert base64.b64decode(events[5]["delta"]) == pcm(2400)
    events = await line.say(StateChanged("listening"))
    assert kinds(events) == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    response = events[-1]["response"]
    assert response["status"] == "completed" and response["status_details"] is None
    assert response["usage"]["total_tokens"] == 14 and response["usage"]["input_token_details"]["cached_tokens"] == 8
    item = response["output"][0]
    assert item["content"] == [{"type": "output_audio", "transcript": "七天内。"}]
    assert item["citations"] == [{"index": 1, "quote": "七天"}]


async def test_where_nothing_interrupts_a_response_is_done_when_it_is_sent(line: Line) -> None:
    await line.send(MANUAL)
    await line.send(typed("在吗"), RESPOND)
    events = await line.say(answering(1, "message.created"), Frame(0, pcm(24_000), 0), AnswerSaid(1, 24_000))
    assert kinds(events)[-1] == "response.done"


async def test_words_that_fill_silence_are_an_item_of_their_own(line: Line) -> None:
    events = await line.say(
        answering(1, "message.created"),
        ClauseSaid(1, 0, None, "", "请稍等", True),
        Frame(0, pcm(2400), 0, True),
        ClauseSaid(1, 2400, None, "七天。", "七天"),
        Frame(2400, pcm(4800), 0),
        AnswerSaid(1, 7200),
        StateChanged("listening"),
    )
    output = events[-1]["response"]["output"]
    assert [item["content"][0]["transcript"] for item in output] == ["请稍等", "七天。"]
    assert output[1]["id"] == ITEM != output[0]["id"]
    assert [event["output_index"] for event in events if event["type"] == "response.output_item.done"] == [0, 1]
    cut = {"type": "conversation.item.truncate", "item_id": ITEM, "content_index": 0, "audio_end_ms": 100}
    assert kinds(await line.send(cut)) == ["conversation.item.truncated"]
    assert line.session.commands[-1] == commands.Truncate(MESSAGE, 100), "the filler does not count"


async def test_an_interruption_cancels(line: Line) -> None:
    await line.say(answering(1, "message.created"), ClauseSaid(1, 0, None, "七天内可以。", ""), Frame(0, pcm(9600), 0))
    events = await line.say(UserStarted(2, 64_000), SoundHeld(9600), UserStopped(2, 80_000))
    assert kinds(events) == ["input_audio_buffer.speech_started"]
    final = Final(2, 2, "那换货呢？", "zh", 60_000, 80_000, 300)
    events = await line.say(final, SoundStopped(9600, 1, 1, "interrupted"), AnswerCut(1, MESSAGE, 3))
    assert kinds(events)[:2] == ["input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]
    done = events[-1]["response"]
    assert done["status"] == "cancelled" and done["status_details"]["reason"] == "turn_detected"
    assert done["output"][0]["status"] == "incomplete"
    shown = await line.send({"type": "conversation.item.retrieve", "item_id": ITEM})
    assert shown[0]["item"]["content"][0]["transcript"] == "七天内", "what was heard"
    assert await line.say(Frame(4800, pcm(2400), 0)) == [], "of a generation that is over"


async def test_a_false_alarm_sends_again_what_the_client_has_dropped(line: Line) -> None:
    sound = b"".join(n.to_bytes(2, "little") for n in range(24_000))
    await line.say(answering(1, "message.created"), ClauseSaid(1, 0, None, "好。", ""))
    await line.say(*(Frame(at, sound[at * 2 : at * 2 + 4800], 0) for at in range(0, 24_000, 2400)))
    await line.say(UserStarted(2, 64_000), SoundHeld(24_000), UserStopped(2, 70_000))
    events = await line.say(Dropped(2, "backchannel", "嗯"), SoundResumed())
    assert events[0]["type"] == "input_audio_buffer.speech_stopped"
    again = b"".join(base64.b64decode(event["delta"]) for event in events[1:])
    assert len(again) > 40_000 and sound.endswith(again), "all but what was played in the meantime"
    events = await line.say(AnswerSaid(1, 24_000), StateChanged("listening"))
    assert events[-1]["response"]["status"] == "completed"
    cut = {"type": "conversation.item.truncate", "item_id": ITEM, "content_index": 0, "audio_end_ms": 1200}
    error = (await line.send(cut))[0]["error"]
    assert error["param"] == "audio_end_ms", "what was sent twice counts once"


async def test_a_turn_that_goes_on_replaces_its_beginning(line: Line) -> None:
    await spoken_turn(line)
    await line.say(answering(1, "message.created"))
    first = next(event for event in line.socket.events if event["type"] == "input_audio_buffer.committed")["item_id"]
    again = Final(2, 2, "退货要多久？我买的是鞋。", "zh", 12_000, 60_000, 300, replaces=1)
    events = await line.say(UserStarted(2, 40_000), UserStopped(2, 60_000), again, SoundStopped(0, 1, 1, "superseded"))
    assert {"type": "conversation.item.deleted", "item_id": first, "event_id": events[-2]["event_id"]} in events
    assert events[-1]["response"]["status"] == "cancelled"


async def test_push_to_talk(line: Line) -> None:
    await line.send(MANUAL)
    assert kinds(await line.send(COMMIT)) == ["error"]
    assert await line.say(UserStarted(1, 0)) == [], "the client knows when it speaks"
    events = await line.send(APPEND, COMMIT)
    assert kinds(events) == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    events = await line.send(RESPOND)
    assert kinds(events) == ["response.created"]
    assert line.session.commands[-2:] == [commands.Commit(), commands.WantResponse()]
    events = await line.say(UserStopped(1, 16_000), FINAL)
    assert [kind.rsplit(".", 1)[1] for kind in kinds(events)] == ["delta", "completed"]
    events = await line.say(answering(1, "message.created"), ClauseSaid(1, 0, None, "好。", ""))
    assert "response.created" not in kinds(events), "it is the one that was asked for"
    error = (await line.send(RESPOND))[0]["error"]
    assert error["code"] == "conversation_already_has_active_response" and error["event_id"] == "r1"


async def test_nothing_understood_fails_the_response(line: Line) -> None:
    await line.send(MANUAL)
    await line.send(APPEND, COMMIT, RESPOND)
    events = await line.say(Dropped(1, "noise", ""), Failure("response", InvalidInput.code))
    assert events[0]["transcript"] == ""
    assert events[-1]["response"]["status"] == "failed"
    assert events[-1]["response"]["status_details"]["error"]["code"] == "40001"


async def test_a_cleared_buffer(line: Line) -> None:
    await line.send(MANUAL)
    assert kinds(await line.send(APPEND, {"type": "input_audio_buffer.clear"})) == ["input_audio_buffer.cleared"]
    assert line.session.commands[-1] == commands.Clear()
    assert (await line.send(COMMIT))[0]["error"]["code"] == "input_audio_buffer_commit_empty"


async def test_text_is_answered_when_a_response_is_wanted(line: Line) -> None:
    events = await line.send(typed("退货要多久？", id="mine"))
    assert kinds(events) == ["conversation.item.added", "conversation.item.done"]
    assert not line.session.commands
    events = await line.send({**RESPOND, "response": {"metadata": {"topic": "x"}, "output_modalities": ["text"]}})
    assert line.session.commands == [
        commands.TypeText("退货要多久？", answer=False, spoken=False),
        commands.WantResponse(),
    ]
    assert events[0]["response"]["metadata"] == {"topic": "x"}
    events = await line.say(
        answering(1, "message.created"),
        answering(1, "delta", 2, text="七"),
        answering(1, "delta", 3, text="天"),
        answering(1, "message.completed", 4),
    )
    assert kinds(events) == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "output_text", "text": "七天"}]
    assert (await line.send(RESPOND))[0]["error"]["code"] == "nothing_to_answer"


async def test_a_session_that_only_writes(line: Line) -> None:
    await line.send(TEXT_ONLY)
    assert line.session.commands[-1].turn["spoken"] is False
    await spoken_turn(line)
    events = await line.say(
        answering(1, "message.created"), answering(1, "delta", 2, text="七天"), answering(1, "message.completed", 3)
    )
    assert events[-1]["response"]["output_modalities"] == ["text"]
    assert events[-1]["response"]["status"] == "completed"


async def test_text_that_waits_can_be_deleted(line: Line) -> None:
    await line.send(typed("退货", id="a"))
    assert kinds(await line.send({"type": "conversation.item.delete", "item_id": "a"})) == ["conversation.item.deleted"]
    assert (await line.send({"type": "conversation.item.delete", "item_id": "a"}))[0]["error"][
        "code"
    ] == "item_not_found"
    await line.send(typed("换货", id="b"), RESPOND)
    assert (await line.send({"type": "conversation.item.delete", "item_id": "b"}))[0]["error"]["param"] == "item_id"


async def test_a_response_can_be_cancelled(line: Line) -> None:
    cancel = {"type": "response.cancel", "event_id": "x"}
    error = (await line.send(cancel))[0]["error"]
    assert error["code"] == "response_cancel_not_active" and error["event_id"] == "x"
    await spoken_turn(line)
    await line.say(answering(1, "message.created"), ClauseSaid(1, 0, None, "好。", ""), Frame(0, pcm(2400), 0))
    events = await line.send(cancel)
    assert events[-1]["response"]["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert line.session.commands[-1] == commands.Interrupt()
    late = await line.say(
        ClauseSaid(1, 2400, None, "再见。", ""), Frame(2400, pcm(2400), 0), SoundStopped(4800, 1, 1, "asked")
    )
    assert late == [], "it is over"


async def test_what_was_heard_is_told_by_truncation(line: Line) -> None:
    await line.say(
        answering(1, "message.created"), ClauseSaid(1, 0, None, "七天内可以。", ""), Frame(0, pcm(24_000), 0)
    )
    cut = {"type": "conversation.item.truncate", "item_id": ITEM, "content_index": 0, "audio_end_ms": 400}
    events = await line.send(cut)
    assert kinds(events)[-2:] == ["response.done", "conversation.item.truncated"]
    assert line.session.commands[-2:] == [commands.Interrupt(), commands.Truncate(MESSAGE, 400)]
    for wrong, param in (
        ({"audio_end_ms": 5000}, "audio_end_ms"),
        ({"content_index": 1}, "content_index"),
        ({"item_id": "nobody"}, "item_id"),
    ):
        assert (await line.send({**cut, **wrong}))[0]["error"]["param"] == param
    line.session.refuses[commands.Truncate] = NotFound()
    assert (await line.send({**cut, "event_id": "t"}))[-1]["error"]["event_id"] == "t"


async def test_an_answer_that_fails(line: Line) -> None:
    await spoken_turn(line)
    events = await line.say(answering(1, "message.created"), Failure("answer", ModelUnavailable.code, 1))
    details = events[-1]["response"]["status_details"]
    assert events[-1]["response"]["status"] == "failed"
    assert details["error"]["type"] == "server_error" and details["error"]["code"] == "50302"


async def test_an_apology_is_said_and_the_response_has_failed(line: Line) -> None:
    body = {"code": 50302, "message": "away", "details": {}, "trace_id": "t"}
    events = await line.say(
        answering(1, "message.created"),
        answering(1, "error", 2, **body),
        ClauseSaid(1, 0, None, "抱歉。", ""),
        Frame(0, pcm(2400), 0),
        AnswerSaid(1, 2400),
        StateChanged("listening"),
    )
    assert events[-1]["response"]["status"] == "failed"
    assert events[-1]["response"]["output"][0]["content"][0]["transcript"] == "抱歉。"


async def test_speech_that_cannot_be_written_down(line: Line) -> None:
    await line.send(MANUAL)
    await line.send(APPEND, COMMIT)
    events = await line.say(Failure("recognition", ModelUnavailable.code))
    assert kinds(events) == ["conversation.item.input_audio_transcription.failed"]
    assert events[0]["error"]["code"] == "50302"


async def test_telephone_sound_goes_out(line: Line) -> None:
    await line.send({"type": "session.update", "session": {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}})
    events = await line.say(
        answering(1, "message.created"), ClauseSaid(1, 0, None, "好。", ""), Frame(0, pcm(24_000), 0)
    )
    size = sum(
        len(base64.b64decode(event["delta"])) for event in events if event["type"] == "response.output_audio.delta"
    )
    assert 7900 <= size <= 8000


async def test_what_cannot_be_said_is_refused_by_name(line: Line) -> None:
    for item, param in (
        ({"type": "function_call_output", "call_id": "c", "output": "{}"}, "item.type"),
        ({"type": "message", "role": "system", "content": [{"type": "input_text", "text": "x"}]}, "item.role"),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAA"}]},
            "item.content[0].type",
        ),
        ({"type": "message", "role": "user", "content": [{"type": "input_text"}]}, "item.content[0].text"),
        ({"type": "message", "role": "user", "content": []}, "item.content"),
        ({"type": "message", "content": []}, "item.role"),
    ):
        events = await line.send({"type": "conversation.item.create", "item": item})
        assert [event["error"]["param"] for event in events] == [param]
    for response, param in (
        ({"instructions": "Say hello"}, "response.instructions"),
        ({"conversation": "none"}, "response.conversation"),
        ({"tools": [{"type": "function", "name": "f"}]}, "response.tools"),
        ({"input": []}, "response.input"),
        ({"max_output_tokens": 5}, "response.max_output_tokens"),
        ({"audio": {"output": {"voice": "alloy"}}}, "response.audio.output.voice"),
    ):
        events = await line.send({**RESPOND, "response": response})
        assert [event["error"]["param"] for event in events] == [param]
    await line.send(typed("a", id="a"))
    for more, param in (
        ({"id": "a"}, "item.id"),
        ({"previous": "nobody"}, "previous_item_id"),
        ({"previous": "root"}, "previous_item_id"),
    ):
        previous = more.pop("previous", None)
        frame = {**typed("b", **more), **({"previous_item_id": previous} if previous else {})}
        assert (await line.send(frame))[0]["error"]["param"] == param
    assert (await line.send({"type": "output_audio_buffer.clear"}))[0]["error"]["param"] == "type"


async def test_the_end(line: Line) -> None:
    events = await line.say(Closed("idle"))
    assert events[-1]["error"]["code"] == "session_expired"
    assert line.socket.closed == (1000, "idle")
