"""One knowledge base's tantivy index: schema, documents, BM25.

Every knowledge base has an index of its own because BM25 lives on statistics of the whole index: in a shared one, the
lengths and vocabulary of other tenants' texts changed a tenant's results (DRCD recall@1 0.951 -> 0.911 beside two
other sets, see docs/retrieval.md), and told it something about them.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from uuid import UUID

import tantivy
from tantivy import Occur, Query

from voicehelper.knowledge.model import KeywordChunk
from voicehelper.ports.search import Hit
from voicehelper.retrieval.analysis import Terms, analyse

FIELDS = ("words", "bigrams", "chars")
"""Views of a text (`Terms`); their BM25 scores are added. docs/retrieval.md has the figures of other mixtures."""

MAX_QUERY_TERMS = 128
"""Distinct terms used per field; the rest of an overlong query is ignored."""

_HEAP_BYTES = 15_000_000  # the least tantivy takes
_K1_PLUS_1 = 2.2  # tantivy's k1 is 1.2
_META = "meta.json"
_OPEN_ATTEMPTS = 3

QueryTerms = Mapping[str, Sequence[str]]


class BaseWriter:
    """Changes one base's index. `ValueError` and `OSError` come out as they are."""

    def __init__(self, path: Path) -> None:
        """Open the index in folder `path`, or make it."""
        path.mkdir(parents=True, exist_ok=True)
        exists = (path / _META).exists()
        self._index = tantivy.Index.open(str(path)) if exists else tantivy.Index(_schema(), path=str(path))
        self._writer = self._index.writer(heap_size=_HEAP_BYTES, num_threads=1)

    def add(self, document_id: UUID, chunk: KeywordChunk) -> None:
        """One more entry."""
        terms = analyse("\n".join((PurePath(chunk.document_name).stem, *chunk.heading, chunk.text)))
        document = tantivy.Document(
            chunk_id=chunk.chunk_id.hex,
            document_id=document_id.hex,
            words=" ".join(terms.words),
            bigrams=" ".join(terms.bigrams),
            chars=" ".join(terms.chars),
        )
        self._writer.add_document(document)

    def delete(self, document_id: UUID) -> None:
        """Remove the document's entries."""
        self._writer.delete_documents_by_term("document_id", document_id.hex)

    def clear(self) -> None:
        """Remove all entries."""
        self._writer.delete_all_documents()

    def commit(self) -> int:
        """Publish, durably; returns the number of entries. Takes about 30-60 ms."""
        self._writer.commit()
        self._index.reload()
        return int(self._index.searcher().num_docs)

    def close(self) -> None:
        """Drop what is not committed, finish merges, release the files."""
        self._writer.rollback()
        self._writer.wait_merging_threads()


@dataclass(frozen=True, slots=True)
class BaseReader:
    """A base's index as of one commit; `stamp` tells commits apart."""

    index: tantivy.Index
    stamp: tuple[int, int]

    @classmethod
    def open(cls, path: Path, known: "BaseReader | None" = None) -> "BaseReader | None":
        """The current state of the index in folder `path` (`known` itself if that is it); None without an index.

        Every commit replaces the meta file, so one `stat` tells. Raises `ValueError` or `OSError` when it is damaged.
        """
        for attempt in itertools.count(1):
            try:
                stat = (path / _META).stat()
                stamp = (stat.st_ino, stat.st_mtime_ns)
                return (
                    known if known is not None and known.stamp == stamp else cls(tantivy.Index.open(str(path)), stamp)
                )
            except FileNotFoundError:
                return None
            except ValueError:  # damaged, or a commit removed a file between our reading of the meta file and of it
                if attempt == _OPEN_ATTEMPTS:
                    raise
        return None

    def count(self) -> int:
        """Entries."""
        return int(self.index.searcher().num_docs)

    def holds(self, document_id: UUID) -> bool:
        """Whether the document has entries (or had, until they are merged away)."""
        return bool(self.index.searcher().doc_freq("document_id", document_id.hex))

    def search(self, terms: QueryTerms, k: int, also: Sequence[UUID]) -> list[Hit]:
        """The `k` best entries, and those of `also` that match, scored as a share of the query's ceiling."""
        searcher, schema = self.index.searcher(), self.index.schema
        scored = Query.boolean_query(
            [
                (Occur.Should, Query.term_query(schema, name, term, "freq"))
                for name, group in terms.items()
                for term in group
            ]
        )
        found = searcher.search(scored, k, count=False).hits if k else []
        if also:
            ids = Query.term_set_query(schema, "chunk_id", [chunk_id.hex for chunk_id in also])
            named = [(Occur.Must, scored), (Occur.Must, Query.const_score_query(ids, 0.0))]
            found = [*found, *searcher.search(Query.boolean_query(named), len(also), count=False).hits]
        best = _ceiling(searcher, terms)
        return [Hit(UUID(searcher.doc(address).get_first("chunk_id")), score / best) for score, address in found]


def query_terms(terms: Terms) -> QueryTerms:
    """Distinct terms by field, without empty fields."""
    views = {"words": terms.words, "bigrams": terms.bigrams, "chars": terms.chars}
    return {name: list(dict.fromkeys(view))[:MAX_QUERY_TERMS] for name, view in views.items() if view}


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("chunk_id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("document_id", tokenizer_name="raw", index_option="basic")
    for name in FIELDS:
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="freq")
    return builder.build()


def _ceiling(searcher: tantivy.Searcher, terms: QueryTerms) -> float:
    """The limit of the query's BM25 as term counts grow. Deleted chunks count until merged away, as in the engine."""
    idf_sum = 0.0
    for name, group in terms.items():
        for term in group:
            frequency = searcher.doc_freq(name, term)
            count = max(searcher.num_docs, frequency)
            idf_sum += math.log(1 + (count - frequency + 0.5) / (frequency + 0.5))
    return max(idf_sum * _K1_PLUS_1, 1e-9)
