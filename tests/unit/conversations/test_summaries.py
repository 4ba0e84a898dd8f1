"""When turns are summarised, what the model reads and what becomes of what it says."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from voicehelper.config import ConversationSettings
from voicehelper.conversations.context import SLACK_TURNS, ContextCache, SeenTurn, Window
from voicehelper.conversations.summaries import Summaries, enumerated, supported, talk_of
from voicehelper.errors import ModelUnavailable, Unavailable
from voicehelper.ids import new_id
from voicehelper.ports.chat import ChatRequest, FakeChatModel
from voicehelper.ports.clock import FakeClock, SystemClock
from voicehelper.rag.prompt import stable_prefix

TENANT, CONVERSATION = new_id(), new_id()
KEPT = 3
SAID = "手册讲保养。"


class FakeStore:
    """A conversation of completed turns, with its summary."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.all = [
            SeenTurn(2 * n, f"手册第{n}页讲什么？", f"讲保养{n}。", length) for n, length in enumerate(tokens, 1)
        ]
        self.summary, self.summary_seq = "", 0
        self.overtaken = False

    async def window(self, tenant_id: UUID, conversation_id: UUID, before_seq: int, turns: int) -> Window:
        found = [turn for turn in self.all if self.summary_seq < turn.seq < before_seq][-turns:]
        return Window(before_seq - 1, tuple(found), self.summary, self.summary_seq)

    async def turns(
        self, tenant_id: UUID, conversation_id: UUID, after: int, before: int, limit: int
    ) -> list[SeenTurn]:
        return [turn for turn in self.all if after < turn.seq < before][:limit]

    async def store_summary(
        self, tenant_id: UUID, conversation_id: UUID, summary: str, summary_seq: int, before: int
    ) -> bool:
        if self.overtaken or self.summary_seq != before:
            return False
        self.summary, self.summary_seq = summary, summary_seq
        return True


class FakeCache:
    """Keeps the last summary; `away` makes it fail."""

    def __init__(self, away: bool = False) -> None:
        self.away = away
        self.summary: tuple[str, int] | None = None

    async def summarise(self, tenant_id: UUID, conversation_id: UUID, summary: str, summary_seq: int) -> None:
        if self.away:
            raise Unavailable
        self.summary = (summary, summary_seq)


class DownModel(FakeChatModel):
    async def stream(self, request: ChatRequest):
        raise ModelUnavailable
        yield  # an async generator


def summaries(store: FakeStore, chat: FakeChatModel, cache: ContextCache | None = None, **more) -> Summaries:
    settings = ConversationSettings(context_turns=KEPT, context_tokens=1000)
    return Summaries(store, cache or FakeCache(), chat, settings, more.pop("clock", FakeClock()), **more)


async def after(maker: Summaries, store: FakeStore) -> bool:
    return await maker.update(TENANT, CONVERSATION, store.all[-1].seq)


@pytest.mark.parametrize("count", [1, KEPT, KEPT + SLACK_TURNS - 1])
async def test_a_few_turns_wait_in_the_window(count: int) -> None:
    store, chat = FakeStore([10] * count), FakeChatModel(SAID)
    assert not await after(summaries(store, chat), store)
    assert chat.requests == []


async def test_the_turns_before_the_window_are_summarised() -> None:
    store, chat, cache = FakeStore([10] * (KEPT + SLACK_TURNS)), FakeChatModel(SAID), FakeCache()
    assert await after(summaries(store, chat, cache), store)
    assert (store.summary, store.summary_seq) == (SAID, 2 * SLACK_TURNS)
    assert cache.summary == (store.summary, store.summary_seq)
    messages = chat.requests[0].messages
    assert messages[:-1] == stable_prefix()
    assert "第4页" in messages[-1].content
    assert "第5页" not in messages[-1].content
    assert not await after(summaries(store, chat, cache), store)  # told twice of the same answer


async def test_the_next_summary_contains_the_one_before() -> None:
    store, chat = FakeStore([10] * (KEPT + SLACK_TURNS)), FakeChatModel("手册第3页讲保养。")
    await after(summaries(store, chat), store)
    store.all += [SeenTurn(2 * n, f"问题{n}", "答", 10) for n in range(len(store.all) + 1, len(store.all) + 5)]
    assert await after(summaries(store, chat), store)
    assert store.summary == "手册第3页讲保养。 用户问过：手册第5页讲什么；手册第6页讲什么；手册第7页讲什么；问题8。"
    assert store.summary_seq == 4 * SLACK_TURNS


async def test_a_turn_too_long_for_the_window_is_summarised_at_once() -> None:
    store = FakeStore([10, 900, 900])
    assert await after(summaries(store, FakeChatModel(SAID)), store)
    assert store.summary_seq == 4


async def test_a_backlog_goes_away_in_batches() -> None:
    store, maker = FakeStore([10] * 40), None
    maker = summaries(store, FakeChatModel(SAID))
    rounds = 0
    while await after(maker, store):
        rounds += 1
    assert store.summary_seq >= 2 * (40 - KEPT - SLACK_TURNS)
    assert rounds <= 6


async def test_nobody_waits_for_a_summary() -> None:
    store, chat = FakeStore([10] * (KEPT + SLACK_TURNS)), FakeChatModel(SAID)
    assert not await after(summaries(store, chat, busy=lambda: True), store)
    assert chat.requests == []
    overdue = FakeStore([10] * (KEPT + 2 * SLACK_TURNS))
    assert await after(summaries(overdue, chat, busy=lambda: True), overdue)


async def test_a_summary_makes_way_for_a_question() -> None:
    store, chat = FakeStore([10] * (KEPT + SLACK_TURNS)), FakeChatModel(SAID * 50, delay=0.02)
    maker = summaries(store, chat, clock=SystemClock(), busy=lambda: bool(chat.requests))
    assert not await after(maker, store)
    assert (store.summary, chat.cancelled) == ("", 1)


async def test_without_the_model_the_next_answer_tries_again() -> None:
    store = FakeStore([10] * (KEPT + SLACK_TURNS))
    assert not await after(summaries(store, DownModel()), store)
    assert await after(summaries(store, FakeChatModel(SAID)), store)


async def test_a_summary_overtaken_by_another_is_dropped() -> None:
    store, cache = FakeStore([10] * (KEPT + SLACK_TURNS)), FakeCache()
    store.overtaken = True
    assert not await after(summaries(store, FakeChatModel(SAID), cache), store)
    assert cache.summary is None


async def test_a_model_that_says_nothing_leaves_the_questions_themselves() -> None:
    for reply in ("不知道。", "", "\x00", "相机 C1 售价 800 元。"):
        store = FakeStore([10] * (KEPT + SLACK_TURNS))
        assert await after(summaries(store, FakeChatModel(reply), FakeCache(away=True)), store)
        assert store.summary.startswith("用户问过：手册第1页讲什么；手册第2页")


async def test_a_summary_that_grows_too_long_is_condensed() -> None:
    store, chat = FakeStore([10] * (KEPT + SLACK_TURNS)), FakeChatModel(SAID)
    store.summary = "手册讲保养。" * 50
    assert await after(summaries(store, chat), store)
    assert len(chat.requests) == 2
    assert store.summary == SAID
    store, chat = FakeStore([10] * (KEPT + SLACK_TURNS)), FakeChatModel("不知道。")
    store.summary = "手册讲保养。" * 50
    assert await after(summaries(store, chat), store)
    assert len(store.summary) == 300
    assert store.summary.startswith("…")
    assert store.summary.endswith("手册第4页讲什么。")


def test_only_what_rests_on_the_talk_is_kept() -> None:
    talk = "用户：扫地机器人 X9 多少钱？\n客服：售价 1299 元，保修 2 年。"
    assert supported("扫地机器人 X9 售价 1299 元。相机 C1 售价 800 元。", talk) == "扫地机器人 X9 售价 1299 元。"
    assert supported("扫地机器人 X9 售价 1199 元。", talk) == ""
    assert supported("机器人保修 2 年。售价 12", talk, whole=False) == "机器人保修 2 年。"


def test_long_texts_are_shortened_for_the_model() -> None:
    turns = [SeenTurn(2, "问\n" * 500, "答" * 500, 800)]
    assert len(talk_of(turns)) < 300
    assert len(enumerated(turns)) < 60
