"""The question path (embed, BM25, dense, fuse) of `haystack-ai` and ours: same chunks, embedder, machine and process.

    python -m benchmarks.bench_haystack [--chunks 10000] [--questions 60]

Haystack as its documentation builds it: in-memory store, BM25 and embedding retrievers, joiner with reciprocal rank
fusion. Its BM25 gets Chinese cut into words by the analysis we use (its own takes a Chinese clause for one word), and
only queries are timed. Ours is the product's retriever on PostgreSQL and tantivy. The two take turns, question by
question. The first run makes `.bench/haystack`, an environment with haystack beside this one's packages.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import table
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
from voicehelper.config import RetrievalSettings
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.ports.embedder import Embedder, Vectors
from voicehelper.ports.search import Scope
from voicehelper.retrieval.analysis import analyse
from voicehelper.retrieval.hybrid import HybridRetriever
from voicehelper.stores.postgres.passages import PostgresPassages
from voicehelper.stores.postgres.vectors import PgVectorIndex, ensure_vector_index
from voicehelper.stores.tantivy import TantivyKeywordIndex

FOLDER = Path(__file__).resolve().parents[1] / ".bench" / "haystack"
SETTINGS = RetrievalSettings()
WARM_UP = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=60)
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"Skipped: {DATA} is not there (CMRC, DRCD, AFQMC).")
        return
    enter_environment()
    with postgres_server() as server, tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(server, Path(folder), arguments))


def enter_environment() -> None:
    """Go on in an environment that has haystack, made if need be."""
    try:
        import haystack  # noqa: F401, PLC0415
    except ImportError:
        python = FOLDER / "bin" / "python"
        beside = Path(sysconfig.get_path("purelib", vars={"base": str(FOLDER)})) / "beside.pth"  # written last
        if not beside.exists():
            venv.create(FOLDER, with_pip=True, clear=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "haystack-ai"], check=True)
            beside.write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
        os.execv(python, [str(python), "-m", "benchmarks.bench_haystack", *sys.argv[1:]])


async def run(server: EmbeddedPostgres, folder: Path, arguments: argparse.Namespace) -> None:
    """Build both, ask both."""
    embedder = open_embedder("ctranslate2")
    texts, vectors, questions = await many_chunks(embedder, "ctranslate2", arguments.chunks)
    loop = asyncio.get_running_loop()
    pipeline = build_haystack(embedder, texts, vectors, loop)
    model = (await embedder.describe()).model
    async with open_pool(server) as pool:
        corpus = await load_postgres(pool, texts, vectors, model)
        load_tantivy(folder, corpus, texts)
        await ensure_vector_index(pool, model, vectors.shape[1])
        keywords = TantivyKeywordIndex(folder)
        retriever = HybridRetriever(embedder, PgVectorIndex(pool), keywords, PostgresPassages(pool))
        scope = Scope(corpus.tenant_id, (corpus.kb_id,))
        ours: list[float] = []
        theirs: list[float] = []
        for question in questions[: WARM_UP + arguments.questions]:
            started = time.perf_counter()
            await retriever.retrieve(scope, question)
            ours.append((time.perf_counter() - started) * 1000)
            started = time.perf_counter()
            await asyncio.to_thread(pipeline, question)
            theirs.append((time.perf_counter() - started) * 1000)
    report(len(texts), ours[WARM_UP:], theirs[WARM_UP:])


def report(chunks: int, ours: list[float], theirs: list[float]) -> None:
    """The table and the ratio of the medians."""
    print(f"{chunks} chunks, {len(ours)} questions in turns, load average {os.getloadavg()[0]:.1f}\n")
    rows = [
        [name, *(f"{value:.1f}" for value in percentiles(times))]
        for name, times in (("ours", ours), ("haystack", theirs))
    ]
    print(table(["question path, ms", "p50", "p95"], rows))
    print(f"\nhaystack takes {np.median(theirs) / np.median(ours):.1f} times as long (p50)")


def build_haystack(
    embedder: Embedder, texts: list[str], vectors: Vectors, loop: asyncio.AbstractEventLoop
) -> Callable[[str], Any]:
    """The pipeline, as a function of the question; to be called outside the event loop."""
    from haystack import Document, Pipeline, component  # noqa: PLC0415
    from haystack.components.joiners import DocumentJoiner  # noqa: PLC0415
    from haystack.components.retrievers.in_memory import (  # noqa: PLC0415
        InMemoryBM25Retriever,
        InMemoryEmbeddingRetriever,
    )
    from haystack.document_stores.in_memory import InMemoryDocumentStore  # noqa: PLC0415

    @component
    class QueryEmbedder:
        """Our embedder as a haystack component."""

        @component.output_types(embedding=list[float])  # type: ignore[untyped-decorator]
        def run(self, text: str) -> dict[str, list[float]]:
            waiting = asyncio.run_coroutine_threadsafe(embedder.embed([text], "query"), loop)
            return {"embedding": waiting.result()[0].tolist()}

    store = InMemoryDocumentStore(bm25_tokenization_regex=r"\S+", embedding_similarity_function="dot_product")
    store.write_documents(
        [
            Document(id=str(number), content=cut(text), embedding=vector.tolist(), meta={"text": text})
            for number, (text, vector) in enumerate(zip(texts, vectors, strict=True))
        ]
    )
    pipeline = Pipeline()
    pipeline.add_component("embedder", QueryEmbedder())
    pipeline.add_component("bm25", InMemoryBM25Retriever(store, top_k=SETTINGS.candidates))
    pipeline.add_component("dense", InMemoryEmbeddingRetriever(store, top_k=SETTINGS.candidates))
    pipeline.add_component("joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=SETTINGS.top_k))
    pipeline.connect("embedder.embedding", "dense.query_embedding")
    pipeline.connect("bm25", "joiner")
    pipeline.connect("dense", "joiner")

    def ask(question: str) -> Any:
        return pipeline.run({"embedder": {"text": question}, "bm25": {"query": cut(question)}})

    return ask


def cut(text: str) -> str:
    """Words with spaces between, for a tokenizer that splits at them."""
    return " ".join(analyse(text).words)


if __name__ == "__main__":
    main()
