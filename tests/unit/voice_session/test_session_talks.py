"""A session over fakes, in virtual time: asked, answered, interrupted, closed."""

import asyncio
from dataclasses import replace
from typing import Any

from tests.fakes.telephone import Telephone
from tests.fakes.virtual_time import virtual_time
from voicehelper.conversations import Owner
from voicehelper.ids import new_id
from voicehelper.ports.speech import FakeSpeechToText
from voicehelper.voice.calls import VoiceCalls
from voicehelper.voice.commands import Close, Interrupt, SessionRequest, SpeechChoices, TypeText
from voicehelper.voice.model import Final, Partial, StateChanged
from voicehelper.voice.outputs import (
    AnswerCut,
    Answering,
    AnswerSaid,
    ClauseSaid,
    InputAcked,
    Latency,
    SoundStopped,
)
from voicehelper.voice.session_fakes import FakeAnswers, FakeConversations, fake_parts
from voicehelper.voice.sound_alike import SoundAlikes
from voicehelper.voice.vocabularies import Vocabularies, Vocabulary

OWNER = Owner(new_id(), new_id())
LONG = (
    "退货需要在签收后七天内申请。运费由买家承担，质量问题由我们承担。您可以在订单页面里提交申请，客服会在一天内处理。"
)


class KnownVocabulary(Vocabularies):
    def __init__(self, *terms):
        self.known = Vocabulary(terms, SoundAlikes(terms))

    def of(self, tenant_id):
        return self.known if tenant_id == OWNER.tenant_id else Vocabulary()


@virtual_time
async def test_the_words_of_the_tenants_documents_are_expected_and_put_in_place_of_what_sounds_alike():
    stt, answers = FakeSpeechToText(["推款要多久？"], delay=0.1), FakeAnswers()
    parts = replace(fake_parts(stt=stt, answers=answers), vocabularies=KnownVocabulary("退款"))
    _, phone = await call(VoiceCalls(parts, FakeConversations()))
    await phone.silence(0.5)
    await phone.speak(1.5)
    await phone.silence(3)
    assert (await phone.until(Final)).text == "退款要多久？"
    assert [answer.question for answer in answers.answers] == ["退款要多久？"]
    assert all("退款" in request.hot_words for request in stt.requests)


def calls(**parts):
    return VoiceCalls(fake_parts(**parts), FakeConversations())


async def call(service, **request):
    session = await service.open(OWNER, SessionRequest(**request))
    return session, Telephone(session)


@virtual_time
async def test_a_question_is_asked_and_its_answer_heard():
    answers = FakeAnswers(first_s=0.3)
    service = calls(stt=FakeSpeechToText(["退货要多久？"], delay=0.1), answers=answers)
    session, phone = await call(service)
    await phone.silence(0.5)
    await phone.speak(1.5)
    await phone.silence(8)
    final = (await phone.until(Final)).text
    assert final == "退货要多久？"
    assert phone.of(Partial)
    assert [answer.question for answer in answers.answers] == [final]
    speech: Any = answers.answers[0].metadata["speech"]
    assert speech["language"] == "zh"
    assert "".join(clause.text for clause in phone.of(ClauseSaid)) == answers.answers[0].text
    said = phone.of(AnswerSaid)[0]
    assert phone.played == said.sample
    facts = phone.of(Latency)[0]
    assert facts.asr_ms == 100 and facts.first_token_ms == 300 and facts.first_sound_ms > facts.end_of_turn_ms > 100
    assert phone.of(InputAcked)
    assert [event.event.name for event in phone.of(Answering)][-1] == "message.completed"
    states = [output.state for output in phone.of(StateChanged)]
    assert states[:4] == ["user_speaking", "thinking", "speaking", "listening"]
    await session.send(Close())
    await phone.closed.wait()
    assert service.running == 0
    await phone.hang_up()


@virtual_time
async def test_an_interrupted_answer_keeps_what_was_heard():
    answers = FakeAnswers([LONG, "好的。"])
    session, phone = await call(calls(stt=FakeSpeechToText(["退货要多久？", "那换货呢？"]), answers=answers))
    await phone.speak(1.0)
    await phone.silence(4)
    assert phone.of(StateChanged)[-1].state == "speaking"
    before = phone.played
    await phone.speak(1.2)
    await phone.silence(4)
    stopped = phone.of(SoundStopped)[0]
    assert stopped.turn == 1 and stopped.generation == 1
    assert abs(phone.of(AnswerCut)[0].chars - before / 24000 / 0.2) < 12
    assert LONG.startswith(answers.answers[0].text) and 0 < len(answers.answers[0].text) < len(LONG)
    assert answers.answers[1].question == "那换货呢？"
    await session.send(Close())
    await phone.closed.wait()
    await phone.hang_up()


@virtual_time
async def test_text_is_a_turn_too_and_interrupt_is_silence():
    answers = FakeAnswers([LONG])
    session, phone = await call(calls(answers=answers), greeting="您好。")
    await asyncio.sleep(3)
    assert phone.of(ClauseSaid)[0].text == "您好。"
    await session.send(TypeText("退货要多久？"))
    await asyncio.sleep(3)
    await session.send(Interrupt())
    await asyncio.sleep(1)
    assert phone.of(SoundStopped)[-1].reason == "asked"
    count = len(phone.frames)
    await asyncio.sleep(5)
    assert len(phone.frames) == count
    assert 0 < len(answers.answers[0].text) < len(LONG)
    await session.send(Close())
    await phone.closed.wait()
    await phone.hang_up()


@virtual_time
async def test_a_client_that_does_not_report_is_believed_to_play():
    service = calls()
    session = await service.open(OWNER, SessionRequest())
    phone = Telephone(session, reports=False)
    await session.send(TypeText("在吗"))
    await asyncio.sleep(10)
    assert phone.of(StateChanged)[-1].state == "listening"
    assert phone.played == phone.of(AnswerSaid)[0].sample
    await session.send(Close())
    await phone.closed.wait()
    await phone.hang_up()


@virtual_time
async def test_who_goes_on_before_he_hears_anything_has_asked_once():
    answers = FakeAnswers(["七天。"], first_s=2.5)
    session, phone = await call(calls(stt=FakeSpeechToText(["我要退货。", "衣服，要多久？"]), answers=answers))
    await phone.speak(1.0)
    await phone.silence(1.2)
    assert [answer.question for answer in answers.answers] == ["我要退货。"]
    await phone.speak(1.0)
    await phone.silence(8)
    first, second = phone.of(Final)
    assert second.replaces == first.turn
    assert [(answer.question, answer.text) for answer in answers.answers] == [(second.text, "七天。")]
    assert second.text.startswith("我要退货")
    await session.send(Close())
    await phone.closed.wait()
    await phone.hang_up()


@virtual_time
async def test_silence_in_the_middle_of_an_answer_is_filled():
    answers = FakeAnswers(["您的订单我看一下。它明天下午就会到的。"], piece_s=9.0, pieces=2)
    session, phone = await call(calls(answers=answers), speech=SpeechChoices(language="zh"))
    await session.send(TypeText("订单到哪了？"))
    await phone.until(AnswerSaid, timeout=60)
    await asyncio.sleep(5)
    clauses = phone.of(ClauseSaid)
    fillers = [place for place, clause in enumerate(clauses) if clause.acknowledgement]
    assert fillers and 0 < fillers[0] < len(clauses) - 1
    assert "".join(clause.text for clause in clauses if not clause.acknowledgement) == answers.answers[0].text
    assert [facts.acknowledged for facts in phone.of(Latency)] == [False]
    assert phone.of(StateChanged)[-1].state == "listening"
    await session.send(Close())
    await phone.closed.wait()
    await phone.hang_up()
