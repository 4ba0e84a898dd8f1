"""What running ahead saves: time to an answer's first token, with and without, on the bundled chat model.

    python -m benchmarks.bench_run_ahead

Retrieval is a stand-in (a dictionary look-up of no duration), so only what the model reads ahead is measured. The user
is taken to go on speaking, or to be waited for, for `--ahead` seconds after the question's words are stable.
"""

import argparse
import asyncio
import statistics
import time
from uuid import UUID

from actors.chat.registry import build_chat_model
from tests.fakes.retriever import KB, FakeBigramRetriever, passage
from voicehelper.config import Settings
from voicehelper.rag.answerer import Answerer
from voicehelper.rag.events import AnswerDelta, Question

PASSAGES = [
    passage(
        "签收后7天内可以申请无理由退货，商品须保持完好，不影响二次销售。退货运费由买家承担，质量问题由商家承担。",
        "退货.md",
        ("退货",),
    ),
    passage(
        "验收合格后发起退款。微信支付即时到账，支付宝当天到账，银行卡需要1至5个工作日，以银行为准。",
        "退款.md",
        ("退款",),
    ),
    passage(
        "现货订单在付款后24小时内发货，预售商品以页面标注为准，偏远地区时效增加2到3天，节假日顺延。",
        "发货.md",
        ("发货时间",),
    ),
    passage(
        "个人用户可开具电子普通发票，在订单详情页申请，24小时内发送到邮箱；企业专票需要提供税号和地址。",
        "发票.md",
        ("发票",),
    ),
    passage(
        "会员分为银卡、金卡和钻石卡，累计消费满1000元升为金卡，满5000元升为钻石卡，有效期一年。",
        "会员.md",
        ("会员等级",),
    ),
]
QUESTIONS = (
    "签收以后几天之内可以退货",
    "银行卡退款多久到账",
    "付款以后多久发货",
    "电子发票在哪里申请",
    "消费满多少可以升为金卡",
)


async def first_token_ms(answerer: Answerer, question: Question, ahead_s: float | None) -> float:
    """From the question's end to its answer's first piece."""
    preparing = None
    if ahead_s is not None:
        preparing = asyncio.create_task(answerer.prepare(question))
        await asyncio.sleep(ahead_s)
    began = time.perf_counter()
    async for event in answerer.answer(question):
        if isinstance(event, AnswerDelta):
            break
    took = (time.perf_counter() - began) * 1000
    if preparing is not None:
        await preparing
    await asyncio.sleep(0.5)
    return took


async def main(ahead_s: float) -> None:
    chat = build_chat_model(Settings())
    answerer = Answerer(FakeBigramRetriever(PASSAGES), chat)
    began = time.perf_counter()
    await answerer.warm_up(4)
    print(f"warm-up {time.perf_counter() - began:.1f} s")
    figures: dict[bool, list[float]] = {False: [], True: []}
    for number, text in enumerate(QUESTIONS):
        question = Question(text, UUID(int=1), (KB,), spoken=True)
        for with_it in (False, True) if number % 2 else (True, False):
            # The other order's run has been read already by some slot: other words in front make it new.
            fresh = Question(
                ("请问，" if with_it else "你好，请问") + text, question.tenant_id, question.kb_ids, spoken=True
            )
            took = await first_token_ms(answerer, fresh, ahead_s if with_it else None)
            figures[with_it].append(took)
            print(f"{text}: {'ahead' if with_it else 'plain'} {took:.0f} ms", flush=True)
            await answerer.warm_up(4)  # drives the context out of the slots
    for with_it, taken in figures.items():
        print(f"{'ahead' if with_it else 'plain'}: median {statistics.median(taken):.0f} ms of {len(taken)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--ahead", type=float, default=1.0)
    asyncio.run(main(parser.parse_args().ahead))
