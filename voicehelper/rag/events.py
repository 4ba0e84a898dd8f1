"""What answering a question yields, in order: statuses and deltas, then citations, then one `AnswerDone`."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from voicehelper.ports.chat import ChatRoute, ChatUsage


@dataclass(frozen=True, slots=True)
class AnswerStatus:
    """What the system is doing: `rewriting`, `searching`, `answering`."""

    stage: str


@dataclass(frozen=True, slots=True)
class AnswerAlive:
    """Nothing to show, but the model is at work: whoever waits should go on waiting."""


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """A piece of the answer's text, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Citation:
    """Which part of the answer rests on which passage; computed by us, not claimed by the model.

    Attributes:
        index: the citation's number as shown to the reader, from 1.
        start, end: character range of the supported sentence in the answer.
        quote: the text of the source that supports it, verbatim.
        score: strength of support, 0 to 1.
    """

    index: int
    start: int
    end: int
    chunk_id: UUID
    document_id: UUID
    document_name: str
    page: int | None
    heading: tuple[str, ...]
    quote: str
    score: float


@dataclass(frozen=True, slots=True)
class AnswerCitations:
    """All citations of the finished answer; empty for a refusal."""

    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class AnswerDone:
    """Always last.

    Attributes:
        outcome: `answered`; `refused` when nothing retrieved answers (the text then says so and offers a human).
        degraded: stages skipped or replaced, by name.
        timings_ms: milliseconds by stage (`rewrite`, `embed`, `dense`, `keyword`, `fuse`, `context`, `first_token`,
            `total` ...).
        trace: facts for debugging retrieval (rewritten question, passages with scores).
        remembered: the same was asked before, and nothing that it rests on has changed since.
        route: how the question came to its model, where a router chose it.
    """

    outcome: str
    usage: ChatUsage = ChatUsage()
    model: str = ""
    degraded: tuple[str, ...] = ()
    timings_ms: dict[str, float] = field(default_factory=dict)
    trace: dict[str, Any] = field(default_factory=dict)
    remembered: bool = False
    route: ChatRoute | None = None


AnswerEvent = AnswerStatus | AnswerAlive | AnswerDelta | AnswerCitations | AnswerDone


@dataclass(frozen=True, slots=True)
class PastTurn:
    """A finished exchange of the conversation."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question to answer: its text, what may be searched, and the conversation before it: the latest turns (oldest
    first), and a summary of those before them; empty where there are none.

    Attributes:
        spoken: it was asked aloud.
        fresh: it is not to be answered from memory.
    """

    text: str
    tenant_id: UUID
    kb_ids: tuple[UUID, ...]
    history: tuple[PastTurn, ...] = ()
    summary: str = ""
    spoken: bool = False
    fresh: bool = False
