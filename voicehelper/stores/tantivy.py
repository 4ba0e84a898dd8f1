"""Keyword search on tantivy: an index for each knowledge base, in one folder of this machine; one writing process, any
number of reading ones.

Below `<folder>/<LAYOUT>`, `<tenant>/<knowledge base>/` is a tantivy index and `position.json` says how far all of it
has come. Text is analysed by us (`voicehelper.retrieval.analysis`) and handed over in ready terms; tantivy counts and
ranks them. Nothing else is kept there, and all of it can be rebuilt.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import orjson

from voicehelper.errors import Unavailable
from voicehelper.knowledge.model import KeywordChunk
from voicehelper.ports.search import Hit, Scope
from voicehelper.retrieval.analysis import analyse
from voicehelper.stores.tantivy_base import BaseReader, BaseWriter, QueryTerms, query_terms
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

LAYOUT = "v1"
"""Subfolder of the index. Change it whenever the schema or the analysis changes: the follower then rebuilds."""

MAX_OPEN = 8
"""Bases kept open for writing between commits (about 20 MB each)."""

_POSITION = "position.json"


class WriterBusy(Unavailable):
    """Another process writes to the index."""

    default_message = "The keyword index is being written by another process"


class KeywordWriter:
    """The one writer of an index folder. Synchronous.

    Changes become visible to readers, and durable, with `commit`, which stores the caller's position (`applied_seq`)
    last: a killed writer may have published changes beyond its position, never the reverse, and applying changes again
    gives the same index. A new, damaged or incomplete index is started anew, with position 0.
    """

    def __init__(self, folder: Path) -> None:
        """Open for writing. Raises `WriterBusy`, and `Unavailable` when the folder cannot be written."""
        self._path = folder / LAYOUT
        self._open: dict[Path, BaseWriter] = {}
        self._changed: set[Path] = set()
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self._path / "writer.lock")
            self._readers = _Readers()
            self._applied_seq = self._recover()
        except OSError as error:
            raise Unavailable(f"The keyword index cannot be written: {error.strerror}") from error

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
        writer = self._writer(_base(self._path, tenant_id, kb_id))
        writer.delete(document_id)
        for chunk in chunks:
            writer.add(document_id, chunk)

    def delete_document(self, document_id: UUID) -> None:
        """Remove the document's entries, whichever base holds them (or was given them since the last commit)."""
        for path in _bases(self._path):
            if path in self._changed or self._holds(path, document_id):
                self._writer(path).delete(document_id)

    def clear(self) -> None:
        """Remove everything, for a rebuild; visible with the next commit."""
        for path in _bases(self._path):
            self._writer(path).clear()

    def commit(self, applied_seq: int) -> None:
        """Publish the changes since the last commit, then the position they bring the index to."""
        for path in sorted(self._changed):
            if self._open[path].commit() == 0:
                self._close(path)
                shutil.rmtree(path)
        self._changed.clear()
        _write_position(self._path, applied_seq)
        self._applied_seq = applied_seq
        for path in list(self._open)[:-MAX_OPEN]:
            self._close(path)

    def close(self) -> None:
        """Drop uncommitted changes, finish merges and release the lock."""
        for path in list(self._open):
            self._close(path)
        os.close(self._lock)

    def _writer(self, path: Path) -> BaseWriter:
        """The base's writer, moved to the recently used end of those that are open."""
        self._changed.add(path)
        try:
            self._open[path] = self._open.pop(path) if path in self._open else BaseWriter(path)
        except (ValueError, OSError) as error:
            raise self._damaged() from error
        return self._open[path]

    def _damaged(self) -> Unavailable:
        """The index broke under our hands: without a position, the next writer starts anew."""
        (self._path / _POSITION).unlink(missing_ok=True)
        return Unavailable("The keyword index is damaged")

    def _holds(self, path: Path, document_id: UUID) -> bool:
        try:
            reader = self._readers.get(path)
        except (ValueError, OSError) as error:
            raise self._damaged() from error
        return reader is not None and reader.holds(document_id)

    def _close(self, path: Path) -> None:
        self._open.pop(path).close()

    def _recover(self) -> int:
        """The position of a sound index; otherwise 0, with the folder emptied."""
        try:
            position = orjson.loads((self._path / _POSITION).read_bytes())
            for path in map(self._path.joinpath, position["bases"]):
                if self._readers.get(path) is None:
                    raise ValueError(f"{path.name} is missing")
            for path in _bases(self._path):
                self._readers.get(path)
            return int(position["applied_seq"])
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            if any(_bases(self._path)):
                log.warning("keyword.index_damaged", error=str(error)[:200])
            (self._path / _POSITION).unlink(missing_ok=True)
            for tenant in filter(Path.is_dir, list(self._path.iterdir())):
                shutil.rmtree(tenant)
            return 0


class TantivyKeywordIndex:
    """`KeywordIndex` on an index folder that this or another process writes; sees a commit with the next search.

    A hit's score is the share of the query the chunk covers, 0 to 1: BM25 summed over the fields, divided by its limit
    for a chunk that holds every term of the query again and again. So hits of several bases can be ranked together.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LAYOUT
        self._readers = _Readers()

    async def search(self, scope: Scope, query: str, k: int, also: Sequence[UUID] = ()) -> list[Hit]:
        """See `KeywordIndex`. Raises `Unavailable` when there is no readable index (the follower rebuilds it)."""
        self._require()
        terms = query_terms(analyse(query))
        return await asyncio.to_thread(self._search, scope, terms, k, also) if terms else []

    def check(self) -> int:
        """Chunks in the index, all tenants. Raises `Unavailable` as `search` does."""
        self._require()
        readers = map(self._reader, _bases(self._path))
        return sum(reader.count() for reader in readers if reader is not None)

    def _require(self) -> None:
        if not (self._path / _POSITION).exists():
            raise Unavailable("The keyword index is not there yet", retry_after=2.0)

    def _reader(self, path: Path) -> BaseReader | None:
        try:
            return self._readers.get(path)
        except (ValueError, OSError) as error:
            raise Unavailable("The keyword index cannot be read") from error

    def _search(self, scope: Scope, terms: QueryTerms, k: int, also: Sequence[UUID]) -> list[Hit]:
        hits: dict[UUID, Hit] = {}
        wanted = set(also)
        for kb_id in scope.kb_ids:
            reader = self._reader(_base(self._path, scope.tenant_id, kb_id))
            if reader is not None:
                hits.update((hit.chunk_id, hit) for hit in self._hits(reader, terms, k, also))
        ranked = sorted(hits.values(), key=lambda hit: (-hit.score, hit.chunk_id))
        return [hit for place, hit in enumerate(ranked) if place < k or hit.chunk_id in wanted]

    @staticmethod
    def _hits(reader: BaseReader, terms: QueryTerms, k: int, also: Sequence[UUID]) -> list[Hit]:
        try:
            return reader.search(terms, k, also)
        except (ValueError, OSError) as error:
            raise Unavailable("The keyword index cannot be read") from error


class _Readers:
    """Bases opened for reading, each as of its last commit."""

    def __init__(self) -> None:
        self._known: dict[Path, BaseReader] = {}

    def get(self, path: Path) -> BaseReader | None:
        """The base's reader; None where the base has no entries. Raises `ValueError`, `OSError` when damaged."""
        reader = BaseReader.open(path, self._known.pop(path, None))
        if reader is not None:
            self._known[path] = reader
        return reader


def _base(path: Path, tenant_id: UUID, kb_id: UUID) -> Path:
    return path / tenant_id.hex / kb_id.hex


def _bases(path: Path) -> list[Path]:
    return sorted(path.glob("*/*/"))


def _write_position(path: Path, applied_seq: int) -> None:
    """Replace the position in one step, on disk when it returns."""
    bases = [str(base.relative_to(path)) for base in _bases(path)]
    draft = path / f"{_POSITION}.new"
    with draft.open("wb") as file:
        file.write(orjson.dumps({"applied_seq": applied_seq, "bases": bases}))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path / _POSITION)


def _lock(file: Path) -> int:
    """Take the writer's lock, which ends with the process."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        with suppress(OSError):
            os.close(descriptor)
        raise WriterBusy(retry_after=1.0) from error
    return descriptor
