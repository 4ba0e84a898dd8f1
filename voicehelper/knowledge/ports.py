"""What the knowledge capability needs from the database and the keyword index; `voicehelper.stores` implements it.

Every method raises `Unavailable` when the engine behind it cannot be reached.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol
from uuid import UUID

from voicehelper.knowledge.model import (
    Added,
    Claim,
    Document,
    EmbeddedDocument,
    FollowerState,
    KeywordChange,
    KeywordChunk,
    KnowledgeBase,
    LiveDocument,
    NewVersion,
    Page,
    ReadDocument,
)
from voicehelper.ports.embedder import EmbedderInfo


class KnowledgeRepository(Protocol):
    """Bases and documents, filtered by tenant in every query."""

    async def create_base(self, tenant_id: UUID, name: str, description: str) -> KnowledgeBase:
        """Raises `Conflict` when the tenant has a base of this name."""
        ...

    async def get_base(self, tenant_id: UUID, kb_id: UUID) -> KnowledgeBase:
        """Raises `NotFound`."""
        ...

    async def find_base(self, tenant_id: UUID, name: str) -> KnowledgeBase | None:
        """The base of that name."""
        ...

    async def list_bases(self, tenant_id: UUID, after: UUID | None, limit: int) -> Page[KnowledgeBase]:
        """Newest first, those older than `after`."""
        ...

    async def delete_base(self, tenant_id: UUID, kb_id: UUID) -> list[str]:
        """Delete with all documents; returns the keys of the objects to delete. Raises `NotFound`."""
        ...

    async def add_version(self, new: NewVersion, owner: str = "", lease_s: float = 0) -> Added:
        """Make `new` the newest version: `pending`, or leased to `owner`. Same content: nothing, `created=False`.

        Raises:
            NotFound: no such base in this tenant.
            Unavailable: the registration of the object's key was swept meanwhile; upload again.
        """
        ...

    async def get_document(self, tenant_id: UUID, document_id: UUID) -> Document:
        """Raises `NotFound`."""
        ...

    async def find_document(self, tenant_id: UUID, kb_id: UUID, name: str) -> Document | None:
        """The document of that name."""
        ...

    async def list_documents(
        self, tenant_id: UUID, kb_id: UUID, after: UUID | None, limit: int, status: str | None = None
    ) -> Page[Document]:
        """Newest first, those older than `after`. Raises `NotFound` for an unknown base."""
        ...

    async def delete_document(self, tenant_id: UUID, document_id: UUID) -> list[str]:
        """Delete every trace; returns the keys of the objects to delete. Raises `NotFound`."""
        ...


class ObjectTrash(Protocol):
    """Keys of objects to delete, so that a crash leaves none behind."""

    async def register(self, key: str, after_s: float) -> None:
        """Have `key` deleted after `after_s` seconds, unless taken back."""
        ...

    async def forget(self, keys: Sequence[str]) -> None:
        """These objects are deleted."""
        ...

    async def sweep(self, delete: Callable[[str], Awaitable[None]], limit: int = 100) -> int:
        """Call `delete` for keys that are due and forget those that succeed; returns how many did."""
        ...


class IndexQueue(Protocol):
    """Versions to index, leased one by one."""

    async def prepare(self, info: EmbedderInfo) -> None:
        """Build what searching this vector space needs, if it is not there; may take minutes, hinders nobody."""
        ...

    async def claim(self, owner: str, lease_s: float, max_attempts: int) -> Claim | None:
        """Lease the next version: pending, or of another worker that fell silent."""
        ...

    async def take(self, version_id: UUID, owner: str, lease_s: float) -> Claim | None:
        """Lease this version, unless another holds it."""
        ...

    async def renew(self, owner: str, lease_s: float) -> set[UUID]:
        """Extend every lease of `owner`; returns the versions it still holds."""
        ...

    async def release(self, owner: str) -> None:
        """Give all leases of `owner` back, their attempts not counted."""
        ...

    async def store(self, owner: str, claim: Claim, content: EmbeddedDocument) -> bool:
        """Replace the document's live chunks in one transaction. False: the lease was lost, nothing changed."""
        ...

    async def fail(self, owner: str, claim: Claim, reason: str, error: str) -> bool:
        """Mark the version failed. False: the lease was lost, nothing changed."""
        ...

    async def bury(self, max_attempts: int) -> int:
        """Fail the versions whose workers died `max_attempts` times; returns how many."""
        ...

    async def length(self) -> int:
        """Versions waiting or at work."""
        ...

    async def wait(self, timeout: float) -> None:
        """Return when work may have arrived, at the latest after `timeout` seconds."""
        ...


class KeywordFeed(Protocol):
    """What keyword indexes have to apply, and how far each has come."""

    async def state(self, name: str) -> FollowerState:
        """Where index `name` stands."""
        ...

    async def register(self, name: str) -> None:
        """Index `name` is being built: keep all changes from now on, and do not wait for it."""
        ...

    async def changes(self, after: int, limit: int) -> list[KeywordChange]:
        """Changes with `seq > after` in order of commit."""
        ...

    async def live(self, document_ids: Sequence[UUID]) -> dict[UUID, LiveDocument]:
        """The live chunks of those documents that have any."""
        ...

    async def all_live(self, after: UUID | None, limit: int) -> list[UUID]:
        """Ids of documents with live chunks, ascending, above `after`."""
        ...

    async def report(self, name: str, applied_seq: int) -> int:
        """Index `name` has applied all up to `applied_seq`: mark what every running index covers as indexed.

        Returns how many versions became indexed.
        """
        ...

    async def prune(self) -> None:
        """Forget changes that every known index has applied."""
        ...

    async def wait(self, timeout: float) -> None:
        """Return when changes may have arrived, at the latest after `timeout` seconds."""
        ...


class KeywordWriter(Protocol):
    """The one writer of a keyword index. Synchronous: called in a thread."""

    @property
    def applied_seq(self) -> int:
        """What the last commit carried; 0 for a new index."""
        ...

    def clear(self) -> None:
        """Drop every entry (visible with the next commit)."""
        ...

    def replace_document(self, tenant_id: UUID, kb_id: UUID, document_id: UUID, chunks: Sequence[KeywordChunk]) -> None:
        """Put `chunks` in place of all entries of the document."""
        ...

    def delete_document(self, document_id: UUID) -> None:
        """Remove all entries of the document."""
        ...

    def commit(self, applied_seq: int) -> None:
        """Make all since the last commit durable and visible, together with `applied_seq`."""
        ...

    def close(self) -> None:
        """Give the writer's lock back; what was not committed is lost."""
        ...


class Inspector(Protocol):
    """A quick look at a file before it is accepted."""

    async def inspect(self, name: str, content_type: str, content: bytes | Path) -> None:
        """Raises `UnprocessableDocument` for what cannot be indexed, as far as milliseconds can tell."""
        ...


class NullInspector:
    """Accepts everything."""

    async def inspect(self, name: str, content_type: str, content: bytes | Path) -> None:
        """Nothing to say."""


class DocumentReader(Protocol):
    """From bytes to chunks."""

    async def read(self, name: str, content_type: str, data: bytes) -> ReadDocument:
        """Raises `UnprocessableDocument` with `details["reason"]`."""
        ...
