"""Calls over `/ws/voice`: the socket, its rules, and sessions that outlive it, on two replicas with one database."""

import asyncio
import json
import math
import struct
from array import array
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
import websockets

from tests.integration.gateway.replicas import Replica, replica
from tests.integration.gateway.test_gateway_devices import served, token
from voicehelper.config import VoiceSettings
from voicehelper.gateway import create_app
from voicehelper.ids import new_id
from voicehelper.ports.speech import FakeSpeechToText, FakeTextToSpeech, FakeVoiceActivity, NullTurnDetector
from voicehelper.rag.events import AnswerDelta, AnswerDone, AnswerStatus
from voicehelper.stores.postgres.voice_sessions import PostgresSessions
from voicehelper.voice.calls import VoiceCalls
from voicehelper.voice.session_parts import Parts

HEADER = struct.Struct("<BBHQ")
TONE = array("h", (int(12000 * math.sin(n * 220 * math.tau / 16000)) for n in range(640))).tobytes()  # 40 ms
TEXT = "退货需要在签收后七天内申请。运费由买家承担，质量问题由我们承担。"


def answer(text: str = TEXT) -> tuple[Any, ...]:
    return (AnswerStatus("answering"), *(AnswerDelta(char) for char in text), AnswerDone("answered"))


@dataclass
class House:
    """A replica that takes calls."""

    replica: Replica
    calls: VoiceCalls
    url: str
    stt: FakeSpeechToText


@asynccontextmanager
async def house(harness: Any, redis_url: str, settings: VoiceSettings | None = None) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(replica(harness, redis_url, lease_s=1.5))
        made.answerer.events = answer()
        stt = FakeSpeechToText(["退货要多久？", "那换货呢？"], seconds_per_text=0.5)
        parts = Parts(
            stt,
            FakeTextToSpeech(seconds_per_char=0.1),
            FakeVoiceActivity(),
            NullTurnDetector(),
            made.answers,
            PostgresSessions(harness.pool),
            settings or VoiceSettings(),
        )
        calls = VoiceCalls(parts, harness.services.conversations)
        app = create_app(replace(harness.services, answers=made.answers, voice=calls))
        # To make applications blocks the loop, on a slow machine for longer than a feed may be old.
        await harness.services.authenticator._feed.poll()
        yield House(made, calls, await stack.enter_async_context(served(app)), stt)
        await calls.drain()


@pytest.fixture
async def one(harness: Any, redis_url: str) -> AsyncIterator[House]:
    async with house(harness, redis_url) as made:
        yield made


@pytest.fixture
async def two(harness: Any, redis_url: str) -> AsyncIterator[list[House]]:
    async with house(harness, redis_url) as first, house(harness, redis_url) as second:
        yield [first, second]


@dataclass
class Phone:
    """A call that plays in real time what it gets (PCM)."""

    socket: Any
    events: list[dict[str, Any]] = field(default_factory=list)
    frames: list[tuple[int, int, bytes]] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        try:
            async for message in self.socket:
                if isinstance(message, bytes):
                    _, flags, _, sample = HEADER.unpack_from(message)
                    self.frames.append((sample, flags, message[HEADER.size :]))
                else:
                    self.events.append(json.loads(message))
        except websockets.ConnectionClosed:
            pass
        self.over.set()

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def sound(self, seconds: float, tone: bool = True) -> None:
        for _ in range(round(seconds / 0.04)):
            await self.socket.send(TONE if tone else bytes(1280))
            await asyncio.sleep(0.02)  # twice as fast as he would: nobody minds for a moment

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    async def until(self, kind: str, count: int = 1, seconds: float = 15.0) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            while len(self.of(kind)) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.of(kind)[count - 1]

    @property
    def end(self) -> int:
        """Samples got without a gap, from the first frame on."""
        at = self.frames[0][0]
        for sample, _, pcm in self.frames:
            assert sample == at, "no gap, nothing twice"
            at += len(pcm) // 2
        return at


@asynccontextmanager
async def phone(house: House, credential: str, **start: Any) -> AsyncIterator[Phone]:
    async with websockets.connect(f"{house.url}/ws/voice?token={credential}", proxy=None) as socket:
        made = Phone(socket)
        listening = asyncio.create_task(made.listen())
        if start.pop("start", True):
            kind = "session.resume" if "resume_token" in start else "session.start"
            await made.send(kind, output={"encoding": "pcm16"}, **start)
            await made.until("session.resumed" if "resume_token" in start else "session.created")
        yield made
        await socket.close()
        listening.cancel()


async def refusal(house: House, credential: str, message: str | bytes | None) -> tuple[int, str]:
    """The close code and reason of a call that begins with `message`."""
    async with websockets.connect(f"{house.url}/ws/voice?token={credential}", proxy=None) as socket:
        if message is not None:
            await socket.send(message)
        with pytest.raises(websockets.ConnectionClosed) as caught:
            async with asyncio.timeout(10):
                while True:
                    await socket.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def messages(harness: Any, conversation: str) -> list[dict[str, Any]]:
    return list((await harness.http.get(f"/api/v1/conversations/{conversation}/messages")).json()["items"])


async def test_the_shortest_client_just_sends_sound(harness: Any, one: House) -> None:
    async with phone(one, token(harness), start=False) as call:
        await call.sound(0.8)
        await call.sound(1.2, tone=False)
        await call.until("answer.said")
        created = call.of("session.created")[0]
        assert created["output"] == {"encoding": "opus", "sample_rate": 24000}
        assert call.of("transcript.final")[0]["text"] == "退货要多久？"
        assert all(flags & 2 for _, flags, _ in call.frames)
        assert [sample for sample, _, _ in call.frames][:3] == [0, 480, 960]
        said = call.of("answer.said")[0]["sample"]
        assert call.frames[-1][0] + 480 == said
        assert "".join(clause["text"] for clause in call.of("audio.clause")) == TEXT
    question, reply = await messages(harness, created["conversation_id"])
    assert (question["content"], reply["content"], reply["status"]) == ("退货要多久？", TEXT, "completed")
    assert question["metadata"]["speech"]["language"] == "zh" and question["metadata"]["speech"]["duration_ms"] > 500


async def test_text_and_voice_share_a_conversation(harness: Any, one: House) -> None:
    conversation = await harness.conversation()
    async with phone(one, token(harness), conversation_id=str(conversation)) as call:
        await call.send("text", text="在吗")
        await call.until("answer.said")
        started = call.of("answer.started")[0]
        assert started["question"]["content"] == "在吗"
        facts = await call.until("latency")
        assert facts["first_sound_ms"] >= facts["first_token_ms"] >= 0
        await call.send("session.close")
        await asyncio.wait_for(call.over.wait(), 15)
        assert call.of("session.closed") == [{"type": "session.closed", "reason": "client", "resumable": False}]
        assert call.socket.close_code == 1000
    assert [message["content"] for message in await messages(harness, str(conversation))] == ["在吗", TEXT]


async def test_a_killed_replica(harness: Any, two: list[House]) -> None:
    first, second = two
    first.replica.answerer.delay = 0.05
    async with phone(first, token(harness)) as call:
        await call.send("text", text="退货要多久？")
        await call.until("audio.clause", 1)
        await asyncio.sleep(0.6)
        played = call.frames[0][0] + 7200
        facts = call.of("session.created")[0]
        await kill(first)
    async with phone(second, token(harness), resume_token=facts["resume_token"], played=played) as again:
        resumed = again.of("session.resumed")[0]
        assert resumed["output_from"] == played and resumed["session_id"] == facts["session_id"]
        said = await again.until("answer.said", seconds=20)
        assert again.frames[0][0] == played
        await asyncio.sleep(0.1)
        assert again.end == said["sample"]
        assert said["sample"] == pytest.approx(len(TEXT) * 2400, rel=0.1)
    question, reply = await messages(harness, facts["conversation_id"])
    assert (question["content"], reply["content"], reply["status"]) == ("退货要多久？", TEXT, "completed")


async def kill(house: House) -> None:
    """As kill -9 would have it."""
    for session in list(house.calls._sessions.values()):
        record: Any = session._record
        record._store = None
        ended: list[Any] = [record._task, session._speaker._telling, *session._tasks]
        session._core.close()
        if record._timer:
            record._timer.cancel()
        turn = session._asking._turn
        ended += [turn.relay, turn.asked] if turn else []
        ending: Any = asyncio.get_running_loop().create_future()
        session._ending = ending
        for task in ended:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in ended if task), return_exceptions=True)
    house.calls._sessions.clear()
    await house.replica.die()


async def test_a_broken_connection_and_a_rolling_update(harness: Any, two: list[House]) -> None:
    first, second = two
    async with phone(first, token(harness)) as call:
        facts = call.of("session.created")[0]
        await call.sound(0.8)
        await call.sound(1.2, tone=False)
        await call.until("audio.clause")
    async with phone(first, token(harness), resume_token=facts["resume_token"], played=2400) as again:
        assert (await again.until("transcript.final"))["turn"] == 1
        assert again.of("session.resumed")[0]["output_from"] == 2400
        await again.until("audio.clause")
        draining = asyncio.create_task(first.calls.drain())
        await asyncio.wait_for(again.over.wait(), 15)
        assert again.socket.close_code == 1012
        assert again.of("session.closed")[0]["resumable"]
        await draining
        played = again.end
    code, reason = await refusal(first, token(harness), json.dumps({"type": "session.start"}))
    assert (code, reason[:5]) == (4503, "50301"), "a replica that goes away takes no calls"
    async with phone(second, token(harness), resume_token=facts["resume_token"], played=played) as third:
        said = await third.until("answer.said")
        assert not third.frames or third.end == said["sample"]
    assert len(await messages(harness, facts["conversation_id"])) == 2


async def test_the_second_of_two_connections_has_the_session(harness: Any, two: list[House]) -> None:
    first, second = two
    async with phone(first, token(harness)) as call:
        resume = call.of("session.created")[0]["resume_token"]
        async with phone(second, token(harness), resume_token=resume, played=0) as other:
            await call.send("text", text="我还在吗")  # the first replica learns of it with its next write
            await asyncio.wait_for(call.over.wait(), 15)
            assert call.socket.close_code == 4409
            await other.send("text", text="在吗")
            await other.until("answer.said")


async def test_what_makes_no_sense_is_answered_and_the_session_goes_on(harness: Any, one: House) -> None:
    junk: list[str | bytes] = [
        "",
        "null",
        "[1]",
        "{",
        '{"type": 5}',
        '{"type": "nonsense"}',
        '{"type": "played", "sample": -1}',
        '{"type": "played", "sample": "x"}',
        '{"type": "session.start"}',
        '{"type": "session.update", "speed": 9}',
        '{"type": "session.update", "voice": "nobody"}',
        '{"type": "session.update", "turn_detection": {"min_silence_ms": 3000, "max_silence_ms": 200}}',
        '{"type": "text", "text": "\\u0000"}',
        '{"type": "text", "text": ""}',
        "x" * 70_000,
        b"\x00",
        b"\x01" * 999,
        bytes(500_000),
    ]
    async with phone(one, token(harness)) as call:
        for number, message in enumerate(junk, start=1):
            await call.socket.send(message)
            error = await call.until("error", number)
            assert 40000 < error["code"] < 42300 and error["trace_id"], message
        await call.send("ping", id="7")
        assert (await call.until("pong"))["id"] == "7"
        await call.send("text", text="在吗")
        await call.until("answer.said")


async def test_settings_are_changed_in_the_middle(harness: Any, one: House) -> None:
    async with phone(one, token(harness), turn_detection={"automatic": False}) as call:
        assert call.of("session.created")[0]["turn_detection"]["automatic"] is False
        await call.sound(0.6)
        await call.sound(1.5, tone=False)
        assert not call.of("transcript.final")
        await call.send("input.commit")
        await call.until("transcript.final")
        await call.send("session.update", speed=1.2, turn_detection={"automatic": True}, token=token(harness))
        updated = await call.until("session.updated")
        assert (updated["speed"], updated["turn_detection"]["automatic"]) == (1.2, True)


async def test_who_may_not_call(harness: Any, one: House) -> None:
    assert (await refusal(one, "x", None))[0] == 4401
    other = harness.issuer.issue(await harness.user("other", "b@example.com"), new_id()).token
    conversation = await harness.conversation()
    start = json.dumps({"type": "session.start", "conversation_id": str(conversation)})
    assert (await refusal(one, other, start))[0] == 4404
    unknown = json.dumps({"type": "session.start", "knowledge_bases": ["nowhere"]})
    assert (await refusal(one, other, unknown))[0] == 4404
    async with phone(one, token(harness)) as call:
        resume = {"type": "session.resume", "resume_token": call.of("session.created")[0]["resume_token"], "played": 0}
        assert (await refusal(one, other, json.dumps(resume)))[0] == 4404
        wrong = resume | {"resume_token": resume["resume_token"][:-1] + "x"}
        assert (await refusal(one, token(harness), json.dumps(wrong)))[0] == 4404
        await call.send("text", text="在吗")
        await call.until("answer.said")


async def test_a_visitor_talks_in_his_own_conversation(harness: Any, one: House) -> None:
    made = (await harness.http.post("/api/v1/visitor-tokens", json={})).json()
    async with phone(one, made["token"]) as call:
        assert call.of("session.created")[0]["conversation_id"] == made["conversation_id"]
    start = json.dumps({"type": "session.start", "conversation_id": str(UUID(int=7))})
    assert (await refusal(one, made["token"], start))[0] == 4404


async def test_a_session_ends_with_its_token(harness: Any, one: House) -> None:
    user = await harness.user("default", "c@example.com", "member")
    async with phone(one, harness.issuer.issue(user, new_id()).token) as call:
        await harness.http.patch(f"/api/v1/users/{user.id}", json={"version": 1, "disabled": True})
        await asyncio.wait_for(call.over.wait(), 15)
        assert call.socket.close_code == 4401


async def test_so_many_and_no_more(harness: Any, redis_url: str) -> None:
    async with house(harness, redis_url, VoiceSettings(sessions=3, sessions_per_user=2)) as made:
        start = json.dumps({"type": "session.start"})
        async with phone(made, token(harness)), phone(made, token(harness)):
            code, reason = await refusal(made, token(harness), start)
            assert (code, reason[:5]) == (4429, "42901")
            other = harness.issuer.issue(await harness.user("other", "b@example.com"), new_id()).token
            async with phone(made, other):
                code, reason = await refusal(made, other, start)
                assert (code, reason[:5]) == (4429, "42902")


async def test_without_speech_models(harness: Any) -> None:
    async with served(harness.app) as url:
        code, reason = await refusal(House(None, None, url, None), token(harness), None)  # type: ignore[arg-type]
        assert (code, reason[:5]) == (4503, "50302")


async def test_who_floods_is_sent_away_and_others_are_not_disturbed(harness: Any, one: House) -> None:
    async with phone(one, token(harness)) as flood, phone(one, token(harness)) as other:
        await other.send("text", text="在吗")
        await other.until("audio.clause")
        with pytest.raises(websockets.ConnectionClosed):
            async with asyncio.timeout(20):
                while True:
                    await flood.socket.send(bytes(64_000))
                    await asyncio.sleep(0)  # to send is not to wait: nobody else would run on this loop
        assert flood.socket.close_code == 1008
        await other.until("answer.said")
        assert one.calls.running == 1, "no slot is taken by who was sent away"
