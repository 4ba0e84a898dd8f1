"""Synthesisers elsewhere, against fake servers."""

import json
from xml.etree import ElementTree

import httpx
import pytest

from actors.tts.azure import AzureSpeech, ssml
from actors.tts.openai_compatible import OpenAISpeech
from actors.tts.registry import build_text_to_speech
from tests.fakes.speech_servers import PCM, FakeSpeechServer
from voicehelper.config import Settings
from voicehelper.errors import InvalidInput, ModelUnavailable, Overloaded
from voicehelper.ports.speech import Utterance


def openai_speech(server, **given):
    speech = OpenAISpeech("http://there/v1", "sk-1", **({"model": "gpt-4o-mini-tts"} | given))
    speech._client = server.connect(speech._client)
    return speech


def azure_speech(server):
    speech = AzureSpeech("eastasia", "key-1")
    speech._client = server.connect(speech._client)
    return speech


BOTH = pytest.mark.parametrize("make", [openai_speech, azure_speech])


async def said(speech, utterance):
    return [piece async for piece in speech.synthesize(utterance)]


@BOTH
async def test_pieces_are_whole_samples_and_nothing_is_lost(make):
    pieces = await said(make(FakeSpeechServer()), Utterance("您好"))
    assert b"".join(pieces) == PCM
    assert all(len(piece) % 2 == 0 for piece in pieces)


@BOTH
async def test_closing_hangs_up(make):
    server = FakeSpeechServer()
    pieces = make(server).synthesize(Utterance("您好"))
    await anext(pieces)
    await pieces.aclose()
    assert server.closed == 1


@BOTH
@pytest.mark.parametrize(
    ("status", "error"), [(429, Overloaded), (401, ModelUnavailable), (500, ModelUnavailable), (400, InvalidInput)]
)
async def test_refusals_become_ours_without_the_servers_words(make, status, error):
    server = FakeSpeechServer(status, {"retry-after": "7"})
    with pytest.raises(error) as refused:
        await said(make(server), Utterance("您好"))
    assert "4711" not in str(refused.value)
    assert status != 429 or refused.value.retry_after == 7


@BOTH
async def test_a_server_that_is_not_there(make):
    speech = make(FakeSpeechServer())

    def gone(request):
        raise httpx.ConnectError("no route", request=request)

    speech._client = httpx.AsyncClient(transport=httpx.MockTransport(gone), base_url="http://there/")
    with pytest.raises(ModelUnavailable):
        await said(speech, Utterance("您好"))


@BOTH
async def test_nothing_is_asked_for_nothing_and_no_voice_is_made_up(make):
    server = FakeSpeechServer()
    assert await said(make(server), Utterance("  ")) == []
    with pytest.raises(InvalidInput) as refused:
        await said(make(server), Utterance("您好", voice="nobody"))
    assert refused.value.details["voices"]
    assert not server.requests


async def test_openai_is_told_model_voice_speed_and_manner():
    server = FakeSpeechServer()
    await said(openai_speech(server, voice="nova"), Utterance("您好", style="apologetic", speed=1.2))
    request = server.requests[0]
    assert (request.url.path, request.headers["authorization"]) == ("/v1/audio/speech", "Bearer sk-1")
    body = json.loads(request.content)
    assert body.pop("instructions")
    assert body == {
        "model": "gpt-4o-mini-tts",
        "input": "您好",
        "voice": "nova",
        "response_format": "pcm",
        "speed": 1.2,
    }


async def test_older_models_get_no_instructions_and_name_no_styles():
    server = FakeSpeechServer()
    speech = openai_speech(server, model="tts-1", voice="their-own")
    await said(speech, Utterance("您好", style="formal"))
    body = json.loads(server.requests[0].content)
    assert "instructions" not in body
    assert body["voice"] == "their-own"
    assert (await speech.describe()).styles == ()


async def test_azure_is_sent_ssml_and_asked_for_raw_pcm():
    server = FakeSpeechServer()
    await said(azure_speech(server), Utterance("退款<5元 & 更多", style="apologetic"))
    request = server.requests[0]
    assert str(request.url) == "https://eastasia.tts.speech.microsoft.com/cognitiveservices/v1"
    assert request.headers["x-microsoft-outputformat"] == "raw-24khz-16bit-mono-pcm"
    assert request.headers["ocp-apim-subscription-key"] == "key-1"
    assert "".join(ElementTree.fromstring(request.content.decode()).itertext()) == "退款<5元 & 更多"


def test_styles_are_azures_own_words():
    document = ssml(Utterance("抱歉", style="apologetic", speed=0.9), "zh-CN-XiaoxiaoNeural")
    root = ElementTree.fromstring(document)
    assert root[0].get("name") == "zh-CN-XiaoxiaoNeural"
    assert root[0][0].get("style") == "sorry"
    assert root[0][0][0].get("rate") == "-10%"


@pytest.mark.parametrize("backend", ["openai", "azure"])
def test_what_is_not_configured_is_said(backend):
    with pytest.raises(InvalidInput):
        build_text_to_speech(Settings(tts={"backend": backend}))


async def test_off_says_so():
    speech = build_text_to_speech(Settings(tts={"backend": "off"}))
    with pytest.raises(ModelUnavailable):
        await speech.describe()
    with pytest.raises(ModelUnavailable):
        await said(speech, Utterance("您好"))
