"""What a local model has to do for the scheduler."""

from collections.abc import Sequence
from typing import Protocol

from voicehelper.ports.speech import Recognition, SpeechToTextInfo, Transcript


class Recognizer(Protocol):
    """A loaded model. Blocking; one call at a time."""

    info: SpeechToTextInfo

    def window(self, request: Recognition) -> float:
        """Seconds that the model takes in for this request: what it costs, roughly."""
        ...

    def recognize(self, batch: Sequence[Recognition]) -> list[Transcript]:
        """The texts, in order. Raises `RuntimeError` when the engine fails."""
        ...
