"""A session that goes on in another process, over fakes and in virtual time; and what bounds it."""

import asyncio
from dataclasses import replace

import pytest

from tests.fakes.telephone import Telephone
from tests.fakes.virtual_time import virtual_time
from voicehelper.config import VoiceSettings
from voicehelper.conversations import Owner
from voicehelper.errors import NotFound, Overloaded, RateLimited
from voicehelper.ids import new_id
from voicehelper.ports.speech import FakeSpeechToText
from voicehelper.voice.calls import VoiceCalls
from voicehelper.voice.commands import SessionRequest, TypeText
from voicehelper.voice.limits import Pace
from voicehelper.voice.model import Final
from voicehelper.voice.outputs import Answering, AnswerSaid, Closed, Resumed
from voicehelper.voice.session_fakes import FakeAnswers, FakeConversations, fake_parts
from voicehelper.voice.store import FakeSessionStore

OWNER = Owner(new_id(), new_id())
LONG = "退货需要在签收后七天内申请。运费由买家承担，质量问题由我们承担。"


def pair(**settings):
    """Two replicas on one store."""
    store, answers, conversations = FakeSessionStore(), FakeAnswers([LONG]), FakeConversations()
    made = [
        VoiceCalls(
            fake_parts(
                stt=FakeSpeechToText(["退货要多久？"]), store=store, answers=answers, settings=VoiceSettings(**settings)
            ),
            conversations,
        )
        for _ in range(2)
    ]
    return *made, answers, store


@virtual_time
async def test_an_answer_goes_on_from_the_last_sample_played():
    first, second, answers, _ = pair()
    session = await first.open(OWNER, SessionRequest())
    phone = Telephone(session)
    await session.send(TypeText("退货要多久？"))
    await asyncio.sleep(2)
    played = phone.played
    assert played > 0
    await phone.hang_up()
    await session.lost()
    await asyncio.sleep(5)
    again = await second.resume(OWNER, session.info.resume_token, played)
    other = Telephone(again)
    other.played = played
    await asyncio.sleep(30)
    assert other.of(Resumed)[0].output_from == played
    assert other.frames[0].sample == played
    end = played
    for frame in other.frames:
        assert frame.sample == end
        end += len(frame.pcm) // 2
    assert end == other.of(AnswerSaid)[0].sample
    assert len(answers.answers) == 1
    assert phone.of(Closed) == []
    await other.hang_up()


@virtual_time
async def test_what_was_being_said_is_sent_again_and_heard_once():
    first, second, answers, _ = pair()
    session = await first.open(OWNER, SessionRequest())
    phone = Telephone(session)
    await phone.silence(1)
    await phone.speak(1.0)
    await phone.hang_up()
    await session.lost()
    again = await second.resume(OWNER, session.info.resume_token, 0)
    other = Telephone(again)
    other.sent = phone.sent
    await other.again((await other.until(Resumed)).input_from)
    await other.speak(0.5)
    await other.silence(3)
    assert [final.text for final in other.of(Final)] == ["退货要多久？"]
    assert [answer.question for answer in answers.answers] == ["退货要多久？"]
    await other.hang_up()


@virtual_time
async def test_nobody_comes_back():
    first, second, _, store = pair()
    session = await first.open(OWNER, SessionRequest())
    await session.lost()
    await asyncio.sleep(29)
    assert first.running == 1
    await asyncio.sleep(2)
    assert first.running == 0
    assert store.rows[session.place.session_id].ended == "lost"
    with pytest.raises(NotFound):
        await second.resume(OWNER, session.info.resume_token, 0)


@virtual_time
async def test_a_wrong_token_takes_nothing_away():
    first, _, _, _ = pair()
    session = await first.open(OWNER, SessionRequest())
    token = session.info.resume_token
    for wrong in ("", "x", token[:-1] + ("a" if token[-1] != "a" else "b")):
        with pytest.raises(NotFound):
            await first.resume(OWNER, wrong, 0)
    with pytest.raises(NotFound):
        await first.resume(Owner(OWNER.tenant_id, new_id()), token, 0)
    assert first.running == 1


@virtual_time
async def test_so_many_and_no_more():
    first, second, _, _ = pair(sessions=2, sessions_per_user=3)
    for _ in range(2):
        await first.open(OWNER, SessionRequest())
    with pytest.raises(Overloaded):
        await first.open(OWNER, SessionRequest())
    await second.open(OWNER, SessionRequest())
    with pytest.raises(RateLimited):
        await second.open(OWNER, SessionRequest())


@virtual_time
async def test_an_idle_session_and_a_long_one_end():
    first, _, _, store = pair(idle_s=60, longest_s=3600)
    idle = await first.open(OWNER, SessionRequest())
    await asyncio.sleep(62)
    assert store.rows[idle.place.session_id].ended == "idle"


def test_who_sends_faster_than_he_can_speak_waits():
    pace = Pace(0.0)
    waits = [pace.take(16_000, 0.0) for _ in range(8)]
    assert waits == [0, 0, 0, 0, 0, 1, 2, 3]
    now = 3.0
    with pytest.raises(RateLimited):
        for _ in range(100):
            now += pace.take(16_000, now) - 0.5


@virtual_time
async def test_a_question_gone_on_with_is_withdrawn_where_the_session_goes_on():
    """The replica dies between writing down that it is withdrawn and doing it."""
    first, second, answers, _ = pair()
    answers.first_s = 60.0
    session = await first.open(OWNER, SessionRequest())
    phone = Telephone(session)
    await session.send(TypeText("我要退货"))
    await asyncio.sleep(1)
    asking = session._asking
    asking._turn = None  # so that nothing is cut
    asking._ask = lambda *_: asyncio.sleep(1000)  # nor asked
    session._core.state = replace(session._core.state, turn=replace(session._core.state.turn, number=2, replaces=1))
    session._record.changed()
    await phone.hang_up()
    await session.lost()
    answers.first_s = 0.1
    other = Telephone(await second.resume(OWNER, session.info.resume_token, 0))
    await asyncio.sleep(10)
    assert [answer.text for answer in answers.answers] == [LONG]
    assert answers.answers[0].message_id == next(iter(other.of(Answering))).event.message_id
    await other.hang_up()
