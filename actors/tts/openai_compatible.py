"""Any server with OpenAI's `/audio/speech`."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx

from actors.tts.line import Line
from actors.tts.remote import TIMEOUT, checked_voice, streamed
from voicehelper.errors import InvalidInput
from voicehelper.ports.speech import TextToSpeechInfo, Utterance, Voice

RATE = 24_000
_FEMALE = ("alloy", "coral", "fable", "nova", "sage", "shimmer")
_MALE = ("ash", "ballad", "echo", "onyx", "verse")
_BOTH = ("zh", "en")
_INSTRUCTED = "gpt-"  # OpenAI's older models, and most other servers, refuse `instructions`
_MANNERS = {
    "friendly": "Speak warmly and cheerfully.",
    "formal": "Speak in a composed, formal tone.",
    "apologetic": "Speak softly, with sincere regret.",
}


class OpenAISpeech:
    """Implements `TextToSpeech`: PCM, streamed as the server makes it. Styles where the model takes instructions.

    Args:
        base_url: up to and with `/v1`.
        api_key: may be empty for servers without keys.
        model: the remote model's name.
        voice: default voice; one that is not OpenAI's is taken for the server's own, and added to the list.
        parallel: requests in flight at the same time.
        queue: utterances beyond those.
    """

    def __init__(
        self, base_url: str, api_key: str, *, model: str, voice: str = "", parallel: int = 2, queue: int = 64
    ) -> None:
        if not base_url:
            raise InvalidInput("tts.base_url is empty: set it, or choose another tts.backend")
        voices = [Voice(name, _BOTH, "female") for name in _FEMALE] + [Voice(name, _BOTH, "male") for name in _MALE]
        if voice and voice not in {*_FEMALE, *_MALE}:
            voices.insert(0, Voice(voice, _BOTH))
        self._styles = tuple(_MANNERS) if model.startswith(_INSTRUCTED) else ()
        self._info = TextToSpeechInfo(model, "openai", RATE, tuple(voices), self._styles, deterministic=False)
        self._default = voice
        self._line = Line("tts", parallel, queue)
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.AsyncClient(base_url=base_url.rstrip("/") + "/", headers=headers, timeout=TIMEOUT)

    async def describe(self) -> TextToSpeechInfo:
        """The configured model and OpenAI's voices; the server is not asked."""
        return self._info

    async def synthesize(self, utterance: Utterance) -> AsyncGenerator[bytes, None]:
        """See `TextToSpeech`. Raises also `DeadlineExceeded`. Closing the generator hangs up."""
        body = self._body(utterance)
        if not utterance.text.strip():
            return
        with self._line.utterance():
            await self._line.acquire(0)
            try:
                request = self._client.build_request("POST", "audio/speech", json=body)
                async with aclosing(streamed(self._client, request)) as pieces:
                    async for piece in pieces:
                        yield piece
            finally:
                self._line.release()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _body(self, utterance: Utterance) -> dict[str, object]:
        body: dict[str, object] = {
            "model": self._info.model,
            "input": utterance.text,
            "voice": checked_voice(utterance.voice or self._default, self._info.voices, utterance.language),
            "response_format": "pcm",
            "speed": utterance.speed,
        }
        if utterance.style in self._styles:
            body["instructions"] = _MANNERS[utterance.style]
        return body
