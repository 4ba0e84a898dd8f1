"""OpenAI's own client, unchanged, over a real socket; sessions over fakes."""

import array
import asyncio
import base64
import math
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.fakes.realtime_server import served
from tests.prove.voice_openai import talk
from voicehelper.config import VoiceSettings
from voicehelper.ports.speech import FakeSpeechToText
from voicehelper.voice.session_fakes import FakeAnswers

LONG = (
    "退货需要在签收后七天内申请。运费由买家承担，质量问题由我们承担。您可以在订单页面里提交申请，客服会在一天内处理。"
)


def tone(seconds):
    """24 kHz PCM that counts as speech."""
    samples = (int(12000 * math.sin(n * 220 * math.tau / 24_000)) for n in range(int(24_000 * seconds)))
    return array.array("h", samples).tobytes()


async def test_two_turns_and_an_interruption():
    stt, answers = FakeSpeechToText(["退货要多久？", "那换货要多久呢？"]), FakeAnswers([LONG, "一样。"])
    async with served(stt=stt, answers=answers) as server:
        held = await talk(f"http://{server.address}", "key", tone(0.8), tone(1.0), interrupt_after_s=0.6, timeout=20)
        assert held.held, held
        assert held.heard == ["退货要多久？", "那换货要多久呢？"]
        assert LONG.startswith(held.answers[0].transcript) and held.answers[1].transcript == "一样。"
        assert held.lead_s < 1.2, "sound comes at most a second ahead of play"
        assert 0 < len(answers.answers[0].text) < 12, "what was heard is kept"
        await asyncio.sleep(0.3)
        assert server.calls.running == 0, "hanging up ends the call"


async def test_push_to_talk_and_text():
    stt = FakeSpeechToText(["退货要多久？"])
    async with (
        served(stt=stt, answers=FakeAnswers(["七天。", "可以。"])) as server,
        AsyncOpenAI(base_url=f"http://{server.address}/v1", api_key="key") as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        update = {"type": "realtime", "output_modalities": ["text"], "audio": {"input": {"turn_detection": None}}}
        await connection.session.update(session=update)
        await connection.input_audio_buffer.append(audio=base64.b64encode(tone(1.0)).decode())
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        assert (await _done(connection)).output[0].content[0].text == "七天。"
        content = [{"type": "input_text", "text": "能换吗？"}]
        item: Any = {"type": "message", "role": "user", "content": content}
        await connection.conversation.item.create(item=item)
        await connection.response.create()
        assert (await _done(connection)).output[0].content[0].text == "可以。"


async def _done(connection):
    async with asyncio.timeout(10):
        async for event in connection:
            assert event.type != "error", event
            if event.type == "response.done":
                assert event.response.status == "completed"
                return event.response
    raise AssertionError("it ended")


async def test_a_browser_brings_its_key_as_a_subprotocol():
    from websockets.asyncio.client import connect

    async with served() as server:
        protocols = ["realtime", "openai-insecure-api-key.vh_secret"]
        async with connect(f"ws://{server.address}/v1/realtime", subprotocols=protocols) as socket:
            assert socket.subprotocol == "realtime"
            assert '"session.created"' in await socket.recv()


async def test_no_more_sessions_than_a_replica_takes():
    async with (
        served(settings=VoiceSettings(sessions=1)) as server,
        AsyncOpenAI(base_url=f"http://{server.address}/v1", api_key="key") as client,
        client.realtime.connect(model="x") as first,
    ):
        assert (await first.recv()).type == "session.created"
        async with client.realtime.connect(model="x", max_retries=0) as second:
            error = await second.recv()
            assert error.type == "error" and error.error.code == "42902"


async def test_a_revoked_key_ends_the_call():
    async with (
        served() as server,
        AsyncOpenAI(base_url=f"http://{server.address}/v1", api_key="key") as client,
        client.realtime.connect(model="x", max_retries=0) as connection,
    ):
        assert (await connection.recv()).type == "session.created"
        server.authenticator.revoked.add("key")
        error = await connection.recv()
        assert error.type == "error" and error.error.code == "40104"
        with pytest.raises(Exception, match="4401"):
            await connection.recv()
        await asyncio.sleep(0.2)
        assert server.calls.running == 0
