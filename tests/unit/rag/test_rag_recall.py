"""Questions that lean on what a conversation's window no longer holds."""

from dataclasses import replace

import pytest

from tests.fakes.retriever import FakeRetriever, passage
from voicehelper.config import RagSettings
from voicehelper.ids import new_id
from voicehelper.ports.chat import FakeChatModel
from voicehelper.rag.answerer import Answerer
from voicehelper.rag.events import PastTurn, Question
from voicehelper.rag.prompt import stable_prefix
from voicehelper.rag.rewrite import Standalone, reaches_back, recall

SUMMARY = "用户问了扫地机器人 X9 的价格，答复是 1299 元。"
STANDS_ALONE = PastTurn("电饭煲 A1 能煮几碗米？", "6 碗。")
FOLLOWS = PastTurn("那它多少钱？", "200 元。")


@pytest.mark.parametrize(
    "text",
    [
        "我最开始问的那款能防水吗？",
        "之前说的运费是多少？",
        "一开始提到的优惠还有吗？",
        "第一个问题的答案是什么？",
        "What was the price you mentioned earlier?",
        "I asked about a camera before, is it waterproof?",
    ],
)
def test_what_names_an_earlier_talk_reaches_back(text: str) -> None:
    assert reaches_back(text, (STANDS_ALONE,))


@pytest.mark.parametrize(
    "text",
    [
        "付款之前可以取消订单吗？",
        "那它保修多久？",
        "换个话题，之前说的不管了，退货要几天？",
        "How do I pay before the delivery?",
        "会员等级怎么计算？",
    ],
)
def test_other_questions_do_not(text: str) -> None:
    assert not reaches_back(text, (STANDS_ALONE, FOLLOWS))


def test_a_chain_of_follow_ups_reaches_beyond_its_beginning() -> None:
    assert reaches_back("那它保修多久？", (FOLLOWS, FOLLOWS))
    assert not reaches_back("会员等级怎么计算？", (FOLLOWS,))


def test_without_a_summary_nothing_changes() -> None:
    asked = Standalone("我最开始问的那款能防水吗？", "电饭煲", "电饭煲")
    assert recall(asked, (STANDS_ALONE,), "") is asked
    assert recall(Standalone("会员等级怎么计算？"), (STANDS_ALONE,), SUMMARY).query == "会员等级怎么计算？"


def test_the_summary_stands_in_front() -> None:
    recalled = recall(Standalone("那它保修多久？", "多少钱", "那它多少钱？"), (FOLLOWS,), SUMMARY)
    assert recalled.query == f"{SUMMARY} 多少钱 那它保修多久？"
    assert recalled.before == f"{SUMMARY} 那它多少钱？"


async def test_the_answerer_searches_and_asks_with_the_summary() -> None:
    retriever = FakeRetriever([passage("扫地机器人 X9 不能防水，不可用于室外。", "X9.md")])
    chat = FakeChatModel("扫地机器人 X9 不能防水。")
    question = Question("我最开始问的那款能防水吗？", new_id(), (new_id(),), (STANDS_ALONE,), SUMMARY)
    answerer = Answerer(retriever, chat, RagSettings())
    [event async for event in answerer.answer(question)]
    assert SUMMARY in retriever.queries[-1]
    messages = chat.requests[-1].messages
    assert messages[:-1] == stable_prefix()
    assert "X9" in messages[-1].content.partition("<上文>")[2]
    [event async for event in answerer.answer(replace(question, summary=""))]
    assert SUMMARY not in retriever.queries[-1]
