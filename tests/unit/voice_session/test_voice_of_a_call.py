"""One voice speaks through a call, whatever languages its clauses are in."""

import asyncio

import pytest

from tests.fakes.telephone import Telephone
from tests.fakes.virtual_time import virtual_time
from voicehelper.conversations import Owner
from voicehelper.ids import new_id
from voicehelper.ports.speech import FakeTextToSpeech, TextToSpeechInfo, Voice
from voicehelper.voice.calls import VoiceCalls
from voicehelper.voice.commands import Configure, SessionRequest, SpeechChoices, TypeText
from voicehelper.voice.outputs import AnswerSaid
from voicehelper.voice.session_fakes import FakeAnswers, FakeConversations, fake_parts
from voicehelper.voice.session_voice import voice_for
from voicehelper.voice.store import FakeSessionStore

OWNER = Owner(new_id(), new_id())
MIXED = "请看说明。Please restart the router now. 谢谢。"
VOICES = (Voice("xiaoxiao", ("zh", "en")), Voice("yunxi", ("zh", "en")), Voice("heart", ("en", "zh")))


class TwoLanguages(FakeTextToSpeech):
    async def describe(self):
        return TextToSpeechInfo("fake-tts", "fake", self.sample_rate, VOICES)


def replica(tts, store=None):
    return VoiceCalls(fake_parts(tts=tts, answers=FakeAnswers([MIXED]), store=store), FakeConversations())


async def ask(session, phone, text, count=1):
    await session.send(TypeText(text))
    await phone.until(AnswerSaid, count)


@virtual_time
async def test_each_session_has_one_voice():
    for language, question, expected in (
        ("zh", "where", "xiaoxiao"),
        ("en", "在哪", "heart"),
        ("", "在哪里？", "xiaoxiao"),
        ("", "Where is it?", "heart"),
    ):
        tts = TwoLanguages()
        session = await replica(tts).open(OWNER, SessionRequest(speech=SpeechChoices(language=language)))
        phone = Telephone(session)
        await ask(session, phone, question)
        assert {said.language for said in tts.utterances} == {"zh", "en"}
        assert {said.voice for said in tts.utterances} == {expected}
        await phone.hang_up()


@virtual_time
async def test_it_changes_only_when_language_or_voice_do():
    tts = TwoLanguages()
    session = await replica(tts).open(OWNER, SessionRequest(speech=SpeechChoices(language="zh")))
    phone = Telephone(session)
    for count, (change, expected) in enumerate(
        (({"speed": 1.2}, "xiaoxiao"), ({"voice": "yunxi"}, "yunxi"), ({"voice": "", "language": "en"}, "heart")), 1
    ):
        await session.send(Configure(speech=change))
        tts.utterances.clear()
        await ask(session, phone, "在哪？", count)
        assert {said.voice for said in tts.utterances} == {expected}
    await phone.hang_up()


@virtual_time
async def test_a_resumed_call_keeps_it():
    tts, store = TwoLanguages(), FakeSessionStore()
    session = await replica(tts, store).open(OWNER, SessionRequest())
    phone = Telephone(session)
    await ask(session, phone, "Where is it?")
    await asyncio.sleep(20)
    await phone.hang_up()
    await session.lost()
    again = await replica(tts, store).resume(OWNER, session.info.resume_token, phone.played)
    other = Telephone(again)
    await ask(again, other, "在哪里？")
    assert {said.voice for said in tts.utterances} == {"heart"}
    await other.hang_up()


@pytest.mark.parametrize(
    ("language", "default", "expected"),
    [("zh", "", "xiaoxiao"), ("en", "", "heart"), ("en", "yunxi", "yunxi"), ("", "", ""), ("fr", "", "xiaoxiao")],
)
def test_voice_for(language, default, expected):
    assert voice_for(language, TextToSpeechInfo("m", "p", 24_000, VOICES), default) == expected
