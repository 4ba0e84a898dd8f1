"""Knowledge bases and their documents."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from voicehelper.wire.common import Body, Line, Paragraph, View

DocumentState = Literal["pending", "processing", "indexed", "failed"]


class BaseCreate(Body):
    """A new knowledge base; its name is unique within the tenant."""

    name: Line
    description: Paragraph = ""


class BaseView(View):
    """A knowledge base."""

    id: UUID
    name: str
    description: str
    documents: int = Field(description="Documents in it, in any state")
    chunks: int = Field(description="Passages that searchers see")
    created_at: datetime


class DocumentStatusView(View):
    """How far indexing is. A failure has a stable word (`reason`) and a line for people (`error`)."""

    id: UUID
    status: DocumentState
    reason: str = ""
    error: str = ""
    chunk_count: int = 0
    attempts: int = 0


class DocumentView(DocumentStatusView):
    """A document: a name within a knowledge base, with the state of its newest version."""

    kb_id: UUID
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    page_count: int | None = None
    live: bool = Field(description="Whether searchers see a version of it, perhaps an older one")
    created_at: datetime
    updated_at: datetime
