"""Recognisers elsewhere, against a fake of them."""

import time

import pytest

from actors.stt.registry import build_speech_to_text
from tests.fakes.recognition_server import recognition_server
from voicehelper.config import Settings
from voicehelper.context import RequestContext, use_context
from voicehelper.errors import DeadlineExceeded, InvalidInput, ModelUnavailable, Overloaded
from voicehelper.ports.speech import INPUT_RATE, Recognition, Word

AUDIO = bytes(2 * INPUT_RATE)
AZURE = {
    "RecognitionStatus": "Success",
    "Offset": 1_000_000,
    "Duration": 8_000_000,
    "DisplayText": "退款多久到账？",
    "NBest": [
        {
            "Confidence": 0.87,
            "Lexical": "退款 多久 到账",
            "Display": "退款多久到账？",
            "Words": [{"Word": "退款", "Offset": 1_000_000, "Duration": 4_000_000}],
        }
    ],
}


@pytest.fixture
async def server():
    async with recognition_server() as fake:
        yield fake


@pytest.fixture
async def azure(server):
    made = build_speech_to_text(Settings(stt={"backend": "azure", "base_url": server.url, "api_key": "k1"}))
    server.answer = (200, AZURE)
    yield made
    await made.close()


@pytest.fixture
async def remote(server):
    stt = {"backend": "openai", "base_url": f"{server.url}/v1", "api_key": "k2", "model": "whisper-large"}
    made = build_speech_to_text(Settings(stt=stt))
    yield made
    await made.close()


async def test_azure_as_documented(server, azure):
    found = await azure.transcribe(Recognition(AUDIO, "a", words=True))
    assert (found.text, found.language, found.confidence) == ("退款多久到账？", "zh", 0.87)
    assert found.words == (Word("退款", 0.1, 0.5),)
    (seen,) = server.requests
    assert seen["query"]["language"] == "zh-CN"
    assert seen["query"]["format"] == "detailed"
    assert seen["headers"]["ocp-apim-subscription-key"] == "k1"
    assert seen["headers"]["content-type"] == "audio/wav; codecs=audio/pcm; samplerate=16000"
    assert seen["seconds"] == 1.0
    assert not (await azure.describe()).partials


@pytest.mark.parametrize("status", ["NoMatch", "InitialSilenceTimeout", "BabbleTimeout"])
async def test_azure_hears_nothing(server, azure, status):
    server.answer = (200, {"RecognitionStatus": status})
    assert (await azure.transcribe(Recognition(AUDIO, "a", language="en"))).text == ""
    assert server.requests[0]["query"]["language"] == "en-US"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((401, {}), ModelUnavailable),
        ((429, {}), Overloaded),
        ((400, {}), InvalidInput),
        ((500, b"oops"), ModelUnavailable),
        ((200, b"<html>"), ModelUnavailable),
        ((200, {"surprise": 1}), ModelUnavailable),
        ((200, {"RecognitionStatus": "Error"}), ModelUnavailable),
    ],
)
async def test_azure_fails(server, azure, answer, error):
    server.answer = answer
    with pytest.raises(error) as failure:
        await azure.transcribe(Recognition(AUDIO, "a"))
    assert "k1" not in str(failure.value)


async def test_azure_needs_a_place():
    with pytest.raises(InvalidInput, match=r"stt\.region"):
        build_speech_to_text(Settings(stt={"backend": "azure"}))


async def test_openai_gets_a_wav_file(server, remote):
    found = await remote.transcribe(Recognition(AUDIO, "a", language="zh", hot_words=("星河卡", "北斗路")))
    assert (found.text, found.language) == ("你好", "zh")
    (seen,) = server.requests
    assert seen["fields"] == {
        "model": ["whisper-large"],
        "response_format": ["json"],
        "language": ["zh"],
        "prompt": ["星河卡、北斗路"],
    }
    assert seen["headers"]["authorization"] == "Bearer k2"
    assert seen["seconds"] == 1.0


async def test_openai_tells_the_language_and_times(server, remote):
    words = [{"word": "Hello", "start": 0.1, "end": 0.4}]
    server.answer = (200, {"text": " Hello ", "language": "english", "duration": 1.0, "words": words})
    found = await remote.transcribe(Recognition(AUDIO, "a", words=True))
    assert (found.text, found.language, found.words) == ("Hello", "en", (Word("Hello", 0.1, 0.4),))
    assert server.requests[0]["fields"]["timestamp_granularities[]"] == ["word"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [((401, {}), ModelUnavailable), ((429, {}), Overloaded), ((400, {}), InvalidInput), ((503, b""), ModelUnavailable)],
)
async def test_openai_fails(server, remote, answer, error):
    server.answer = answer
    with pytest.raises(error):
        await remote.transcribe(Recognition(AUDIO, "a"))


async def test_a_server_that_is_gone(server, remote):
    gone = build_speech_to_text(Settings(stt={"backend": "openai", "base_url": "http://127.0.0.1:9/v1"}))
    with pytest.raises(ModelUnavailable):
        await gone.transcribe(Recognition(AUDIO, "a"))
    await gone.close()


async def test_the_deadline_holds_and_long_utterances_are_refused(server, azure, remote):
    server.delay_s = 5.0
    for stt in (azure, remote):
        with use_context(RequestContext(deadline=time.time() + 0.2)), pytest.raises(DeadlineExceeded):
            await stt.transcribe(Recognition(AUDIO, "a"))
        with pytest.raises(InvalidInput):
            await stt.transcribe(Recognition(bytes(2 * 301 * INPUT_RATE), "a"))
    server.delay_s = 0.0


async def test_switched_off():
    with pytest.raises(ModelUnavailable):
        await build_speech_to_text(Settings(stt={"backend": "off"})).transcribe(Recognition(AUDIO, "a"))
