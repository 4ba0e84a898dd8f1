"""Once with everything real: the default topology and a real (small) language model."""

import asyncio
import io
import json

import httpx
import pytest

from tests.e2e.conftest import Platform
from tests.e2e.test_topologies import REFUNDS, index
from tests.prove.voice_caller import Caller
from voicehelper.cli.client import ApiClient, ApiError
from voicehelper.ids import new_id
from voicehelper.voice.resample import resample


@pytest.fixture(scope="module")
def real(platform: Platform) -> Platform:
    """The topology of serve_config.yaml, with the model that is small enough for every test run."""
    platform.deploy(chat={"model": "qwen2.5-coder-0.5b-instruct", "parallel": 1}, cache=str(platform.settings.cache))
    return platform


@pytest.fixture
def client(real: Platform):
    with real.client() as client:
        yield client


def test_upload_ask_and_get_a_streamed_cited_chinese_answer(client: ApiClient):
    base = client.create_base(f"商店 {new_id()}")
    index(client, base.id, "退款说明.md", REFUNDS)
    conversation = client.create_conversation([str(base.id)])
    events = list(client.stream(conversation.id, "退款多久到账？"))
    text = "".join(event.data["text"] for event in events if event.name == "delta")
    assert events[-1].name == "message.completed"
    assert sum(event.name == "delta" for event in events) > 1
    assert "工作日" in text
    citations = [event.data for event in events if event.name == "citation"]
    assert citations
    assert all(citation["quote"] in REFUNDS for citation in citations)
    print(text, citations)


def test_a_broken_file_is_refused_with_its_reason_and_the_next_one_is_indexed(client: ApiClient):
    base = client.create_base(f"破损 {new_id()}")
    with pytest.raises(ApiError) as refused:
        client.upload(base.id, "broken.pdf", io.BytesIO(b"%PDF-1.7 and then nothing"), "application/pdf")
    assert refused.value.body.code == 42201
    assert refused.value.body.details["reason"] == "corrupt"
    index(client, base.id, "good.md", REFUNDS)


def test_ask_by_voice_and_hear_an_answer(real: Platform, client: ApiClient):
    base = client.create_base(f"电话 {new_id()}")
    index(client, base.id, "退款说明.md", REFUNDS)
    url = real.instance.http_url
    admin = json.loads((real.settings.home / "keys" / "admin.json").read_text())
    token = httpx.post(f"{url}/api/v1/auth/login", json=admin, timeout=30).raise_for_status().json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    body = {"model": "tts-1", "voice": "alloy", "input": "退款多久可以到账？", "response_format": "pcm"}
    spoken = httpx.post(f"{url}/v1/audio/speech", json=body, headers=bearer, timeout=60).raise_for_status().content
    question = resample(spoken, 24_000, 16_000)

    async def talk() -> Caller:
        async with Caller(url, token, {"language": "zh", "knowledge_bases": [str(base.id)]}) as call:
            call.say(question)
            await call.until(lambda: bool(call.of("answer.said")), 90)
            end = call.of("answer.said")[-1]["sample"]
            await call.until(lambda: call.position >= end, 60)
            return call

    call = asyncio.run(talk())
    assert "到账" in call.of("transcript.final")[0]["text"]
    answer = call.of("answer.completed")[0]["message"]
    assert answer["status"] == "completed"
    assert "".join(clause["text"] for clause in call.of("audio.clause", acknowledgement=False)) == answer["content"]
    assert sum(len(piece.pcm) for piece in call.played if not piece.acknowledgement) > 24_000  # half a second and more
    print(call.of("latency"))
