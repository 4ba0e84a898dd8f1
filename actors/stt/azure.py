"""Azure Speech: its REST interface for short audio.

learn.microsoft.com, "Speech to text REST API for short audio": one request per utterance of at most 60 s, final results
only, the language is named by the caller, no phrase lists. Partial texts and hot words would need Microsoft's SDK.
"""

from typing import Any

import httpx

from actors.stt.remote import RemoteCalls, wav_of
from voicehelper.errors import InvalidInput, ModelUnavailable, Overloaded, VoiceHelperError
from voicehelper.ports.speech import Recognition, SpeechToTextInfo, Transcript, Word

_PATH = "/speech/recognition/conversation/cognitiveservices/v1"
_LONGEST_S = 60.0
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_TICKS = 10_000_000  # a second, in the unit of Azure's times
_LOCALES = {"zh": "zh-CN", "en": "en-US", "yue": "zh-HK", "ja": "ja-JP", "ko": "ko-KR", "fr": "fr-FR", "de": "de-DE"}
_SILENT = frozenset({"NoMatch", "InitialSilenceTimeout", "BabbleTimeout"})


class AzureSpeechToText:
    """Implements `SpeechToText`.

    Args:
        region: of the Speech resource (`eastasia`); or, for other clouds,
        base_url: `https://<host>`.
        api_key: of the resource.
        language: ISO 639-1, where a request names none: Azure's short form detects nothing.
        queue: requests waiting before `Overloaded`.
    """

    def __init__(self, api_key: str, *, region: str = "", base_url: str = "", language: str, queue: int = 64) -> None:
        if not (region or base_url):
            raise InvalidInput("stt.region is empty: set it, or choose another stt.backend")
        self._language = language
        self._calls = RemoteCalls(_LONGEST_S, queue)
        self._client = httpx.AsyncClient(
            base_url=base_url or f"https://{region}.stt.speech.microsoft.com",
            headers={"Ocp-Apim-Subscription-Key": api_key, "Accept": "application/json"},
            timeout=_TIMEOUT,
        )

    async def describe(self) -> SpeechToTextInfo:
        """The service; it is not asked."""
        return SpeechToTextInfo("azure-speech", "azure", partials=False, longest_s=_LONGEST_S)

    async def transcribe(self, request: Recognition) -> Transcript:
        """See `SpeechToText`."""
        language = request.language or self._language
        query = {"language": _LOCALES.get(language, language), "format": "detailed", "profanity": "raw"}
        if request.words:
            query["wordLevelTimestamps"] = "true"
        async with self._calls.place(request):
            try:
                response = await self._client.post(
                    _PATH,
                    params=query,
                    content=wav_of(request.audio),
                    headers={"Content-Type": "audio/wav; codecs=audio/pcm; samplerate=16000"},
                )
                if response.is_error:
                    raise _refusal(response)
                return _transcript(response.json(), language)
            except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise ModelUnavailable("Azure Speech cannot be reached, or answered something else") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _transcript(found: dict[str, Any], language: str) -> Transcript:
    if found["RecognitionStatus"] in _SILENT:
        return Transcript("", language, confidence=0.0)
    if found["RecognitionStatus"] != "Success":
        raise ModelUnavailable("Azure Speech failed")
    best = (found.get("NBest") or [{"Display": found.get("DisplayText", "")}])[0]
    words = tuple(_word(word) for word in best.get("Words", ()))
    return Transcript(best["Display"].strip(), language, float(best.get("Confidence", 1.0)), words)


def _word(word: dict[str, Any]) -> Word:
    start = word["Offset"] / _TICKS
    return Word(word["Word"], start, start + word["Duration"] / _TICKS)


def _refusal(response: httpx.Response) -> VoiceHelperError:
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return Overloaded("Azure Speech is busy", retry_after=5.0)
    if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return ModelUnavailable("Azure Speech refuses our key", {"status": response.status_code})
    if response.status_code == httpx.codes.BAD_REQUEST:
        return InvalidInput("Azure Speech refuses the request: is the language one that it knows?")
    return ModelUnavailable("Azure Speech failed", {"status": response.status_code})
