"""Knowledge bases and documents."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from voicehelper.gateway.multipart import UploadedFile
from voicehelper.gateway.params import Caller, Cursor, Limit, Wired, requires
from voicehelper.wire.common import Page
from voicehelper.wire.knowledge import BaseCreate, BaseView, DocumentState, DocumentStatusView, DocumentView

router = APIRouter(prefix="/knowledge", tags=["knowledge"])

_READ = [requires("knowledge:read")]
_WRITE = [requires("knowledge:write")]

_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


@router.post("/bases", status_code=201, summary="Create a knowledge base", dependencies=_WRITE)
async def create_base(body: BaseCreate, caller: Caller, services: Wired) -> BaseView:
    """409 when the tenant has one of this name."""
    base = await services.knowledge.create_base(caller.tenant_id, body.name, body.description)
    return BaseView.model_validate(base)


@router.get("/bases", summary="List knowledge bases, newest first", dependencies=_READ)
async def list_bases(caller: Caller, services: Wired, cursor: Cursor = None, limit: Limit = 50) -> Page[BaseView]:
    """A page of the tenant's bases."""
    page = await services.knowledge.list_bases(caller.tenant_id, cursor, limit)
    return Page(items=[BaseView.model_validate(base) for base in page.items], next_cursor=page.next_cursor)


@router.get("/bases/{kb_id}", summary="One knowledge base", dependencies=_READ)
async def get_base(kb_id: UUID, caller: Caller, services: Wired) -> BaseView:
    """With its numbers of documents and passages."""
    return BaseView.model_validate(await services.knowledge.get_base(caller.tenant_id, kb_id))


@router.delete(
    "/bases/{kb_id}", status_code=204, summary="Delete a knowledge base with all its documents", dependencies=_WRITE
)
async def delete_base(kb_id: UUID, caller: Caller, services: Wired) -> None:
    """Every trace of it, also in the indexes."""
    await services.knowledge.delete_base(caller.tenant_id, kb_id)


@router.post(
    "/bases/{kb_id}/documents",
    status_code=202,
    summary="Upload a document to be indexed",
    openapi_extra=_UPLOAD_BODY,
    dependencies=_WRITE,
)
async def upload_document(kb_id: UUID, request: Request, caller: Caller, services: Wired) -> DocumentView:
    """Stores the file and queues it; follow `status`. The same content under the same name changes nothing; other
    content becomes a new version, which replaces the old one for searchers once it is indexed."""
    file = await UploadedFile.open(request, services.http.max_upload_bytes)
    added = await services.knowledge.upload(caller.tenant_id, kb_id, file.name, file.content_type, file.chunks())
    return DocumentView.model_validate(added.document)


@router.get("/bases/{kb_id}/documents", summary="List documents, newest first", dependencies=_READ)
async def list_documents(  # noqa: PLR0917 - one argument per query parameter
    kb_id: UUID,
    caller: Caller,
    services: Wired,
    status: Annotated[DocumentState | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[DocumentView]:
    """A page of the base's documents, optionally of one state."""
    page = await services.knowledge.list_documents(caller.tenant_id, kb_id, cursor, limit, status)
    return Page(items=[DocumentView.model_validate(found) for found in page.items], next_cursor=page.next_cursor)


@router.get("/documents/{document_id}", summary="One document", dependencies=_READ)
async def get_document(document_id: UUID, caller: Caller, services: Wired) -> DocumentView:
    """With the state of its newest version."""
    return DocumentView.model_validate(await services.knowledge.get_document(caller.tenant_id, document_id))


@router.get("/documents/{document_id}/status", summary="How far indexing is", dependencies=_READ)
async def get_document_status(document_id: UUID, caller: Caller, services: Wired) -> DocumentStatusView:
    """What to poll after an upload: ends as `indexed` or `failed`."""
    document = await services.knowledge.get_document(caller.tenant_id, document_id)
    return DocumentStatusView.model_validate(document)


@router.delete("/documents/{document_id}", status_code=204, summary="Delete a document", dependencies=_WRITE)
async def delete_document(document_id: UUID, caller: Caller, services: Wired) -> None:
    """Every trace of it, also in the indexes."""
    await services.knowledge.delete_document(caller.tenant_id, document_id)
