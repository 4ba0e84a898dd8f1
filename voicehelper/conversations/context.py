"""What the next question of a conversation is asked in front of: the latest turns, and a summary of those before.

A window covers the conversation up to an answer, as it was written at some attempt, and nothing beyond, so that a cache
which is behind or ahead of the row is noticed and not used. The truth is PostgreSQL; Redis saves the query.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from voicehelper.config import ConversationSettings
from voicehelper.errors import Unavailable
from voicehelper.rag.events import PastTurn
from voicehelper.rag.tokens import estimate_tokens
from voicehelper.telemetry import get_logger
from voicehelper.telemetry.metrics import CONTEXT_LOADS

log = get_logger(__name__)

SLACK_TURNS = 4
"""Turns beyond `context_turns` that wait, still in the window, until they are summarised together."""

_FEWEST_TOKENS = 16


@dataclass(frozen=True, slots=True)
class SeenTurn:
    """A completed turn; `seq` is its answer's, `tokens` an estimate for question and answer together."""

    seq: int
    question: str
    answer: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Window:
    """A conversation as it stood after message `seq`.

    Attributes:
        attempt: at which the answer at `seq` was written; 0 before any.
        turns: the completed ones after `summary_seq`, oldest first, as many as fit the budget.
        summary: of everything up to message `summary_seq`; empty where nothing was summarised yet.
    """

    seq: int
    turns: tuple[SeenTurn, ...] = ()
    summary: str = ""
    summary_seq: int = 0
    attempt: int = 0

    @property
    def history(self) -> tuple[PastTurn, ...]:
        """The turns as the answerer takes them."""
        return tuple(PastTurn(turn.question, turn.answer) for turn in self.turns)


class ContextWindow(Protocol):
    """What a run needs to know of its conversation. Only `load` can fail, with `Unavailable`."""

    async def load(self, tenant_id: UUID, conversation_id: UUID, before_seq: int, attempt: int | None = None) -> Window:
        """Everything before the question with `seq` `before_seq`; `attempt` is that of the answer before it, 0 where
        there is none, None where it is not known."""
        ...

    async def note(
        self, tenant_id: UUID, conversation_id: UUID, window: Window, reached: tuple[int, int], turn: PastTurn | None
    ) -> None:
        """The turn asked in front of `window` is over and stored: `turn`, or None where its answer is not complete;
        `reached` is the answer's `seq` and attempt."""
        ...

    async def forget(self, tenant_id: UUID, conversation_ids: Sequence[UUID]) -> None:
        """The conversations are deleted; a run that still ends there leaves no trace in the cache."""
        ...


class ContextStore(Protocol):
    """Where windows come from (PostgreSQL)."""

    async def window(self, tenant_id: UUID, conversation_id: UUID, before_seq: int, turns: int) -> Window:
        """The summary, and the last `turns` completed turns after it and before `before_seq`; empty for a conversation
        that is not there. Raises `Unavailable`."""
        ...


class ContextCache(Protocol):
    """Windows by conversation (Redis). Every method raises `Unavailable`."""

    async def get(self, tenant_id: UUID, conversation_id: UUID) -> Window | None:
        """The cached window, whatever its `seq`."""
        ...

    async def put(self, tenant_id: UUID, conversation_id: UUID, window: Window) -> None:
        """Keep `window`, unless a later one is there."""
        ...

    async def advance(self, tenant_id: UUID, conversation_id: UUID, window: Window) -> None:
        """Keep `seq`, attempt and turns of `window` beside the cached summary, unless nothing or a later window is
        there."""
        ...

    async def summarise(self, tenant_id: UUID, conversation_id: UUID, summary: str, summary_seq: int) -> None:
        """Replace the summary of the cached window, if there is one."""
        ...

    async def bury(self, tenant_id: UUID, conversation_ids: Sequence[UUID]) -> None:
        """Remove the windows, and refuse others for these conversations until every run there has ended."""
        ...


class CachedContextWindow:
    """`ContextWindow` over store and cache; without the cache it is slower and still right.

    Args:
        store: the truth.
        cache: what saves asking it.
        settings: turns kept and the token budget.
    """

    def __init__(self, store: ContextStore, cache: ContextCache, settings: ConversationSettings) -> None:
        self._store = store
        self._cache = cache
        self._budget = settings.context_tokens
        self._turns = settings.context_turns + SLACK_TURNS

    async def load(self, tenant_id: UUID, conversation_id: UUID, before_seq: int, attempt: int | None = None) -> Window:
        """See `ContextWindow`. The cache is used where it stands just before the question."""
        if attempt is None:
            return await self._fetch(tenant_id, conversation_id, before_seq)
        if attempt == 0:
            return Window(before_seq - 1)
        try:
            cached = await self._cache.get(tenant_id, conversation_id)
        except Unavailable:
            CONTEXT_LOADS.labels("cache_away").inc()
            return await self._fetch(tenant_id, conversation_id, before_seq)
        if cached is not None and (cached.seq, cached.attempt) == (before_seq - 1, attempt):
            CONTEXT_LOADS.labels("hit").inc()
            return fitting(cached, self._turns, self._budget)
        CONTEXT_LOADS.labels("miss").inc()
        window = replace(await self._fetch(tenant_id, conversation_id, before_seq), attempt=attempt)
        try:
            await self._cache.put(tenant_id, conversation_id, window)
        except Unavailable:
            log.debug("context.not_cached")
        return window

    async def note(
        self, tenant_id: UUID, conversation_id: UUID, window: Window, reached: tuple[int, int], turn: PastTurn | None
    ) -> None:
        """See `ContextWindow`. What cannot be written makes the next load a miss."""
        seq, attempt = reached
        turns = (*window.turns, seen(seq, turn)) if turn else window.turns
        after = fitting(replace(window, seq=seq, attempt=attempt, turns=turns), self._turns, self._budget)
        keep = self._cache.advance if window.seq else self._cache.put
        try:
            await keep(tenant_id, conversation_id, after)
        except Unavailable:
            log.debug("context.not_cached")

    async def forget(self, tenant_id: UUID, conversation_ids: Sequence[UUID]) -> None:
        """See `ContextWindow`. With Redis away, what it holds ends with its time to live."""
        if not conversation_ids:
            return
        try:
            await self._cache.bury(tenant_id, conversation_ids)
        except Unavailable:
            log.warning("context.not_forgotten", conversations=len(conversation_ids))

    async def _fetch(self, tenant_id: UUID, conversation_id: UUID, before_seq: int) -> Window:
        window = await self._store.window(tenant_id, conversation_id, before_seq, self._turns)
        return fitting(window, self._turns, self._budget)


def seen(seq: int, turn: PastTurn) -> SeenTurn:
    """`turn` with its length."""
    return SeenTurn(seq, turn.question, turn.answer, estimate_tokens(turn.question) + estimate_tokens(turn.answer))


def fitting(window: Window, turns: int, budget: int) -> Window:
    """`window` with the latest turns after its summary, at most `turns` of them, that fit `budget` tokens together with
    the summary. The last turn always stays; where it alone is too long, question and answer are cut at their end."""
    latest = tuple(turn for turn in window.turns if turn.seq > window.summary_seq)[-turns:]
    left = budget - estimate_tokens(window.summary)
    first = len(latest)
    while first and latest[first - 1].tokens <= left:
        first -= 1
        left -= latest[first].tokens
    kept = latest[first:]
    if latest and not kept:
        kept = (_cut(latest[-1], max(left, _FEWEST_TOKENS)),)
    return replace(window, turns=kept)


def _cut(turn: SeenTurn, tokens: int) -> SeenTurn:
    """The beginning of question and answer, each shortened by the same share, of about `tokens`."""
    share = tokens / turn.tokens
    question, answer = (text[: int(len(text) * share)] for text in (turn.question, turn.answer))
    return SeenTurn(turn.seq, question, answer, tokens)
