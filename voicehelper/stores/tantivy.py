"""Keyword search on tantivy: one index folder on this machine, one writing process, any number of reading ones.

Text is analysed by us (`voicehelper.retrieval.analysis`) and handed over in ready terms; tantivy counts and ranks them.
Tenant and knowledge base are filtered inside the engine. The index holds no text and can always be rebuilt.
"""

import asyncio
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from uuid import UUID

import tantivy
from tantivy import Occur, Query

from voicehelper.errors import Unavailable
from voicehelper.knowledge.model import KeywordChunk
from voicehelper.ports.search import Hit, Scope
from voicehelper.retrieval.analysis import Terms, analyse
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

LAYOUT = "v1"
"""Subfolder of the index. Change it whenever the schema or the analysis changes: the follower then rebuilds."""

FIELDS = ("words", "bigrams", "chars")
"""Views of a text (`Terms`); their BM25 scores are added. docs/retrieval.md has the figures of other mixtures."""

MAX_QUERY_TERMS = 128
"""Distinct terms used per field; the rest of an overlong query is ignored."""

_HEAP_BYTES = 32_000_000
_K1_PLUS_1 = 2.2  # tantivy's k1 is 1.2
_IDS = ("chunk_id", "document_id", "tenant_id", "kb_id", "kind")


class WriterBusy(Unavailable):
    """Another process writes to the index."""

    default_message = "The keyword index is being written by another process"


class KeywordWriter:
    """The one writer of an index.

    Changes become visible to readers, and durable, with `commit`. A commit stores the caller's position (`applied_seq`)
    in the same atomic step as the changes; after a kill the index is as of the last commit, and applying the changes
    since then again gives the same index. A missing or unreadable index is started anew, with `applied_seq` 0.
    """

    def __init__(self, folder: Path) -> None:
        """Open for writing. Raises `WriterBusy`, and `Unavailable` when the folder cannot be written."""
        path = folder / LAYOUT
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._index = _open_or_create(path)
            self._writer = _lock(self._index)
        except OSError as error:
            raise Unavailable(f"The keyword index cannot be written: {error.strerror}") from error
        self._schema = self._index.schema
        self._applied_seq = _read_applied_seq(self._index)

    @property
    def applied_seq(self) -> int:
        """The position given to the last commit; 0 for a new index: then every live document must be added."""
        return self._applied_seq

    @property
    def rebuild_needed(self) -> bool:
        """No commit with a position yet. Until a rebuild is complete, commit its parts with position 0."""
        return self._applied_seq == 0

    def replace_document(self, tenant_id: UUID, kb_id: UUID, document_id: UUID, chunks: Sequence[KeywordChunk]) -> None:
        """Make `chunks` all that is found of the document."""
        self.delete_document(document_id)
        for chunk in chunks:
            self._writer.add_document(_document(tenant_id, kb_id, document_id, chunk))

    def delete_document(self, document_id: UUID) -> None:
        """Remove the document's chunks, if any."""
        self._writer.delete_documents_by_term("document_id", document_id.hex)

    def clear(self) -> None:
        """Remove everything, for a rebuild; the position becomes 0 with the next commit."""
        self._writer.delete_all_documents()

    def commit(self, applied_seq: int) -> None:
        """Publish the changes since the last commit and the position they bring the index to. Takes about 30-60 ms."""
        self._writer.delete_documents_by_term("kind", "position")
        position = tantivy.Document(kind="position")
        position.add_unsigned("applied_seq", applied_seq)
        self._writer.add_document(position)
        self._writer.commit()
        self._applied_seq = applied_seq

    def close(self) -> None:
        """Drop uncommitted changes, finish merges and release the lock."""
        self._writer.rollback()
        self._writer.wait_merging_threads()


class TantivyKeywordIndex:
    """`KeywordIndex` on an index folder that this or another process writes; sees a commit with the next search.

    A hit's score is the share of the query the chunk covers, 0 to 1: BM25 summed over the fields, divided by its limit
    for a chunk that holds every term of the query again and again.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LAYOUT
        self._stamp: tuple[int, int] | None = None
        self._index: tantivy.Index | None = None

    async def search(self, scope: Scope, query: str, k: int, also: Sequence[UUID] = ()) -> list[Hit]:
        """See `KeywordIndex`. Raises `Unavailable` when there is no readable index (the indexer rebuilds it)."""
        index = self._current()
        terms = _query_terms(analyse(query))
        if not terms or not scope.kb_ids:
            return []
        try:
            return await asyncio.to_thread(_search, index, scope, terms, k, also)
        except (ValueError, OSError) as error:
            self._index = None
            raise Unavailable("The keyword index cannot be read") from error

    def check(self) -> int:
        """Chunks in the index, all tenants. Raises `Unavailable` as `search` does."""
        return max(0, int(self._current().searcher().num_docs) - 1)

    def _current(self) -> tantivy.Index:
        """The index as of its last commit: its meta file is replaced by every commit, so one `stat` tells."""
        try:
            stat = (self._path / "meta.json").stat()
            if self._index is None or self._stamp != (stat.st_ino, stat.st_mtime_ns):
                self._index = tantivy.Index.open(str(self._path))
                self._stamp = (stat.st_ino, stat.st_mtime_ns)
        except (ValueError, OSError) as error:
            self._index = None
            raise Unavailable("The keyword index is not there yet") from error
        return self._index


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for name in _IDS:
        builder.add_text_field(name, stored=name == "chunk_id", tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("applied_seq", stored=True)
    for name in FIELDS:
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="freq")
    return builder.build()


def _open_or_create(path: Path) -> tantivy.Index:
    try:
        return tantivy.Index.open(str(path))
    except ValueError as error:
        if any(path.iterdir()):
            log.warning("keyword.index_unreadable", error=str(error)[:200])
        _empty(path)
        return tantivy.Index(_schema(), path=str(path))


def _empty(path: Path) -> None:
    for entry in path.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif not entry.name.endswith(".lock"):
            entry.unlink()


def _lock(index: tantivy.Index) -> tantivy.IndexWriter:
    try:
        return index.writer(heap_size=_HEAP_BYTES, num_threads=1)
    except ValueError as error:
        if "LockBusy" in str(error):
            raise WriterBusy(retry_after=1.0) from error
        raise Unavailable("The keyword index cannot be written") from error


def _read_applied_seq(index: tantivy.Index) -> int:
    searcher = index.searcher()
    hits = searcher.search(Query.term_query(index.schema, "kind", "position"), 1, count=False).hits
    return int(searcher.doc(hits[0][1]).get_first("applied_seq") or 0) if hits else 0


def _document(tenant_id: UUID, kb_id: UUID, document_id: UUID, chunk: KeywordChunk) -> tantivy.Document:
    terms = analyse("\n".join((PurePath(chunk.document_name).stem, *chunk.heading, chunk.text)))
    return tantivy.Document(
        kind="chunk",
        chunk_id=chunk.chunk_id.hex,
        document_id=document_id.hex,
        tenant_id=tenant_id.hex,
        kb_id=kb_id.hex,
        words=" ".join(terms.words),
        bigrams=" ".join(terms.bigrams),
        chars=" ".join(terms.chars),
    )


def _query_terms(terms: Terms) -> dict[str, list[str]]:
    """Distinct terms by field, without empty fields."""
    views = {"words": terms.words, "bigrams": terms.bigrams, "chars": terms.chars}
    return {name: list(dict.fromkeys(view))[:MAX_QUERY_TERMS] for name, view in views.items() if view}


def _search(
    index: tantivy.Index, scope: Scope, terms: Mapping[str, Sequence[str]], k: int, also: Sequence[UUID]
) -> list[Hit]:
    searcher, schema = index.searcher(), index.schema
    scored = Query.boolean_query(
        [
            (Occur.Should, Query.term_query(schema, name, term, "freq"))
            for name, group in terms.items()
            for term in group
        ]
    )
    best = _ceiling(searcher, terms)
    within = _filter(schema, scope)
    found = []
    if k:
        found = searcher.search(Query.boolean_query([*within, (Occur.Must, scored)]), k, count=False).hits
    if also:
        ids = Query.term_set_query(schema, "chunk_id", [chunk_id.hex for chunk_id in also])
        named = [*within, (Occur.Must, scored), (Occur.Must, Query.const_score_query(ids, 0.0))]
        found = [*found, *searcher.search(Query.boolean_query(named), len(also), count=False).hits]
    hits = {UUID(searcher.doc(address).get_first("chunk_id")): score / best for score, address in found}
    return sorted((Hit(chunk_id, score) for chunk_id, score in hits.items()), key=lambda hit: -hit.score)


def _filter(schema: tantivy.Schema, scope: Scope) -> list[tuple[Occur, Query]]:
    tenant = Query.term_query(schema, "tenant_id", scope.tenant_id.hex, "basic")
    bases = Query.term_set_query(schema, "kb_id", [kb_id.hex for kb_id in scope.kb_ids])
    return [(Occur.Must, Query.const_score_query(query, 0.0)) for query in (tenant, bases)]


def _ceiling(searcher: tantivy.Searcher, terms: Mapping[str, Iterable[str]]) -> float:
    """The limit of the query's BM25 as term counts grow. Deleted chunks count until merged away, as in the engine."""
    idf_sum = 0.0
    for name, group in terms.items():
        for term in group:
            frequency = searcher.doc_freq(name, term)
            count = max(searcher.num_docs, frequency)
            idf_sum += math.log(1 + (count - frequency + 0.5) / (frequency + 0.5))
    return max(idf_sum * _K1_PLUS_1, 1e-9)
