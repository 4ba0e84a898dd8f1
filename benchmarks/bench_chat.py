"""Speed of the in-process chat model: 1, 2 and 4 requests at once, prefix reuse, cancellation.

    python -m benchmarks.bench_chat [--model NAME] [--rounds 3] [--threads 2] [--batch 64]

The loads are interleaved, so that a busy machine slows all of them alike; the figures are medians over the rounds.
"""

import argparse
import asyncio
import statistics
import time
from collections import defaultdict
from contextlib import aclosing
from dataclasses import dataclass

from actors.chat import engine as engine_module
from actors.chat.engine import LlamaEngine
from actors.chat.llama_cpp import LlamaCppChat
from voicehelper.config import ChatSettings, Settings
from voicehelper.embedded.models import model_path
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatMessage, ChatRequest
from voicehelper.rag.prompt import stable_prefix

PARALLEL = 4
OUTPUT = 48
RULE = "第{n}条：商品签收后{n}日内可以申请退货，商品应保持完好，运费由买家承担，退款在{n}个工作日内原路退回。"


@dataclass
class Timing:
    """Of one request: seconds to the first token and to the end, and the tokens."""

    first_s: float
    total_s: float
    prompt: int
    cached: int
    output: int


def request(number: int, sentences: int = 4) -> ChatRequest:
    """The stable prefix, then about 140 tokens that no other request shares."""
    text = "".join(RULE.format(n=number * 7 + line) for line in range(sentences))
    task = ChatMessage("user", f"<资料>\n{number}{text}\n</资料>\n<问题>把资料逐条复述一遍</问题>")
    return ChatRequest((*stable_prefix(), task), max_tokens=OUTPUT)


async def timed(chat: LlamaCppChat, asked: ChatRequest) -> Timing:
    started = time.perf_counter()
    first = 0.0
    async for event in chat.stream(asked):
        if isinstance(event, ChatDelta):
            first = first or time.perf_counter() - started
        if isinstance(event, ChatDone):
            usage = event.usage
    total = time.perf_counter() - started
    return Timing(first, total, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)


async def cancelled_after(chat: LlamaCppChat, engine: LlamaEngine, asked: ChatRequest, wait_s: float) -> float:
    """Seconds from closing a stream `wait_s` after its start until no slot works."""

    async def consume() -> None:
        async with aclosing(chat.stream(asked)) as events:
            async for _ in events:
                pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(wait_s)
    task.cancel()
    await asyncio.wait([task])
    started = time.perf_counter()
    while await asyncio.to_thread(engine.busy_slots):  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # the engine has no event to wait for
    return time.perf_counter() - started


def show(load: str, runs: list[list[Timing]]) -> None:
    """Medians over the rounds; output speed is that of all requests together, from the first token on."""
    every = [timing for run in runs for timing in run]
    speeds = []
    for run in runs:
        seconds = max(timing.total_s for timing in run) - min(timing.first_s for timing in run)
        speeds.append((sum(timing.output for timing in run) - 1) / seconds)
    print(
        f"- {load}: first token {statistics.median(t.first_s for t in every):.2f} s, "
        f"whole {statistics.median(t.total_s for t in every):.2f} s, "
        f"output {statistics.median(speeds):.1f} tokens/s together, "
        f"prompt {every[0].prompt} ({statistics.median(t.cached for t in every):.0f} cached)"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=ChatSettings().model)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=engine_module.BATCH_TOKENS)
    args = parser.parse_args()
    engine_module.BATCH_TOKENS = args.batch
    path = model_path(Settings(), args.model)
    started = time.perf_counter()
    engine = LlamaEngine(path, context_tokens=2048, parallel=PARALLEL, threads=args.threads)
    print(f"- loaded in {time.perf_counter() - started:.1f} s; batch {args.batch}, {args.threads} threads")
    chat = LlamaCppChat(path, context_tokens=2048, parallel=PARALLEL, engine=engine)
    cold = await timed(chat, request(0))
    print(f"- first request, nothing cached: first token {cold.first_s:.2f} s for {cold.prompt} tokens")
    await asyncio.gather(*(timed(chat, request(n)) for n in range(1, PARALLEL + 1)))
    runs: defaultdict[int, list[list[Timing]]] = defaultdict(list)
    number = 10
    for _ in range(args.rounds):
        for load in (1, 2, 4):
            runs[load].append(await asyncio.gather(*(timed(chat, request(number + n)) for n in range(load))))
            number += load
    for load, measured in runs.items():
        show(f"{load} at once", measured)
    for what, wait_s in (("in the prompt", 0.5), ("while decoding", runs[1][0][0].first_s + 0.5)):
        freed = [await cancelled_after(chat, engine, request(number + n, 12), wait_s) for n in range(args.rounds)]
        number += args.rounds
        print(f"- cancelled {what}: slot free after {statistics.median(freed):.2f} s, at most {max(freed):.2f} s")
    await chat.close()


if __name__ == "__main__":
    asyncio.run(main())
