"""/v1/audio/transcriptions, asked by the official `openai` client and by hand."""

import asyncio
import io
import json
import wave
from dataclasses import replace
from typing import Any

import numpy as np
import openai
import pytest

from voicehelper.errors import ModelUnavailable
from voicehelper.ports.speech import FakeSpeechToText, Recognition, Transcript, Word
from voicehelper.voice.dictation import Dictation

PATH = "/v1/audio/transcriptions"


def sound(*parts: tuple[float, float], rate: int = 16_000) -> bytes:
    """A wav file of noise: so many seconds, so loud."""
    noise = np.random.default_rng(1)
    samples = np.concatenate([noise.normal(0, 1, int(seconds * rate)) * level for seconds, level in parts])
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


SHORT = sound((1.0, 0.1))
LONG = sound((18, 0.1), (1, 0), (18, 0.1))


class FakeTimedSpeechToText(FakeSpeechToText):
    """One that gives times of words, half a second each."""

    async def transcribe(self, request: Recognition) -> Transcript:
        found = await super().transcribe(request)
        words = tuple(Word(char, n * 0.5, n * 0.5 + 0.5) for n, char in enumerate(found.text)) if request.words else ()
        return replace(found, words=words)


@pytest.fixture
def stt(harness: Any) -> FakeTimedSpeechToText:
    made = FakeTimedSpeechToText(("您好，", "退款多久到账？"))
    use(harness, made)
    return made


def use(harness: Any, stt: Any, **options: Any) -> None:
    harness.app.state.services = replace(harness.services, dictation=Dictation(stt, **options))


def official(harness: Any) -> Any:
    key = harness.http.headers["authorization"].removeprefix("Bearer ")
    return openai.AsyncOpenAI(api_key=key, base_url="http://test/v1", http_client=harness.client(None), max_retries=0)


async def test_the_official_client_gets_the_text(harness: Any, stt: FakeTimedSpeechToText) -> None:
    found = await official(harness).audio.transcriptions.create(
        model="whisper-1", file=("a.wav", SHORT), language="zh-CN", prompt="星河卡", temperature=0.2
    )
    assert found.text == "您好，"
    assert found.usage.seconds == 1.0
    (request,) = stt.requests
    assert (request.language, request.hot_words, request.final, request.words) == ("zh", ("星河卡",), True, False)
    assert len(request.audio) == 2 * 16_000


async def test_a_long_recording_is_cut_in_its_silence(harness: Any, stt: FakeTimedSpeechToText) -> None:
    found = await official(harness).audio.transcriptions.create(
        model="fake-stt",
        file=("a.wav", LONG),
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert (found.text, found.language, round(found.duration)) == ("您好，退款多久到账？", "zh", 37)
    assert [segment.text for segment in found.segments] == ["您好，", "退款多久到账？"]
    assert abs(found.segments[1].start - 18.7) < 0.2
    assert abs(found.words[3].start - 18.7) < 0.2
    assert [request.language for request in stt.requests] == ["", "zh"]


@pytest.mark.parametrize(
    ("form", "begin"),
    [
        ("text", "您好，退款多久到账？\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:01,500\n您好，\n\n2\n00:00:18,"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n您好，\n\n00:00:18."),
    ],
)
async def test_text_and_subtitles(harness: Any, stt: Any, form: str, begin: str) -> None:
    found = await official(harness).audio.transcriptions.create(
        model="whisper-1", file=("a.wav", LONG), response_format=form
    )
    assert found.startswith(begin)


async def test_a_stream_brings_pieces_and_the_whole(harness: Any, stt: Any) -> None:
    stream = await official(harness).audio.transcriptions.create(
        model="gpt-4o-transcribe", file=("a.wav", LONG), stream=True
    )
    events = [event async for event in stream]
    assert [event.type for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert "".join(event.delta for event in events[:2]) == events[2].text == "您好，退款多久到账？"


async def test_silence_is_no_text(harness: Any, stt: FakeTimedSpeechToText) -> None:
    found = await official(harness).audio.transcriptions.create(
        model="whisper-1", file=("a.wav", sound((3, 0))), response_format="verbose_json"
    )
    assert (found.text, found.segments, stt.requests) == ("", [], [])


async def test_hot_words_of_the_tenant(harness: Any, stt: FakeTimedSpeechToText) -> None:
    tenant = (await harness.http.get("/api/v1/tenant")).json()
    body = {"version": tenant["version"], "hot_words": ["星河卡", "北斗路"]}
    changed = await harness.http.patch("/api/v1/tenant", json=body)
    assert changed.json()["hot_words"] == ["星河卡", "北斗路"]
    assert changed.json()["name"] == tenant["name"]
    await official(harness).audio.transcriptions.create(model="whisper-1", file=("a.wav", SHORT), keywords=["天狼"])
    assert stt.requests[0].hot_words == ("天狼", "星河卡", "北斗路")


async def ask(harness: Any, file: bytes = SHORT, **fields: Any) -> Any:
    files = {"file": ("a.wav", file)}
    return await harness.http.post(PATH, files=files, data={"model": "whisper-1"} | fields)


@pytest.mark.parametrize(
    ("fields", "file", "code"),
    [
        ({"model": "gpt-9"}, SHORT, 40401),
        ({"response_format": "docx"}, SHORT, 40001),
        ({"temperature": "7"}, SHORT, 40001),
        ({"language": "中文"}, SHORT, 40001),
        ({"timestamp_granularities[]": "letter"}, SHORT, 40001),
        ({}, b"", 40004),
        ({}, b"no sound at all", 41501),
        ({}, b"\x00\x00\x00\x20ftypM4A ", 41501),
    ],
)
async def test_what_cannot_be_done_is_told_in_both_shapes(
    harness: Any, stt: Any, fields: dict[str, str], file: bytes, code: int
) -> None:
    response = await ask(harness, file, **fields)
    body = response.json()
    assert (response.status_code, body["code"], body["error"]["code"]) == (code // 100, code, str(code))
    assert body["error"]["type"] == "invalid_request_error"
    assert body["trace_id"] and body["message"] in body["error"]["message"]


async def test_the_official_client_understands_errors(harness: Any, stt: Any) -> None:
    with pytest.raises(openai.NotFoundError) as failure:
        await official(harness).audio.transcriptions.create(model="gpt-9", file=("a.wav", SHORT))
    assert (failure.value.code, failure.value.param) == ("40401", "model")
    anonymous = openai.AsyncOpenAI(api_key="x", base_url="http://test/v1", http_client=harness.client(None))
    with pytest.raises(openai.AuthenticationError):
        await anonymous.audio.transcriptions.create(model="whisper-1", file=("a.wav", SHORT))


@pytest.mark.parametrize("content", ["{}", "--x\r\nbroken", ""])
async def test_bodies_that_are_no_form(harness: Any, stt: Any, content: str) -> None:
    for kind in ("application/json", "multipart/form-data; boundary=x", "multipart/form-data"):
        response = await harness.http.post(PATH, content=content, headers={"content-type": kind})
        assert 400 <= response.status_code < 500, (kind, response.text)


async def test_too_large_and_too_long(harness: Any, stt: Any) -> None:
    use(harness, stt, longest_s=0.5)
    assert (await ask(harness)).json()["code"] == 41301
    response = await harness.http.post(PATH, content=b"x", headers={"content-length": str(30 * 2**20)})
    assert response.json()["code"] == 41301


async def test_only_so_many_at_once(harness: Any) -> None:
    slow = FakeSpeechToText(delay=0.3)
    use(harness, slow, at_once=1)
    first = asyncio.create_task(ask(harness))
    while not slow.requests:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    busy = await ask(harness)
    assert (busy.json()["code"], busy.json()["error"]["type"]) == (42902, "rate_limit_error")
    assert busy.headers["retry-after"]
    assert (await first).status_code == 200
    assert (await ask(harness)).status_code == 200


async def test_without_a_recogniser(harness: Any) -> None:
    class Gone(FakeSpeechToText):
        async def transcribe(self, request: Recognition) -> Transcript:
            raise ModelUnavailable

    use(harness, Gone())
    response = await ask(harness)
    assert (response.json()["code"], response.json()["error"]["type"]) == (50302, "server_error")
    assert (await ask(harness, stream="true")).json()["code"] == 50302
    harness.app.state.services = replace(harness.services, dictation=None)
    assert (await ask(harness)).json()["code"] == 50302


async def test_an_error_within_a_stream_is_its_last_event(harness: Any) -> None:
    class Falters(FakeSpeechToText):
        async def transcribe(self, request: Recognition) -> Transcript:
            if self.finals:
                raise ModelUnavailable
            return await super().transcribe(request)

    use(harness, Falters())
    response = await ask(harness, LONG, stream="true")
    last = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")][-1]
    assert (last["error"]["code"], last["code"]) == ("server_error", 50302)
    with pytest.raises(openai.APIError):
        stream = await official(harness).audio.transcriptions.create(
            model="whisper-1", file=("a.wav", LONG), stream=True
        )
        _ = [event async for event in stream]
