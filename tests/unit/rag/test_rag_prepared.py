"""Running ahead: found and read while the question is still being spoken."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import pytest

from tests.fakes.retriever import KB, FakeRetriever, passage
from tests.fakes.virtual_time import virtual_time
from voicehelper.errors import ModelUnavailable
from voicehelper.ports.chat import FakeChatModel
from voicehelper.rag.answerer import Answerer
from voicehelper.rag.events import AnswerDelta, AnswerDone, PastTurn, Question
from voicehelper.rag.prepared import nearly, normalised

REFUND = passage("验收合格后发起退款。微信支付即时到账。银行卡需要1至5个工作日。", "退款.md", ("退款",))
TENANT = UUID(int=1)
ASKED = Question("银行卡退款多久到账？", TENANT, (KB,), spoken=True)


class SlowRetriever(FakeRetriever):
    delay = 0.5

    async def retrieve(self, scope, query, top_k=None):
        await asyncio.sleep(self.delay)
        return await super().retrieve(scope, query, top_k)


def parts(delay=1.0):
    chat, retriever = FakeChatModel(reply="银行卡需要1至5个工作日。", delay=delay), SlowRetriever([REFUND])
    return Answerer(retriever, chat), chat, retriever


async def run(answerer, question):
    events = [event async for event in answerer.answer(question)]
    assert isinstance(events[-1], AnswerDone)
    return "".join(event.text for event in events if isinstance(event, AnswerDelta)), events[-1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("怎么退货", "怎么退货？"),
        ("嗯，怎么退货呢", "怎么退货"),
        ("请问，能退货吗？", "能退货"),
        ("How do I return it", "how do I return it, please?"),
        ("Um, what's the price?", "what's the price"),
    ],
)
def test_little_words_and_marks_make_no_other_question(one, other):
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("怎么退货", "怎么退款"), ("退货要钱", "退货不要钱"), ("3天", "5天"), ("A100", "A101"), ("吗", "呢")],
)
def test_other_words_do(one, other):
    assert normalised(one) != normalised(other)


@virtual_time
async def test_what_was_found_and_read_ahead_is_used():
    answerer, chat, retriever = parts()
    await answerer.prepare(replace(ASKED, text="银行卡退款多久到账"))
    assert len(chat.requests) == 1
    assert chat.requests[0].max_tokens == 1
    text, done = await run(answerer, ASKED)
    assert text == "银行卡需要1至5个工作日。"
    assert len(retriever.queries) == 1
    assert chat.requests[0].messages[:-1] == chat.requests[1].messages[:-1]
    ahead, real = (request.messages[-1].content for request in chat.requests)
    assert ahead.split("<问题>")[0] == real.split("<问题>")[0]
    assert done.outcome == "answered"
    assert "ahead" in done.timings_ms
    await run(answerer, ASKED)
    assert len(retriever.queries) == 2


@virtual_time
async def test_a_question_that_comes_while_its_own_is_read_waits_for_it():
    answerer, chat, retriever = parts()
    preparing = asyncio.create_task(answerer.prepare(ASKED))
    await asyncio.sleep(1.0)
    text, _ = await run(answerer, ASKED)
    assert text
    assert preparing.done()
    assert len(chat.requests) == 2
    assert chat.cancelled == 0
    assert len(retriever.queries) == 1


@virtual_time
async def test_a_question_of_somebody_else_gets_the_model_at_once():
    answerer, chat, _ = parts()
    preparing = asyncio.create_task(answerer.prepare(ASKED))
    await asyncio.sleep(1.0)
    assert len(chat.requests) == 1
    other = replace(ASKED, text="微信退款多久到账？", tenant_id=UUID(int=2))
    asking = asyncio.create_task(run(answerer, other))
    await asyncio.sleep(0.01)
    assert chat.cancelled == 1
    await preparing
    await asking


@virtual_time
async def test_the_model_reads_nothing_ahead_while_it_answers():
    answerer, chat, retriever = parts()
    asking = asyncio.create_task(run(answerer, replace(ASKED, text="微信退款多久到账？")))
    await asyncio.sleep(1.0)
    await answerer.prepare(ASKED)
    assert len(chat.requests) == 1
    await asking
    await run(answerer, ASKED)
    assert len(retriever.queries) == 2


@virtual_time
async def test_cancelling_gives_it_up():
    answerer, chat, _ = parts()
    preparing = asyncio.create_task(answerer.prepare(ASKED))
    await asyncio.sleep(1.0)
    preparing.cancel()
    with suppress(asyncio.CancelledError):
        await preparing
    await asyncio.sleep(0)
    assert chat.cancelled == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, tenant_id=UUID(int=2)),
        replace(ASKED, kb_ids=(UUID(int=9),)),
        replace(ASKED, history=(PastTurn("a", "b"),)),
        replace(ASKED, text="支付宝退款多久到账"),
    ],
)
def test_nothing_is_shared_with_another_question(other):
    @virtual_time
    async def check():
        answerer, _, retriever = parts(0.0)
        await answerer.prepare(ASKED)
        await run(answerer, other)
        assert len(retriever.queries) == 2

    check()


@virtual_time
async def test_what_is_prepared_is_forgotten_and_failures_cost_nothing():
    answerer, _, retriever = parts(0.0)
    answerer._prepared._now = asyncio.get_running_loop().time
    await answerer.prepare(ASKED)
    await asyncio.sleep(30)
    await run(answerer, ASKED)
    assert len(retriever.queries) == 2
    retriever.error = ModelUnavailable()
    await answerer.prepare(ASKED)
    retriever.error = None
    text, _ = await run(answerer, ASKED)
    assert text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("登录密码想不起来了", "登录密码想不起来了怎么半"),
        ("银行卡退款多久到账", "银行卡推款多久到账"),
        ("how long does the refund take", "how long does a refund take"),
    ],
)
def test_nearly_the_same_words_will_do(one, other):
    assert nearly(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("空气炸锅kq3的篮子能丢进洗碗机吗", "空气炸锅kq5的篮子能丢进洗碗机吗"),
        ("买满一百元的订单能退运费", "买满两百元的订单能退运费"),
        ("签收以后的商品能退货退款", "签收以后的商品不能退货退款"),
        ("can i return it after a week", "can i not return it after a week"),
        ("运费怎么算", "发票怎么开"),
        ("", "退款"),
    ],
)
def test_other_numbers_products_or_negations_will_not(one, other):
    assert not nearly(one, other)


@virtual_time
async def test_what_was_found_for_nearly_the_question_is_read_on_and_used():
    answerer, chat, retriever = parts()
    ahead = asyncio.create_task(answerer.prepare(replace(ASKED, text="银行卡退款多久到帐")))
    await asyncio.sleep(0.7)
    text, _ = await run(answerer, ASKED)
    assert text.startswith("银行卡需要1至5个工作日")
    assert len(retriever.queries) == 1
    assert "到账？" in chat.requests[-1].messages[-1].content, "the question as it was asked at last"
    await ahead


@virtual_time
async def test_nothing_is_taken_from_another_place():
    answerer, _, retriever = parts()
    await answerer.prepare(replace(ASKED, text="银行卡退款多久到帐", tenant_id=UUID(int=9)))
    await run(answerer, ASKED)
    assert len(retriever.queries) == 2
