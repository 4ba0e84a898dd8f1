"""An answer being written."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from voicehelper.conversations.turns import ASKED, Ending
from voicehelper.errors import VoiceHelperError
from voicehelper.ports.chat import ChatRoute
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, AnswerEvent, AnswerStatus, Citation

FAILED_CODE = VoiceHelperError.code


@dataclass
class Draft:
    """What has arrived of an answer, in a form that every store can keep: without NUL, halves of a character joined
    or replaced."""

    message_id: UUID
    parts: list[str] = field(default_factory=list)
    trail: list[int | str] = field(default_factory=list)
    citations: tuple[Citation, ...] = ()
    done: AnswerDone | None = None
    _half: str = ""

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.parts)

    def take(self, event: AnswerEvent) -> Iterator[AnswerEvent]:
        """Keep what `event` brings, and yield what of it can be shown now."""
        if isinstance(event, AnswerDelta):
            yield from self._add(self._whole(event.text))
            return
        if self._half and isinstance(event, AnswerCitations | AnswerDone):
            self._half = ""
            yield from self._add("\ufffd")
        match event:
            case AnswerStatus(stage):
                self.trail.append(stage)
            case AnswerCitations(citations):
                self.citations = citations
            case AnswerDone():
                self.done = event
        yield event

    def _add(self, text: str) -> Iterator[AnswerEvent]:
        if text:
            self.parts.append(text)
            self.trail.append(len(text))
            yield AnswerDelta(text)

    def _whole(self, text: str) -> str:
        """`text` with the half character from before; a half at its end waits for the next piece."""
        text = self._half + text.replace("\x00", "")
        self._half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._half, text = text[-1], text[:-1]
        try:
            text.encode()
        except UnicodeEncodeError:
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text

    def completed(self) -> Ending:
        """The whole answer. Raises `VoiceHelperError` when it never came to its end."""
        if self.done is None:
            raise VoiceHelperError("The answer ended early")
        return self._ending("completed", _metadata(self.done))

    def stopped(self, reason: str = ASKED) -> Ending:
        """What there was when it was stopped."""
        return self._ending("stopped", {"outcome": "stopped", "reason": reason})

    def failed(self, error: BaseException, failure: str | None = None) -> Ending:
        """What there was when `error` came. Of an error not meant for clients, only the code is kept."""
        code = error.code if isinstance(error, VoiceHelperError) else FAILED_CODE
        return self._ending("failed", {"outcome": "failed", "error": {"code": code}}, failure)

    def _ending(self, status: Any, metadata: dict[str, Any], failure: str | None = None) -> Ending:
        usage = {"model": self.done.model, "usage": asdict(self.done.usage)} if self.done else {}
        return Ending(status, self.text, self.citations, {**usage, **metadata}, tuple(self.trail), failure)


def _metadata(done: AnswerDone) -> dict[str, Any]:
    return {
        "outcome": done.outcome,
        "degraded": list(done.degraded),
        "timings_ms": done.timings_ms,
        "trace": done.trace,
        **({"remembered": True} if done.remembered else {}),
        **({"route": _route(done.route)} if done.route is not None else {}),
    }


def _route(route: ChatRoute) -> dict[str, Any]:
    """For operators: which model answered, what was tried before it, what it cost. Nothing that is empty."""
    said = {
        "strategy": route.strategy,
        "tried": [[attempt.model, attempt.outcome] for attempt in route.attempts[:-1]],
        "experiment": route.experiment,
        "variant": route.variant,
        "warnings": list(route.warnings),
        "cost_micros": route.cost_micros,
    }
    return {"provider": route.provider} | {name: value for name, value in said.items() if value}
