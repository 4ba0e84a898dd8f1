"""What the socket says is what `wire.voice` and docs/voice.md promise."""

import json
from uuid import uuid4

import pytest

from voicehelper.conversations import LiveEvent, Mark
from voicehelper.errors import InvalidInput
from voicehelper.gateway.voice_socket import parse
from voicehelper.gateway.voice_views import SoundFrames, message_of
from voicehelper.voice import model, outputs
from voicehelper.voice.codecs import output_encoder
from voicehelper.wire import voice as wire

ID = uuid4()

CASES = [
    (model.StateChanged("thinking"), wire.StateView),
    (model.UserStarted(1, 5), wire.SpeechStartedView),
    (model.UserStopped(1, 9), wire.SpeechStoppedView),
    (model.Partial(1, "你好", 1, "zh"), wire.PartialView),
    (model.Final(1, 1, "你好", "zh", 0, 9, 300), wire.FinalView),
    (model.Dropped(1, "echo", "嗯"), wire.DroppedView),
    (model.Failure("recognition", 50302), wire.ErrorView),
    (outputs.ClauseSaid(1, 0, None, "3 元", "三元"), wire.ClauseView),
    (outputs.SoundHeld(7), wire.HoldView),
    (outputs.SoundResumed(), wire.ResumeView),
    (outputs.SoundStopped(7, 1, 1, "interrupted"), wire.StopView),
    (outputs.AnswerSaid(1, 7), wire.AnswerSaidView),
    (outputs.AnswerCut(1, ID, 3), wire.AnswerCutView),
    (outputs.Latency(1, 300), wire.LatencyView),
    (outputs.InputAcked(3), wire.InputAck),
    (outputs.ErrorNotice(InvalidInput("x"), 2), wire.ErrorView),
    (outputs.Closed("restart", 1012), wire.SessionClosed),
    (outputs.Answering(1, LiveEvent(ID, Mark(1, 2), "status", '{"stage":"searching"}')), wire.AnswerStatusView),
    (outputs.Answering(1, LiveEvent(ID, Mark(2, 3), "delta", '{"text":"好"}')), wire.AnswerDeltaView),
]


@pytest.mark.parametrize(("output", "view"), CASES, ids=lambda case: getattr(case, "__name__", type(case).__name__))
def test_messages_have_their_form(output, view):
    said = json.loads(message_of(output))
    read = view.model_validate(said)
    assert set(said) == set(json.loads(read.model_dump_json())), "nothing more, nothing less"


def test_what_clients_send_is_not_repeated_to_them():
    with pytest.raises(InvalidInput) as caught:
        parse('{"type": "played", "sample": "secret-value"}')
    assert "secret-value" not in json.dumps(caught.value.details)


def test_packets_carry_the_sample_where_they_begin():
    frames = SoundFrames(output_encoder("opus", 24_000), 24_000, opus=True)
    told = frames.take(outputs.Frame(0, bytes(2 * 1440), 0)) + frames.take(outputs.Frame(1440, bytes(2 * 700), 0))
    told += frames.flush()
    assert [wire.SOUND_HEADER.unpack_from(part)[3] for part in told] == [0, 480, 960, 1440, 1920]
    again = frames.take(outputs.Frame(5000, bytes(2 * 480), 1, acknowledgement=True))
    assert [wire.SOUND_HEADER.unpack_from(part) for part in again] == [(1, wire.OPUS | wire.ACKNOWLEDGEMENT, 1, 5000)]
