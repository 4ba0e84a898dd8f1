"""Turns that leave the context window are summarised, so that a long conversation still knows how it began."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Protocol
from uuid import UUID

from voicehelper.config import ConversationSettings
from voicehelper.conversations.context import SLACK_TURNS, ContextCache, ContextStore, SeenTurn, Window, fitting
from voicehelper.documents.sentences import split_sentences
from voicehelper.errors import InvalidInput, RateLimited, Unavailable
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatModel, ChatRequest
from voicehelper.ports.clock import Clock
from voicehelper.rag.numbers import mentioned, stated
from voicehelper.rag.prompt import summary_prompt
from voicehelper.rag.terms import content_terms, product_codes
from voicehelper.telemetry import get_logger, stage
from voicehelper.telemetry.metrics import SUMMARIES

log = get_logger(__name__)

_BATCH = 2 * SLACK_TURNS  # turns summarised at once
_MAX_TOKENS = 128
_LOOK_S = 0.2  # how soon a summary makes way for a question
_LOOKS = 300  # how often, until it is given up
_LONGEST = 300
_QUESTION, _ANSWER = 80, 160


class SummaryStore(ContextStore, Protocol):
    """Where summaries are kept (PostgreSQL). Every method raises `Unavailable`."""

    async def turns(
        self, tenant_id: UUID, conversation_id: UUID, after: int, before: int, limit: int
    ) -> list[SeenTurn]:
        """The first `limit` completed turns whose answer's `seq` lies between `after` and `before`, oldest first."""
        ...

    async def store_summary(
        self, tenant_id: UUID, conversation_id: UUID, summary: str, summary_seq: int, before: int
    ) -> bool:
        """Keep the summary of everything up to `summary_seq` in place of the one up to `before`; False where that is
        not the present one any more."""
        ...


class Summaries:
    """Keeps the summaries of conversations up to date, one batch of turns at a time, when the model has nothing else to
    do.

    Args:
        store, cache: where windows and summaries lie.
        chat: writes them.
        settings: what the window holds.
        clock: for looking whether the model is wanted.
        busy: whether somebody waits for an answer. A summary then is put off until the conversation's next answer, or
            broken off, unless so many turns wait that it is overdue.
    """

    def __init__(
        self,
        store: SummaryStore,
        cache: ContextCache,
        chat: ChatModel,
        settings: ConversationSettings,
        clock: Clock,
        *,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._cache = cache
        self._chat = chat
        self._kept = settings.context_turns
        self._budget = settings.context_tokens
        self._clock = clock
        self._busy = busy

    async def update(self, tenant_id: UUID, conversation_id: UUID, answer_seq: int) -> bool:
        """The answer at `answer_seq` is complete: summarise what left the window, if it is time; True if so.

        May be called again for the same answer. Raises `Unavailable` when the database is away; what the model cannot
        do now waits for the next answer.
        """
        turns = self._kept + SLACK_TURNS
        stored = await self._store.window(tenant_id, conversation_id, answer_seq + 1, turns)
        window = fitting(stored, turns, self._budget)
        if not window.turns:
            return False
        first_kept = window.turns[-self._kept :][0].seq
        leaving = await self._store.turns(tenant_id, conversation_id, window.summary_seq, first_kept, _BATCH)
        overdue = len(leaving) >= _BATCH
        if not _due(leaving, window) or (self._busy() and not overdue):
            return False
        summary = await self._summarise(window.summary, leaving, overdue)
        if summary is None:
            SUMMARIES.labels("put_off").inc()
            return False
        return await self._keep(tenant_id, conversation_id, summary, leaving[-1].seq, window.summary_seq)

    async def _keep(self, tenant_id: UUID, conversation_id: UUID, summary: str, seq: int, before: int) -> bool:
        stored = await self._store.store_summary(tenant_id, conversation_id, summary, seq, before)
        if stored:
            SUMMARIES.labels("written").inc()
            try:
                await self._cache.summarise(tenant_id, conversation_id, summary, seq)
            except Unavailable:
                log.debug("summary.not_cached")
        return stored

    async def _summarise(self, before: str, leaving: Sequence[SeenTurn], overdue: bool) -> str | None:
        """The new summary; None when it made way for a question, or the model is away."""
        task = asyncio.create_task(self._write(before, leaving))
        try:
            with stage("conversations.summarise"):
                for _ in range(_LOOKS):
                    if task.done():
                        return task.result()
                    if self._busy() and not overdue:
                        return None
                    await self._wait(task)
                return None
        except (Unavailable, RateLimited) as error:
            log.info("summary.put_off", code=error.code)
            return None
        finally:
            task.cancel()
            await asyncio.wait((task,))  # until the model has stopped

    async def _wait(self, task: "asyncio.Task[str]") -> None:
        timer = asyncio.ensure_future(self._clock.sleep(_LOOK_S))
        try:
            await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()

    async def _write(self, before: str, leaving: Sequence[SeenTurn]) -> str:
        """A small model that is to fold turns into a summary copies the summary: so it condenses the turns alone, and
        the whole only where that gets too long."""
        part = await self._condense(talk_of(leaving)) or enumerated(leaving)
        whole = f"{before} {part}".strip()
        if len(whole) > _LONGEST:
            whole = await self._condense(whole) or whole
        return whole if len(whole) <= _LONGEST else "…" + whole[-_LONGEST + 1 :]

    async def _condense(self, text: str) -> str:
        """What the model makes of `text`; empty where nothing of that rests on it, or `text` is too long for it."""
        said, whole = "", False
        request = ChatRequest(summary_prompt(text), max_tokens=_MAX_TOKENS, feature="summary")
        try:
            async with aclosing(self._chat.stream(request)) as events:  # type: ignore[type-var]
                async for event in events:
                    if isinstance(event, ChatDelta):
                        said += event.text
                    elif isinstance(event, ChatDone):
                        whole = event.finish_reason == "stop"
        except InvalidInput:
            return ""
        return supported(storable(said), text, whole)


def _due(leaving: Sequence[SeenTurn], window: Window) -> bool:
    """Whether several turns wait, or one has already fallen out of the window (it was too long)."""
    return len(leaving) >= SLACK_TURNS or bool(leaving and leaving[0].seq < window.turns[0].seq)


def supported(said: str, source: str, whole: bool = True) -> str:
    """The sentences of `said` that rest on `source`: it holds their numbers and product codes, and half their words.
    Where `said` is not the whole, its last sentence is left out."""
    numbers, codes, words = mentioned(source), set(product_codes(source)), content_terms(source)

    def rests(sentence: str) -> bool:
        terms = content_terms(sentence)
        known = stated(sentence) <= numbers and set(product_codes(sentence)) <= codes
        return known and bool(terms) and 2 * len(terms & words) >= len(terms)

    sentences = [said[start:end] for start, end in split_sentences(said)]
    return " ".join(sentence for sentence in (sentences if whole else sentences[:-1]) if rests(sentence))


def talk_of(turns: Sequence[SeenTurn]) -> str:
    """What the model is to summarise: each turn, shortened."""
    lines = []
    for turn in turns:
        lines += [f"用户：{shortened(turn.question, _QUESTION)}", f"客服：{shortened(turn.answer, _ANSWER)}"]
    return "\n".join(lines)


def enumerated(turns: Sequence[SeenTurn]) -> str:
    """A summary without a model: the questions in their own words."""
    asked = (shortened(turn.question, _QUESTION // 2).rstrip("？?。.！!") for turn in turns)
    return f"用户问过：{'；'.join(asked)}。"


def shortened(text: str, longest: int) -> str:
    """`text` on one line of at most `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def storable(text: str) -> str:
    """`text` as PostgreSQL can store it: without NUL, halves of a character joined or replaced."""
    return text.replace("\x00", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
