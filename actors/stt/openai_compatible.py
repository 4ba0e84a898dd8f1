"""Any server with OpenAI's `/audio/transcriptions`, through the official SDK."""

from typing import Any

import openai

from actors.chat.vendor_errors import VENDOR_ERRORS, translated
from actors.stt.remote import RemoteCalls, wav_of
from voicehelper.errors import InvalidInput
from voicehelper.ports.speech import Recognition, SpeechToTextInfo, Transcript, Word

_LONGEST_S = 300.0
_CONNECT_S = 5.0
_SILENCE_S = 30.0
_TIMED = frozenset({"whisper-1"})  # of OpenAI's own models the one that gives times of words


class OpenAICompatibleSpeechToText:
    """Implements `SpeechToText`; sends each utterance as a wav file. It never retries.

    Args:
        base_url: up to and with `/v1`; empty for OpenAI itself.
        api_key: may be empty for servers without keys.
        model: the remote model's name. Times of words are asked of `whisper-1`, and of models that are not OpenAI's.
        queue: requests waiting before `Overloaded`.
    """

    def __init__(self, base_url: str, api_key: str, *, model: str, queue: int = 64) -> None:
        self._info = SpeechToTextInfo(model, "openai", partials=False, longest_s=_LONGEST_S)
        self._calls = RemoteCalls(_LONGEST_S, queue)
        self._timed = bool(base_url) or model in _TIMED
        self._client = openai.AsyncOpenAI(
            base_url=base_url or None,
            api_key=api_key or "none",
            max_retries=0,
            timeout=openai.Timeout(_SILENCE_S, connect=_CONNECT_S),
        )

    async def describe(self) -> SpeechToTextInfo:
        """The configured model; the server is not asked."""
        return self._info

    async def transcribe(self, request: Recognition) -> Transcript:
        """See `SpeechToText`."""
        async with self._calls.place(request):
            try:
                found = await self._client.audio.transcriptions.create(**self._arguments(request))
            except VENDOR_ERRORS as error:
                raise _plain(translated(error)) from error
        words = tuple(Word(word.word, word.start, word.end) for word in getattr(found, "words", None) or ())
        language = request.language or str(getattr(found, "language", None) or "")
        return Transcript(found.text.strip(), _CODES.get(language, language), words=words)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _arguments(self, request: Recognition) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self._info.model,
            "file": ("utterance.wav", wav_of(request.audio), "audio/wav"),
            "response_format": "json",
        }
        if request.language:
            arguments["language"] = request.language
        if request.hot_words:
            arguments["prompt"] = "、".join(request.hot_words)
        if request.words and self._timed:
            arguments |= {"response_format": "verbose_json", "timestamp_granularities": ["word"]}
        return arguments


_CODES = {"chinese": "zh", "english": "en"}  # `verbose_json` names languages


def _plain(error: Exception) -> Exception:
    """The prompt of a recogniser is nothing the caller wrote too long."""
    return InvalidInput("The recogniser refuses the request") if isinstance(error, InvalidInput) else error
