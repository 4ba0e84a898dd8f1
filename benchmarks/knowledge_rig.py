"""A folder of documents behind the real retriever, in one process.

Parsing, chunking, embedding, tantivy and fusion are the real ones; PostgreSQL's part (vectors, passages) is in memory.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np

from actors.embedder import build_embedder
from voicehelper.config import Settings
from voicehelper.documents.model import Chunk, ChunkLimits
from voicehelper.documents.pipeline import chunk_limits, prepare_document
from voicehelper.knowledge.model import KeywordChunk
from voicehelper.ports.embedder import Embedder, Vectors
from voicehelper.ports.search import Hit, Passage, Scope
from voicehelper.retrieval.hybrid import HybridRetriever
from voicehelper.stores.tantivy import KeywordWriter, TantivyKeywordIndex

TENANT = UUID(int=1)
KB = UUID(int=2)
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "voicehelper-bench"


class FakeVectorIndex:
    """Exact cosine search over an array: what pgvector does, without a database."""

    def __init__(self, ids: Sequence[UUID], vectors: Vectors) -> None:
        self._ids, self._vectors = list(ids), vectors

    async def search(self, scope: Scope, vector: Vectors, k: int, model: str, also: Sequence[UUID] = ()) -> list[Hit]:
        scores = self._vectors @ vector
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        wanted = set(also)
        return [Hit(self._ids[i], float(scores[i])) for n, i in enumerate(order) if n < k or self._ids[i] in wanted]


class FakePassageStore:
    """Passages in a dict."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.all = {passage.chunk_id: passage for passage in passages}

    async def fetch(self, scope: Scope, chunk_ids: Sequence[UUID]) -> list[Passage]:
        return [self.all[chunk_id] for chunk_id in chunk_ids if chunk_id in self.all]

    async def neighbours(self, scope: Scope, passage: Passage, before: int, after: int) -> list[Passage]:
        near = [other for other in self.all.values() if other.document_id == passage.document_id]
        span = range(passage.position - before, passage.position + after + 1)
        return [other for other in near if other.position in span and other.chunk_id != passage.chunk_id]


async def open_knowledge(folder: Path, settings: Settings) -> tuple[HybridRetriever, list[Passage], Embedder]:
    """The retriever over all files of `folder`. Vectors are cached by content between runs."""
    embedder = build_embedder(settings)
    passages: list[Passage] = []
    chunks: list[Chunk] = []
    for path in sorted(folder.iterdir()):  # noqa: ASYNC240 - a benchmark may block
        document = _prepare(path, chunk_limits(settings.indexing))
        document_id = uuid5(KB, path.name)
        for chunk in document:
            chunk_id = uuid5(document_id, str(chunk.position))
            passages.append(
                Passage(
                    chunk_id,
                    document_id,
                    KB,
                    path.name,
                    chunk.position,
                    chunk.page,
                    chunk.heading,
                    chunk.start,
                    chunk.end,
                    chunk.text,
                )
            )
        chunks += document
    vectors = await _vectors([chunk.embedding_text for chunk in chunks], embedder)
    return (
        HybridRetriever(
            embedder,
            FakeVectorIndex([passage.chunk_id for passage in passages], vectors),
            TantivyKeywordIndex(_keyword_index(passages)),
            FakePassageStore(passages),
            settings=settings.retrieval,
        ),
        passages,
        embedder,
    )


def _prepare(path: Path, limits: ChunkLimits) -> tuple[Chunk, ...]:
    counts: dict[str, int] = {}

    def count_tokens(texts: Sequence[str]) -> list[int]:
        return [counts.setdefault(text, max(1, round(len(text) * 0.75))) for text in texts]

    return prepare_document(path.read_bytes(), path.name, "", count_tokens=count_tokens, limits=limits).chunks


async def _vectors(texts: list[str], embedder: Embedder) -> Vectors:
    info = await embedder.describe()
    digest = hashlib.sha256("\0".join([info.model, *texts]).encode()).hexdigest()[:24]
    cached = CACHE / f"knowledge-{digest}.npy"
    if not cached.exists():
        batches = [await embedder.embed(texts[at : at + 32], "passage") for at in range(0, len(texts), 32)]
        cached.parent.mkdir(parents=True, exist_ok=True)
        np.save(cached, np.concatenate(batches))
    loaded: Vectors = np.load(cached)
    return loaded


def _keyword_index(passages: Sequence[Passage]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="vh-eval-"))
    writer = KeywordWriter(folder)
    for document_id in dict.fromkeys(passage.document_id for passage in passages):
        mine = [passage for passage in passages if passage.document_id == document_id]
        keyword = [KeywordChunk(p.chunk_id, p.heading, p.text, p.document_name) for p in mine]
        writer.replace_document(TENANT, KB, document_id, keyword)
    writer.commit(1)
    writer.close()
    return folder
