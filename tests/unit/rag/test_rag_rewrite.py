import pytest

from voicehelper.errors import ModelUnavailable
from voicehelper.ports.chat import FakeChatModel
from voicehelper.rag.events import PastTurn
from voicehelper.rag.rewrite import MergeRewriter, ModelRewriter, is_follow_up

RETURNS = PastTurn("退货怎么办理？", "在订单页申请，型号 VH-X200 需带配件。")


@pytest.mark.parametrize(
    "text",
    [
        "那运费呢？",
        "它多少钱？",
        "要多久？",
        "怎么申请？",
        "如果是海外订单呢",
        "这款支持吗？",
        "多少钱",
        "What about Canada?",
        "How much is it?",
        "为什么",
    ],
)
def test_follow_ups(text: str) -> None:
    assert is_follow_up(text)


@pytest.mark.parametrize(
    "text",
    [
        "退款多久到账？",
        "怎么开发票？",
        "换个话题，它能退吗？",
        "How do I reset my password?",
        "金卡会员打几折",
        "储值卡怎么充值？",
    ],
)
def test_questions_that_stand_alone(text: str) -> None:
    assert not is_follow_up(text)


async def test_merges_with_the_question_it_leans_on() -> None:
    found = await MergeRewriter().rewrite("那运费呢？", [PastTurn("你好", "您好"), RETURNS])
    assert found.query == "退货怎么办理？ VH-X200 那运费呢？"
    assert found.lead == "退货怎么办理？ VH-X200"


async def test_a_chain_of_follow_ups_keeps_its_root() -> None:
    history = [PastTurn("积分怎么用？", "…"), RETURNS, PastTurn("那运费呢？", "由买家承担。")]
    found = await MergeRewriter().rewrite("要多久？", history)
    assert found.query == "退货怎么办理？ 那运费呢？ 要多久？"


async def test_a_number_of_its_own_replaces_the_one_before() -> None:
    found = await MergeRewriter().rewrite("那 25 公斤的呢？", [PastTurn("寄 5 公斤的包裹多少钱？", "30 元。")])
    assert found.query == "寄 公斤的包裹多少钱？ 那 25 公斤的呢？"
    assert found.before == "寄 5 公斤的包裹多少钱？"
    found = await MergeRewriter().rewrite("那 C8 呢", [PastTurn("C5 的内胆多大？", "4 升。")])
    assert found.query == "的内胆多大？ 那 C8 呢"


async def test_stand_alone_questions_keep_their_words() -> None:
    rewriter = MergeRewriter()
    assert (await rewriter.rewrite("怎么开发票？", [RETURNS])).query == "怎么开发票？"
    assert (await rewriter.rewrite("那运费呢？", [])).query == "那运费呢？"


async def test_model_rewriter_asks_only_for_follow_ups() -> None:
    chat = FakeChatModel(reply="退货的运费由谁承担？")
    rewriter = ModelRewriter(chat)
    assert (await rewriter.rewrite("怎么开发票？", [RETURNS])).query == "怎么开发票？"
    assert chat.requests == []
    assert (await rewriter.rewrite("那运费呢？", [RETURNS])).query == "退货的运费由谁承担？"
    chat.reply = "？"
    assert "退货怎么办理" in (await rewriter.rewrite("那运费呢？", [RETURNS])).query


def test_errors_of_the_model_are_ours() -> None:
    assert ModelUnavailable.retryable
