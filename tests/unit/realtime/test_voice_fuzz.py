"""The short form of point 5 of `make prove-voice`, over fakes."""

import pytest

from tests.fakes.realtime_server import served
from tests.prove.voice_fuzz import fuzz
from voicehelper.config import VoiceSettings
from voicehelper.ports.speech import FakeTextToSpeech
from voicehelper.voice.session_fakes import FakeAnswers


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_whatever_is_sent_nobody_else_is_disturbed():
    answers = FakeAnswers(["退货需要在签收后七天内申请，运费由买家承担。"])
    settings = VoiceSettings(sessions_per_user=100)
    async with served(answers=answers, tts=FakeTextToSpeech(), settings=settings) as server:
        done = await fuzz(f"http://{server.address}", "key", strings=300, flood_s=0.3)
        assert done.ok, done
        assert done.errors > 100
