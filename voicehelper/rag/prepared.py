"""Running ahead: what is found, and read by the model, for a question that is still being spoken.

What is prepared is used if the question then comes in nearly the same words, with the same numbers and names of
products and as many negations: a recogniser writes the end of what it hears down in more than one way. It is forgotten
after some seconds. The model reads ahead only while it has nothing else to do; a question that comes has precedence
over all that is prepared for others.
"""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import Any
from uuid import UUID

from voicehelper.errors import VoiceHelperError
from voicehelper.rag.context import Context
from voicehelper.rag.events import PastTurn, Question
from voicehelper.rag.rewrite import Standalone
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

_KEPT_S = 20.0
_MOST = 64
_FILLERS = re.compile(
    r"^(?:(?:嗯+|呃+|额|啊|哦|喂|那个|这个那个|就是|请问一?下?|你好|您好|well|um+|uh+|er|so|please|hello|hi)[\s，,、。.!！]*)+",
    re.IGNORECASE,
)
_PARTICLES = re.compile(r"(?:吗|呢|啊|呀|吧|嘛|哦|哈|please|thanks|谢谢)+$", re.IGNORECASE)
_MARKS = re.compile(r"[\W_]+")
_NEARLY = 0.85
_CODES = re.compile(r"[a-z0-9]*\d[a-z0-9]*|[一二三四五六七八九十百千万两]+")
_NEGATIONS = re.compile(r"[不没无非未别勿]|\b(?:no|not|never|without)\b|n t\b")


def normalised(text: str) -> str:
    """`text` without marks, case, and the little words around it: equal for questions that ask the same in the same
    words."""
    bare = _FILLERS.sub("", text.strip()) or text
    bare = _MARKS.sub(" " if bare.isascii() else "", bare).strip().lower()
    return _PARTICLES.sub("", bare).strip() or bare


def nearly(one: str, other: str) -> bool:
    """Whether what is found for one question will do for the other. Both normalised."""
    if any(pattern.findall(one) != pattern.findall(other) for pattern in (_CODES, _NEGATIONS)):
        return False
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= _NEARLY


@dataclass(frozen=True, slots=True)
class Key:
    """Which question, whose, where, and after what."""

    tenant_id: UUID
    kb_ids: frozenset[UUID]
    history: tuple[PastTurn, ...]
    summary: str
    text: str

    @classmethod
    def of(cls, question: Question) -> "Key":
        """The question's."""
        kb_ids = frozenset(question.kb_ids)
        return cls(question.tenant_id, kb_ids, question.history, question.summary, normalised(question.text))

    def nearly(self, other: "Key") -> bool:
        """Whether it is nearly the same question at the same place."""
        return replace(self, text="") == replace(other, text="") and nearly(self.text, other.text)


@dataclass(frozen=True, slots=True)
class Found:
    """What retrieval gave, and what of it the model is shown."""

    standalone: Standalone
    context: Context
    timings_ms: dict[str, float] = field(default_factory=dict)


class Prepared:
    """A question being prepared: first found, then read."""

    def __init__(self, find: Coroutine[Any, Any, Found], at: float) -> None:
        self.at = at
        self.adopted = False
        self.finding = asyncio.ensure_future(find)
        self.reading: asyncio.Task[None] | None = None

    def give_up(self) -> None:
        """Nobody wants it."""
        self.finding.cancel()
        self.stop_reading()

    def stop_reading(self) -> None:
        """The model is wanted for something else."""
        if self.reading is not None:
            self.reading.cancel()

    async def found(self) -> Found | None:
        """What was found; None where that did not work."""
        await asyncio.wait({self.finding})
        if self.finding.cancelled() or self.finding.exception() is not None:
            return None
        return self.finding.result()

    @property
    def read(self) -> bool:
        """Whether the model reads nothing of it any more."""
        return self.reading is None or self.reading.done()


class PreparedQuestions:
    """Those of the last seconds.

    Args:
        now: seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._known: dict[Key, Prepared] = {}
        self._asked = 0

    async def prepare(
        self,
        key: Key,
        find: Callable[[], Coroutine[Any, Any, Found]],
        read: Callable[[Found], Coroutine[Any, Any, None]],
    ) -> None:
        """Find, and have the model read if it is idle. Cancelled, it gives up, unless the question came meanwhile."""
        self._forget()
        if key in self._known:
            return
        prepared = self._known[key] = Prepared(find(), self._now())
        metrics.PREPARED.labels("prepared").inc()
        try:
            found = await prepared.found()
            if found is None:
                self._known.pop(key, None)
                return
            if not self._asked:
                prepared.reading = asyncio.create_task(_quietly(read(found)))
                await asyncio.wait({prepared.reading})
        except asyncio.CancelledError:
            if not prepared.adopted:
                self._known.pop(key, None)
                prepared.give_up()
            raise

    def take(self, key: Key) -> Prepared | None:
        """What was prepared for a question that has come now, once. All that the model reads for others ends."""
        self._forget()
        found = (
            key if key in self._known else next((known for known in reversed(self._known) if known.nearly(key)), key)
        )
        prepared = self._known.pop(found, None)
        for other in self._known.values():
            other.stop_reading()
        if prepared is not None:
            prepared.adopted = True
            metrics.PREPARED.labels("used").inc()
        return prepared

    def begin(self) -> None:
        """A question is being answered."""
        self._asked += 1

    def end(self) -> None:
        """It is answered."""
        self._asked -= 1

    def _forget(self) -> None:
        old = self._now() - _KEPT_S
        for key, prepared in list(self._known.items()):
            if prepared.at < old or len(self._known) > _MOST:
                del self._known[key]
                prepared.give_up()


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except VoiceHelperError as error:  # the question will meet it again, and say so
        log.debug("rag.not_read_ahead", error=type(error).__name__)
