"""What of a conversation reaches the next question: the window's budget, and a cache that is never trusted blindly."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from voicehelper.config import ConversationSettings
from voicehelper.conversations.context import SLACK_TURNS, CachedContextWindow, SeenTurn, Window, fitting, seen
from voicehelper.errors import Unavailable
from voicehelper.ids import new_id
from voicehelper.rag.events import PastTurn
from voicehelper.rag.tokens import estimate_tokens

TENANT, CONVERSATION = new_id(), new_id()


def turn(number: int, tokens: int = 10) -> SeenTurn:
    return SeenTurn(2 * number, f"q{number}", f"a{number}", tokens)


class FakeStore:
    """A conversation of `count` completed turns."""

    def __init__(self, count: int = 0, summary_seq: int = 0) -> None:
        self.count = count
        self.summary_seq = summary_seq
        self.asked = 0

    async def window(self, tenant_id: UUID, conversation_id: UUID, before_seq: int, turns: int) -> Window:
        self.asked += 1
        all_turns = [turn(number) for number in range(1, self.count + 1)]
        before = [one for one in all_turns if self.summary_seq < one.seq < before_seq][-turns:]
        return Window(before_seq - 1, tuple(before), "s" if self.summary_seq else "", self.summary_seq)


class FakeCache:
    """A window or nothing; `away` makes every call fail."""

    def __init__(self) -> None:
        self.window: Window | None = None
        self.buried: list[UUID] = []
        self.away = False

    def _check(self) -> None:
        if self.away:
            raise Unavailable

    async def get(self, tenant_id: UUID, conversation_id: UUID) -> Window | None:
        self._check()
        return self.window

    async def put(self, tenant_id: UUID, conversation_id: UUID, window: Window) -> None:
        self._check()
        self.window = window

    async def advance(self, tenant_id: UUID, conversation_id: UUID, window: Window) -> None:
        self._check()
        if self.window is not None:
            self.window = replace(window, summary=self.window.summary, summary_seq=self.window.summary_seq)

    async def summarise(self, tenant_id: UUID, conversation_id: UUID, summary: str, summary_seq: int) -> None:
        self._check()

    async def bury(self, tenant_id: UUID, conversation_ids: Any) -> None:
        self._check()
        self.buried += conversation_ids


def context(store: FakeStore, cache: FakeCache, **settings: int) -> CachedContextWindow:
    return CachedContextWindow(store, cache, ConversationSettings(**settings))


def numbers(window: Window) -> list[str]:
    return [one.question for one in window.history]


async def test_turns_follow_each_other_without_asking_the_database_again() -> None:
    store, cache = FakeStore(1), FakeCache()
    windows = context(store, cache)
    for number in range(2, 6):
        window = await windows.load(TENANT, CONVERSATION, 2 * number - 1, 1)
        assert numbers(window) == [f"q{earlier}" for earlier in range(1, number)]
        await windows.note(TENANT, CONVERSATION, window, (2 * number, 1), PastTurn(f"q{number}", f"a{number}"))
    assert store.asked == 1


async def test_a_turn_that_failed_moves_the_window_on_without_being_part_of_it() -> None:
    store, cache = FakeStore(1), FakeCache()
    windows = context(store, cache)
    window = await windows.load(TENANT, CONVERSATION, 3, 1)
    await windows.note(TENANT, CONVERSATION, window, (4, 1), None)
    assert numbers(await windows.load(TENANT, CONVERSATION, 5, 1)) == ["q1"]
    assert store.asked == 1


@pytest.mark.parametrize(("seq", "attempt"), [(2, 1), (6, 1), (20, 1), (4, 1), (4, 3)])
async def test_a_cache_that_stands_elsewhere_is_not_used(seq: int, attempt: int) -> None:
    store, cache = FakeStore(2), FakeCache()
    cache.window = Window(seq, (turn(9),), attempt=attempt)
    window = await context(store, cache).load(TENANT, CONVERSATION, 5, 2)  # the answer before was written twice
    assert numbers(window) == ["q1", "q2"]
    assert cache.window == window


async def test_a_question_asked_anew_goes_past_the_cache() -> None:
    store, cache = FakeStore(2), FakeCache()
    cache.window = Window(4, (turn(9),), attempt=1)
    assert numbers(await context(store, cache).load(TENANT, CONVERSATION, 3)) == ["q1"]
    assert cache.window.seq == 4


async def test_before_the_first_question_there_is_nothing_to_ask_for() -> None:
    store, cache = FakeStore(0), FakeCache()
    cache.away = True
    assert await context(store, cache).load(TENANT, CONVERSATION, 1, 0) == Window(0)
    assert store.asked == 0


async def test_the_first_turn_fills_the_cache() -> None:
    store, cache = FakeStore(0), FakeCache()
    windows = context(store, cache)
    window = await windows.load(TENANT, CONVERSATION, 1, 0)
    await windows.note(TENANT, CONVERSATION, window, (2, 1), PastTurn("q1", "a1"))
    assert numbers(await windows.load(TENANT, CONVERSATION, 3, 1)) == ["q1"]
    assert store.asked == 0


async def test_without_redis_the_database_answers() -> None:
    store, cache = FakeStore(3), FakeCache()
    cache.away = True
    windows = context(store, cache)
    window = await windows.load(TENANT, CONVERSATION, 7, 1)
    await windows.note(TENANT, CONVERSATION, window, (8, 1), PastTurn("q", "a"))
    await windows.forget(TENANT, [CONVERSATION])
    assert numbers(window) == ["q1", "q2", "q3"]


async def test_deleted_conversations_are_buried() -> None:
    cache = FakeCache()
    await context(FakeStore(), cache).forget(TENANT, [CONVERSATION])
    await context(FakeStore(), cache).forget(TENANT, [])
    assert cache.buried == [CONVERSATION]


async def test_no_turn_drops_out_before_it_could_be_summarised() -> None:
    store = FakeStore(40, summary_seq=60)
    window = await context(store, FakeCache(), context_turns=10).load(TENANT, CONVERSATION, 81, 1)
    assert (window.summary, len(window.turns)) == ("s", 10)
    store.summary_seq = 60 - 2 * SLACK_TURNS
    window = await context(store, FakeCache(), context_turns=10).load(TENANT, CONVERSATION, 81, 1)
    assert len(window.turns) == 10 + SLACK_TURNS


def test_the_budget_keeps_the_latest_turns() -> None:
    window = Window(10, tuple(turn(number, 30) for number in range(1, 6)))
    assert numbers(fitting(window, 14, 100)) == ["q3", "q4", "q5"]
    assert numbers(fitting(replace(window, summary="概括" * 40), 14, 100)) == ["q5"]
    assert numbers(fitting(window, 2, 1000)) == ["q4", "q5"]
    assert fitting(window, 14, 1000) == window


def test_turns_covered_by_the_summary_are_left_out() -> None:
    window = Window(10, tuple(turn(number) for number in range(1, 6)), "s", 6)
    assert numbers(fitting(window, 14, 1000)) == ["q4", "q5"]


def test_a_last_turn_over_the_budget_is_shortened() -> None:
    long = seen(2, PastTurn("问" * 4000, "答" * 4000))
    window = fitting(Window(2, (long,)), 14, 1000)
    kept = window.turns[0]
    assert estimate_tokens(kept.question + kept.answer) <= 1000
    assert len(kept.question) == len(kept.answer) > 500
    assert fitting(window, 14, 1000) == window
