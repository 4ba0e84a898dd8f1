"""No speech recognition."""

from voicehelper.errors import ModelUnavailable
from voicehelper.ports.speech import Recognition, SpeechToTextInfo, Transcript


class NoSpeechToText:
    """Implements `SpeechToText` where there is none, for `reason`: text still works."""

    def __init__(self, reason: str = "Speech recognition is switched off (stt.backend)") -> None:
        self._reason = reason

    async def describe(self) -> SpeechToTextInfo:
        """Raises `ModelUnavailable`."""
        raise ModelUnavailable(self._reason)

    async def transcribe(self, request: Recognition) -> Transcript:
        """Raises `ModelUnavailable`."""
        raise ModelUnavailable(self._reason)
