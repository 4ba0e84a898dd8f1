"""/v1/audio/speech, asked by the official `openai` client and by hand."""

import asyncio
import base64
import io
import json
from typing import Any

import openai
import pytest
import soundfile

from voicehelper.errors import Overloaded

TEXT = "您好，退款将在 3 个工作日内到账。"
PATH = "/v1/audio/speech"


def official(harness: Any) -> openai.AsyncOpenAI:
    http = harness.client(None)
    key = harness.http.headers["authorization"].removeprefix("Bearer ")
    return openai.AsyncOpenAI(api_key=key, base_url="http://test/v1", http_client=http, max_retries=0)


@pytest.mark.parametrize(
    ("form", "media_type", "kind"),
    [
        ("mp3", "audio/mpeg", "MP3"),
        ("opus", "audio/ogg", "OGG"),
        ("flac", "audio/flac", "FLAC"),
        ("wav", "audio/wav", "WAV"),
    ],
)
async def test_the_official_client_streams_a_file(harness: Any, form: str, media_type: str, kind: str) -> None:
    speech = official(harness).audio.speech.with_streaming_response
    async with speech.create(model="tts-1", voice="alloy", input=TEXT, response_format=form) as response:
        data = b"".join([part async for part in response.iter_bytes()])
    assert response.headers["content-type"] == media_type
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (file.format, file.channels) == (kind, 1)
        assert len(file.read()) > 0.5 * file.samplerate


async def test_numbers_are_read_and_the_voice_is_asked_for(harness: Any) -> None:
    audio = await official(harness).audio.speech.create(
        model="gpt-4o-mini-tts",
        voice="fake",
        input=TEXT,
        response_format="pcm",
        speed=1.5,
        instructions="friendly",
    )
    said = harness.services.tts.utterances
    assert len(audio.content) == sum(int(len(one.text) * 0.05 * 24_000) * 2 for one in said)
    assert "".join(one.text for one in said) == "您好，退款将在三个工作日内到账。"
    assert {(one.voice, one.style, one.speed, one.language) for one in said} == {("fake", "friendly", 1.5, "zh")}


async def test_events_carry_the_file_and_its_end(harness: Any) -> None:
    body = {"model": "tts-1", "voice": "alloy", "input": "好的", "response_format": "pcm", "stream_format": "sse"}
    response = await harness.http.post(PATH, json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in response.text.split("\n\n") if line]
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    assert len(b"".join(base64.b64decode(event["audio"]) for event in events[:-1])) == int(2 * 0.05 * 24_000) * 2
    assert events[-1]["type"] == "speech.audio.done"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"voice": "nobody"}, 400),
        ({"model": "tts-9"}, 400),
        ({"response_format": "aac"}, 400),
        ({"response_format": "mp5"}, 400),
        ({"speed": 9}, 400),
        ({"input": ""}, 400),
        ({"input": "字" * 4097}, 400),
        ({"input": "。。。"}, 400),
        ({"surprise": 1}, 400),
    ],
)
async def test_what_is_wrong_is_said_before_a_sound(harness: Any, change: dict[str, Any], status: int) -> None:
    body = {"model": "tts-1", "voice": "alloy", "input": "好的"} | change
    assert (await harness.http.post(PATH, json=body)).status_code == status
    assert not harness.services.tts.utterances


async def test_a_busy_model_is_a_429_before_the_first_byte(harness: Any) -> None:
    async def busy(_utterance: Any) -> Any:
        raise Overloaded(retry_after=2.0)
        yield b""

    harness.services.tts.synthesize = busy
    with pytest.raises(openai.RateLimitError) as refused:
        await official(harness).audio.speech.create(model="tts-1", voice="alloy", input="好的")
    assert refused.value.response.headers["retry-after"] == "2"


async def test_leaving_stops_the_model(harness: Any) -> None:
    tts = harness.services.tts
    tts.delay = 30.0
    body = {"model": "tts-1", "voice": "alloy", "input": "很长的一句话", "response_format": "pcm"}
    request = asyncio.create_task(harness.http.post(PATH, json=body))
    while not tts.utterances:  # noqa: ASYNC110 - the fake has no event
        await asyncio.sleep(0.01)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    assert tts.stopped == 1


async def test_a_token_and_the_permission_are_needed(harness: Any) -> None:
    body = {"model": "tts-1", "voice": "alloy", "input": "好的"}
    assert (await harness.client(None).post(PATH, json=body)).status_code == 401
    customer = await harness.user("default", "caller@example.com", "end_customer")
    assert (await harness.client(customer).post(PATH, json=body)).status_code == 403
