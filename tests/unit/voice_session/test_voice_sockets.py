"""What either socket does with silence, and `/ws/voice` with too much: a session without a network, in virtual time."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.realtime import FakeSocket
from tests.fakes.virtual_time import virtual_time
from voicehelper.config import VoiceSettings
from voicehelper.conversations import Owner
from voicehelper.errors import InvalidInput
from voicehelper.gateway.realtime.opening import connection
from voicehelper.gateway.voice_socket import VoiceSocket
from voicehelper.identity import Principal
from voicehelper.voice.calls import VoiceCalls
from voicehelper.voice.commands import SessionRequest
from voicehelper.voice.session_fakes import FakeConversations, fake_parts
from voicehelper.voice.store import FakeSessionStore

OWNER = Owner(UUID(int=1), UUID(int=2))
PRINCIPAL = Principal(OWNER.user_id, OWNER.tenant_id)
SILENCE = bytes(6400)  # 0.2 s
START = {"type": "session.start", "output": {"encoding": "pcm16"}}


class Ends:
    """A client on `/ws/voice`: the client's end of the line, and the platform behind the other."""

    def __init__(self, **settings: Any) -> None:
        self.store = FakeSessionStore()
        self.calls = VoiceCalls(fake_parts(store=self.store, settings=VoiceSettings(**settings)), FakeConversations())
        self.socket = FakeSocket()
        self.running: asyncio.Task[None] | None = None

    def dial(self, *messages: dict[str, Any] | str | bytes) -> None:
        self.socket.client_sends(*messages)
        served = VoiceSocket(self.socket, self.calls, PRINCIPAL, self._check)  # type: ignore[arg-type]
        self.running = asyncio.create_task(served.run())

    async def dial_realtime(self) -> None:
        session = await self.calls.open(OWNER, SessionRequest())
        served = connection(self.socket, session, self.calls.settings, self._check)  # type: ignore[arg-type]
        self.running = asyncio.create_task(served.run())

    async def over(self) -> tuple[int, str] | None:
        assert self.running is not None
        await asyncio.wait_for(self.running, 5)
        await asyncio.sleep(1)
        return self.socket.closed

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.socket.events if event["type"] == kind]

    async def _check(self, _token: str | None = None) -> Principal:
        return PRINCIPAL

    @property
    def ended(self) -> list[str]:
        return [row.ended for row in self.store.rows.values()]


@virtual_time
async def test_silence_for_minutes_is_acknowledged_and_then_ends_the_call():
    ends = Ends(idle_s=300)
    ends.dial(START)
    for _ in range(280 * 5):
        ends.socket.client_sends(SILENCE)
        await asyncio.sleep(0.2)
    assert ends.socket.closed is None
    acked = [event["sample"] for event in ends.of("input.ack")]
    assert acked == sorted(acked) and len(acked) > 20
    assert acked[-1] > 260 * 16_000, "who keeps what is not acknowledged keeps little"
    await asyncio.sleep(25)
    assert await ends.over() == (1000, "idle")
    assert ends.of("session.closed") == [{"type": "session.closed", "reason": "idle", "resumable": False}]
    assert ends.ended == ["idle"]


@virtual_time
async def test_who_sends_nothing_at_all_is_idle_too():
    ends = Ends(idle_s=60)
    ends.dial(START)
    await asyncio.sleep(55)
    assert ends.socket.closed is None
    await asyncio.sleep(6)
    assert await ends.over() == (1000, "idle")


@virtual_time
async def test_silence_for_minutes_on_realtime():
    ends = Ends(idle_s=300)
    await ends.dial_realtime()
    silence = {"type": "input_audio_buffer.append", "audio": "A" * 12_800}  # 0.2 s at 24 kHz
    for _ in range(280 * 5):
        ends.socket.client_sends(silence)
        await asyncio.sleep(0.2)
    assert ends.socket.closed is None and not ends.of("error")
    await asyncio.sleep(25)
    assert await ends.over() == (1000, "idle")
    assert [event["error"]["code"] for event in ends.of("error")] == ["session_expired"]
    assert ends.ended == ["idle"]


@pytest.mark.parametrize(
    "flood",
    [[bytes(64_000)] * 140, ['{"type":"interrupt"}'] * 6500, [b"\0\0"] * 14_000, ["nonsense"] * 60],
    ids=["sound", "messages", "samples", "nonsense"],
)
def test_who_sends_too_much_is_sent_away_and_leaves_nothing_behind(flood: list[Any]) -> None:
    @virtual_time
    async def attack() -> None:
        ends = Ends()
        ends.dial(START)
        await asyncio.sleep(1)
        ends.socket.client_sends(*flood)
        await asyncio.sleep(3)
        closed = await ends.over()
        assert closed is not None and closed[0] == 1008
        assert ends.calls.running == 0 and ends.ended == ["flood"], "no slot is taken"

    attack()


@virtual_time
async def test_who_resumes_sends_a_minute_at_once():
    ends = Ends()
    ends.dial(START)
    await asyncio.sleep(1)
    ends.socket.client_leaves()
    await ends.over()
    resume = {"type": "session.resume", "resume_token": ends.of("session.created")[0]["resume_token"], "played": 0}
    ends.dial(resume, *[bytes(640)] * 3000)  # 60 s in packets of 20 ms
    await asyncio.sleep(2)
    assert ends.socket.closed is None and ends.calls.running == 1
    [session] = ends.calls._sessions.values()
    assert session._ear.position == 60 * 16_000


@virtual_time
async def test_what_begins_no_session_is_answered_only_so_often():
    ends = Ends()
    ends.dial(*["{}"] * 50)
    assert ends.running is not None
    with pytest.raises(InvalidInput):
        await ends.running
    assert len(ends.of("error")) == 21 and not ends.store.rows


@virtual_time
async def test_a_wrong_first_frame_is_answered_and_the_session_goes_on():
    ends = Ends()
    ends.dial(b"\0\0\0", json.dumps({"type": "ping", "id": "1"}))
    await asyncio.sleep(1)
    assert [event["type"] for event in ends.socket.events if event["type"] in ("error", "pong")] == ["error", "pong"]
    assert ends.calls.running == 1


@virtual_time
async def test_to_hang_up_is_heard_though_the_line_is_gone():
    ends = Ends()
    ends.dial(START, *[bytes(6400)] * 10, {"type": "session.close"})
    ends.socket.client_leaves()
    await ends.over()
    assert ends.ended == ["client"]
