"""An answer being written."""

from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from voicehelper.conversations.model import Ending
from voicehelper.errors import VoiceHelperError
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, AnswerEvent, Citation

FAILED_CODE = VoiceHelperError.code


@dataclass
class Draft:
    """What has arrived of an answer."""

    message_id: UUID
    parts: list[str] = field(default_factory=list)
    citations: tuple[Citation, ...] = ()
    done: AnswerDone | None = None

    @property
    def text(self) -> str:
        """The text so far, as PostgreSQL can store it: without NUL, halves of a character joined or replaced."""
        joined = "".join(self.parts).replace("\x00", "")
        return joined.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def take(self, event: AnswerEvent) -> None:
        """Keep what `event` brings."""
        match event:
            case AnswerDelta(text):
                self.parts.append(text)
            case AnswerCitations(citations):
                self.citations = citations
            case AnswerDone():
                self.done = event

    def completed(self) -> Ending:
        """The whole answer. Raises `VoiceHelperError` when it never came to its end."""
        if self.done is None:
            raise VoiceHelperError("The answer ended early")
        return Ending("completed", self.text, self.citations, _metadata(self.done))

    def stopped(self) -> Ending:
        """What there was when the asker went away."""
        return Ending("stopped", self.text, self.citations, {"outcome": "stopped"})

    def failed(self, error: BaseException) -> Ending:
        """What there was when `error` came. Of an error not meant for clients, only the code is kept."""
        code = error.code if isinstance(error, VoiceHelperError) else FAILED_CODE
        return Ending("failed", self.text, self.citations, {"outcome": "failed", "error": {"code": code}})


def _metadata(done: AnswerDone) -> dict[str, Any]:
    return {
        "outcome": done.outcome,
        "model": done.model,
        "usage": asdict(done.usage),
        "degraded": list(done.degraded),
        "timings_ms": done.timings_ms,
        "trace": done.trace,
    }
