"""What the knowledge capability hands around: bases, documents, versions at work, chunks with their vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from voicehelper.documents.model import Chunk
from voicehelper.ports.embedder import Vectors

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A slice of a list, newest first; `next_cursor` is None on the last one."""

    items: tuple[T, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class KnowledgeBase:
    """A knowledge base. `documents` counts names in any state, `chunks` what searchers see."""

    id: UUID
    tenant_id: UUID
    name: str
    description: str
    documents: int
    chunks: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Document:
    """A name within a knowledge base, with the state of its newest version.

    Attributes:
        status: `pending`, `processing`, `indexed` or `failed`.
        reason: stable word of a failure (`documents.model.FailureReason`), else empty.
        error: the failure in one line for people, else empty.
        live: whether searchers see a version of it (an older one while a newer is pending or failed).
    """

    id: UUID
    tenant_id: UUID
    kb_id: UUID
    name: str
    version_id: UUID
    status: str
    reason: str
    error: str
    chunk_count: int
    page_count: int | None
    attempts: int
    content_type: str
    size_bytes: int
    sha256: str
    live: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewVersion:
    """Content that lies in the object store and is to become the newest version of `name`."""

    tenant_id: UUID
    kb_id: UUID
    name: str
    content_type: str
    version_id: UUID
    object_key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Added:
    """Result of adding a version; `created` is False when the same content was already there."""

    document: Document
    created: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A version one worker has the lease of. `attempts` counts this one."""

    version_id: UUID
    document_id: UUID
    tenant_id: UUID
    kb_id: UUID
    name: str
    content_type: str
    object_key: str
    attempts: int


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document parsed and cut."""

    chunks: tuple[Chunk, ...]
    page_count: int | None = None


@dataclass(frozen=True, slots=True)
class EmbeddedDocument:
    """Chunks with their vectors, shape (len(chunks), dimensions), of the vector space `model`."""

    chunks: Sequence[Chunk]
    vectors: Vectors
    model: str
    page_count: int | None = None


@dataclass(frozen=True, slots=True)
class KeywordChunk:
    """A passage as the keyword index takes it."""

    chunk_id: UUID
    heading: tuple[str, ...]
    text: str
    document_name: str


@dataclass(frozen=True, slots=True)
class LiveDocument:
    """All live chunks of a document; none when it is gone."""

    tenant_id: UUID
    kb_id: UUID
    document_id: UUID
    chunks: tuple[KeywordChunk, ...]


@dataclass(frozen=True, slots=True)
class KeywordChange:
    """A document whose live chunks changed; `seq` follows the order of commits."""

    seq: int
    tenant_id: UUID
    kb_id: UUID
    document_id: UUID


@dataclass(frozen=True, slots=True)
class FollowerState:
    """What the database knows about one keyword index: its last report (None: never seen) and the newest change."""

    reported: int | None
    head: int
