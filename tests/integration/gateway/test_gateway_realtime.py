"""`/v1/realtime` within the whole gateway: who may talk, and what becomes of the talk. Models are fakes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
from openai import AsyncOpenAI

from tests.integration.gateway.conftest import Harness
from tests.prove.voice_openai import talk
from tests.unit.realtime.test_realtime_official_client import tone
from voicehelper.gateway import create_app
from voicehelper.ports.speech import FakeSpeechToText
from voicehelper.rag.events import AnswerDelta, AnswerDone, AnswerStatus
from voicehelper.stores.postgres.voice_sessions import PostgresSessions
from voicehelper.voice.calls import VoiceCalls
from voicehelper.voice.session_fakes import fake_parts

LONG = "退货需要在签收后七天内申请。运费由买家承担，质量问题由我们承担。您可以在订单页面里提交申请。"


@pytest.fixture
async def address(harness: Harness) -> AsyncIterator[str]:
    """Of the gateway with a voice, served for real."""
    stt = FakeSpeechToText(["退货要多久？", "那换货要多久呢？"])
    parts = replace(fake_parts(stt=stt), answers=harness.services.answers, store=PostgresSessions(harness.pool))
    harness.answerer.events = (AnswerStatus("answering"), AnswerDelta(LONG), AnswerDone("answered", model="fake"))
    calls = VoiceCalls(parts, harness.services.conversations)
    app = create_app(replace(harness.services, voice=calls))
    # To make applications blocks the loop, on a slow machine for longer than a feed may be old.
    await harness.services.authenticator._feed.poll()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving
        await calls.drain()


def token_of(client: Any) -> str:
    return str(client.headers["authorization"]).split()[1]


async def test_an_interrupted_talk_lies_in_the_conversation(harness: Harness, address: str) -> None:
    said = tone(0.8), tone(1.0)
    held = await talk(f"http://{address}", token_of(harness.http), *said, interrupt_after_s=0.6, timeout=30)
    assert held.held, held
    listed = (await harness.http.get("/api/v1/conversations")).json()["items"]
    messages = (await harness.http.get(f"/api/v1/conversations/{listed[0]['id']}/messages")).json()["items"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert messages[0]["content"] == "退货要多久？" and messages[2]["content"] == "那换货要多久呢？"
    heard = messages[1]["content"]
    assert LONG.startswith(heard) and 0 < len(heard) < 15, "what was heard is kept"


async def test_who_may_not_talk_is_told(harness: Harness, address: str) -> None:
    created = await harness.http.post("/api/v1/api-keys", json={"name": "k", "permissions": ["knowledge:read"]})
    assert created.status_code == 201, created.text
    for key, code in ((created.json()["key"], "4403"), ("nonsense", "4401")):
        async with AsyncOpenAI(base_url=f"http://{address}/v1", api_key=key, max_retries=0) as client:
            with pytest.raises(Exception, match=code):
                async with client.realtime.connect(model="x", max_retries=0) as connection:
                    await connection.recv()


async def test_a_talk_goes_on_in_a_conversation(harness: Harness, address: str) -> None:
    conversation = await harness.conversation()
    async with (
        AsyncOpenAI(base_url=f"http://{address}/v1", api_key=token_of(harness.http)) as client,
        client.realtime.connect(model="x", extra_query={"conversation_id": str(conversation)}) as connection,
    ):
        created: Any = await connection.recv()
        assert created.session.voicehelper["conversation_id"] == str(conversation)
    async with (
        AsyncOpenAI(base_url=f"http://{address}/v1", api_key=token_of(harness.http)) as client,
        client.realtime.connect(
            model="x", extra_query={"conversation_id": str(harness.admin.id)}, max_retries=0
        ) as connection,
    ):
        error: Any = await connection.recv()
        assert error.type == "error" and error.error.code == "40401"
