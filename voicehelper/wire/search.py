"""Retrieval laid open, for debugging."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from voicehelper.wire.common import Body, Line, Question, View


class SearchRequest(Body):
    """A query against some knowledge bases (ids or names); none given searches all of the tenant's."""

    query: Question
    knowledge_bases: Annotated[list[Line], Field(max_length=50)] = Field(default_factory=list)
    top_k: int | None = Field(None, ge=1, le=50)


class PassageView(View):
    """A passage found, with the score each stage gave it."""

    chunk_id: UUID
    document_id: UUID
    kb_id: UUID
    document_name: str
    position: int
    page: int | None
    heading: list[str]
    text: str
    score: float
    scores: dict[str, float]


class SearchView(View):
    """Passages, best first."""

    passages: list[PassageView]
    degraded: list[str]
    timings_ms: dict[str, float]
