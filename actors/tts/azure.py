"""Azure Speech: SSML over its REST interface, raw PCM back."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from xml.sax.saxutils import escape, quoteattr

import httpx

from actors.tts.line import Line
from actors.tts.remote import TIMEOUT, checked_voice, streamed
from voicehelper.errors import InvalidInput
from voicehelper.ports.speech import TextToSpeechInfo, Utterance, Voice

RATE = 24_000
_FORMAT = "raw-24khz-16bit-mono-pcm"
_HOST = "https://{region}.tts.speech.microsoft.com/"
_PATH = "cognitiveservices/v1"
_LOCALES = {"zh": "zh-CN", "en": "en-US"}
_VOICES = (
    Voice("zh-CN-XiaoxiaoNeural", ("zh", "en"), "female"),
    Voice("zh-CN-YunxiNeural", ("zh", "en"), "male"),
    Voice("en-US-JennyNeural", ("en",), "female"),
    Voice("en-US-GuyNeural", ("en",), "male"),
)
# Azure's own word for each of our styles, by voice; a voice without one varies speed.
_STYLES = {
    "zh-CN-XiaoxiaoNeural": {"friendly": "friendly", "formal": "customerservice", "apologetic": "sorry"},
    "zh-CN-YunxiNeural": {"friendly": "cheerful", "formal": "assistant", "apologetic": "embarrassed"},
    "en-US-JennyNeural": {"friendly": "friendly", "formal": "customerservice", "apologetic": "sad"},
    "en-US-GuyNeural": {"friendly": "friendly", "formal": "newscast", "apologetic": "sad"},
}


class AzureSpeech:
    """Implements `TextToSpeech` by Azure's neural voices.

    Args:
        region: as in the portal, e.g. `eastasia`.
        api_key: the resource's key.
        voice: default voice; one that is not listed here is added (its language is its name's).
        base_url: of a gateway or a private endpoint, in place of the region's own.
        parallel: requests in flight at the same time.
        queue: utterances beyond those.
    """

    def __init__(
        self, region: str, api_key: str, *, voice: str = "", base_url: str = "", parallel: int = 2, queue: int = 64
    ) -> None:
        if not (base_url or region) or not api_key:
            raise InvalidInput("Azure Speech needs tts.region (or tts.base_url) and tts.api_key")
        voices = list(_VOICES)
        if voice and all(known.name != voice for known in voices):
            voices.insert(0, Voice(voice, (voice[:2].lower(),)))
        styles = ("friendly", "formal", "apologetic")
        self._info = TextToSpeechInfo("azure-neural", "azure", RATE, tuple(voices), styles, deterministic=False)
        self._default = voice
        self._line = Line("tts", parallel, queue)
        headers = {
            "ocp-apim-subscription-key": api_key,
            "content-type": "application/ssml+xml",
            "x-microsoft-outputformat": _FORMAT,
            "user-agent": "voicehelper",
        }
        url = base_url.rstrip("/") + "/" if base_url else _HOST.format(region=region)
        self._client = httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT)

    async def describe(self) -> TextToSpeechInfo:
        """The voices known here; the service is not asked."""
        return self._info

    async def synthesize(self, utterance: Utterance) -> AsyncGenerator[bytes, None]:
        """See `TextToSpeech`. Raises also `DeadlineExceeded`. Closing the generator hangs up."""
        voice = checked_voice(utterance.voice or self._default, self._info.voices, utterance.language)
        if not utterance.text.strip():
            return
        with self._line.utterance():
            await self._line.acquire(0)
            try:
                request = self._client.build_request("POST", _PATH, content=ssml(utterance, voice).encode())
                async with aclosing(streamed(self._client, request)) as pieces:
                    async for piece in pieces:
                        yield piece
            finally:
                self._line.release()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def ssml(utterance: Utterance, voice: str) -> str:
    """The request's document: the words, how fast, and in which of the voice's styles."""
    said = escape(utterance.text)
    if utterance.speed != 1.0:
        said = f'<prosody rate="{round((utterance.speed - 1) * 100):+d}%">{said}</prosody>'
    style = _STYLES.get(voice, {}).get(utterance.style, "")
    if style:
        said = f"<mstts:express-as style={quoteattr(style)}>{said}</mstts:express-as>"
    locale = _LOCALES.get(utterance.language, utterance.language)
    return (
        '<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis" '
        f'xmlns:mstts="https://www.w3.org/2001/mstts" xml:lang={quoteattr(locale)}>'
        f"<voice name={quoteattr(voice)}>{said}</voice></speak>"
    )
