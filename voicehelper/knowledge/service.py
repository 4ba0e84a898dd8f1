"""What users do with knowledge: make bases, upload documents, look at them, delete them."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from uuid import UUID

from voicehelper.documents.formats import claimed_format
from voicehelper.documents.model import FailureReason
from voicehelper.effects import after_commit
from voicehelper.errors import EmptyFile, InvalidInput, NotFound, UnsupportedType, VoiceHelperError
from voicehelper.ids import new_id
from voicehelper.knowledge.model import Added, Document, KnowledgeBase, NewVersion, Page
from voicehelper.knowledge.names import base_name, document_name
from voicehelper.knowledge.ports import Inspector, KnowledgeRepository, NullInspector, ObjectTrash
from voicehelper.knowledge.receiving import Received
from voicehelper.ports.objects import LocalObjects, ObjectStore
from voicehelper.telemetry import get_logger, stage

log = get_logger(__name__)

UPLOAD_LIMIT_S = 3600.0
"""An upload that has not committed after this long is deleted as abandoned."""

MAX_PAGE = 200
STATUSES = ("pending", "processing", "indexed", "failed")


class KnowledgeService:
    """The use cases; every method acts within one tenant, and ids of others are `NotFound`."""

    def __init__(
        self,
        repository: KnowledgeRepository,
        trash: ObjectTrash,
        objects: ObjectStore,
        max_upload_bytes: int,
        inspector: Inspector | None = None,
    ) -> None:
        self._repository = repository
        self._trash = trash
        self._objects = objects
        self._max_upload_bytes = max_upload_bytes
        self._inspector = inspector or NullInspector()

    async def create_base(self, tenant_id: UUID, name: str, description: str = "") -> KnowledgeBase:
        """A new, empty base. Raises `Conflict` when the name is taken, `InvalidInput` for a bad name."""
        return await self._repository.create_base(tenant_id, base_name(name), description)

    async def get_base(self, tenant_id: UUID, kb_id: UUID) -> KnowledgeBase:
        """Raises `NotFound`."""
        return await self._repository.get_base(tenant_id, kb_id)

    async def list_bases(self, tenant_id: UUID, cursor: str | None = None, limit: int = 50) -> Page[KnowledgeBase]:
        """Newest first; `cursor` is the `next_cursor` of the page before. Raises `InvalidInput` for a bad cursor."""
        return await self._repository.list_bases(tenant_id, _cursor(cursor), _limit(limit))

    async def delete_base(self, tenant_id: UUID, kb_id: UUID) -> None:
        """Delete the base and every trace of its documents. Raises `NotFound`."""
        keys = await self._repository.delete_base(tenant_id, kb_id)
        await after_commit(partial(self._delete_objects, keys))
        log.info("knowledge_base.deleted", kb_id=kb_id)

    async def upload(
        self, tenant_id: UUID, kb_id: UUID, name: str, content_type: str, data: AsyncIterator[bytes]
    ) -> Added:
        """Store the file and queue it for indexing; durable when it returns.

        The same content as the newest version under that name changes nothing (`created=False`). Other content becomes
        the newest version; searchers see the old one until the new one is indexed.

        Raises:
            NotFound: no such base.
            InvalidInput, EmptyFile, UnsupportedType, PayloadTooLarge: the file is refused, nothing of it stays.
            UnprocessableDocument: so is one that the inspector finds broken; `details["reason"]` is a `FailureReason`.
            Unavailable: a store is down; what was written is deleted later.
        """
        name = document_name(name)
        if claimed_format(name, content_type) is None:
            reason = FailureReason.UNSUPPORTED.value
            raise UnsupportedType(details={"name": name, "content_type": content_type, "reason": reason})
        await self._repository.get_base(tenant_id, kb_id)
        version_id = new_id()
        key = object_key(tenant_id, kb_id, version_id)
        with stage("knowledge.upload"):
            size, digest = await self._put(key, name, content_type, data)
            added = await self._add(NewVersion(tenant_id, kb_id, name, content_type, version_id, key, size, digest))
        log.info("document.uploaded", document_id=added.document.id, size=size, created=added.created)
        return added

    async def get_document(self, tenant_id: UUID, document_id: UUID) -> Document:
        """The document with the state of its newest version. Raises `NotFound`."""
        return await self._repository.get_document(tenant_id, document_id)

    async def list_documents(
        self,
        tenant_id: UUID,
        kb_id: UUID,
        cursor: str | None = None,
        limit: int = 50,
        status: str | None = None,
    ) -> Page[Document]:
        """Newest first, optionally of one status. Raises `NotFound` and `InvalidInput`."""
        if status is not None and status not in STATUSES:
            raise InvalidInput("No such status", {"allowed": list(STATUSES)})
        return await self._repository.list_documents(tenant_id, kb_id, _cursor(cursor), _limit(limit), status)

    async def delete_document(self, tenant_id: UUID, document_id: UUID) -> None:
        """Delete every trace of the document. Raises `NotFound`."""
        keys = await self._repository.delete_document(tenant_id, document_id)
        await after_commit(partial(self._delete_objects, keys))
        log.info("document.deleted", document_id=document_id)

    async def _put(self, key: str, name: str, content_type: str, data: AsyncIterator[bytes]) -> tuple[int, str]:
        """Write the object, having made sure that it does not outlive a crash; returns its size and SHA-256.

        Removes it when it is refused.
        """
        local = self._objects if isinstance(self._objects, LocalObjects) else None
        await self._trash.register(key, UPLOAD_LIMIT_S)
        try:
            with Received(data, self._max_upload_bytes, keep=local is None) as received:
                await self._objects.put(key, received.read())
                if received.size == 0:
                    raise EmptyFile(details={"reason": FailureReason.EMPTY.value})
                content = local.local_path(key) if local else await received.copy()
                await self._inspector.inspect(name, content_type, content)
        except VoiceHelperError:
            await self._delete_objects([key])
            raise
        return received.size, received.digest.hexdigest()

    async def _add(self, new: NewVersion) -> Added:
        try:
            added = await self._repository.add_version(new)
        except NotFound:
            await self._delete_objects([new.object_key])
            raise
        if not added.created:
            await self._delete_objects([new.object_key])
        return added

    async def _delete_objects(self, keys: Sequence[str]) -> None:
        """Delete now what can be; the rest stays registered for the indexer's sweep."""
        try:
            for key in keys:
                await self._objects.delete(key)
            await self._trash.forget(keys)
        except (VoiceHelperError, OSError) as error:
            log.warning("objects.deletion_postponed", objects=len(keys), error=str(error))


def object_key(tenant_id: UUID, kb_id: UUID, version_id: UUID) -> str:
    """Where the content of a version lies in the object store."""
    return f"{tenant_id}/{kb_id}/{version_id}"


def _cursor(cursor: str | None) -> UUID | None:
    if not cursor:
        return None
    try:
        return UUID(cursor)
    except ValueError as error:
        raise InvalidInput("Not a cursor of ours") from error


def _limit(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(f"limit must lie between 1 and {MAX_PAGE}")
    return limit
