"""Retrieval laid open."""

from fastapi import APIRouter

from voicehelper.gateway.params import Caller, Wired, requires
from voicehelper.ports.search import Scope
from voicehelper.retrieval.model import Retrieved, ScoredPassage
from voicehelper.wire.search import PassageView, SearchRequest, SearchView

router = APIRouter(tags=["search"])


@router.post(
    "/search",
    summary="Search passages, with the scores of each stage",
    dependencies=[requires("knowledge:read")],
)
async def search(body: SearchRequest, caller: Caller, services: Wired) -> SearchView:
    """For debugging retrieval: what a question would find, why it ranks there, and what was degraded."""
    kb_ids = await services.scopes.resolve(caller.tenant_id, body.knowledge_bases)
    found = await services.retriever.retrieve(Scope(caller.tenant_id, kb_ids), body.query, body.top_k)
    return _view(found)


def _view(found: Retrieved) -> SearchView:
    return SearchView(
        passages=[_passage(passage) for passage in found.passages],
        degraded=list(found.degraded),
        timings_ms=found.timings_ms,
    )


def _passage(scored: ScoredPassage) -> PassageView:
    passage = scored.passage
    return PassageView(
        chunk_id=passage.chunk_id,
        document_id=passage.document_id,
        kb_id=passage.kb_id,
        document_name=passage.document_name,
        position=passage.position,
        page=passage.page,
        heading=list(passage.heading),
        text=passage.text,
        score=scored.score,
        scores=scored.scores,
    )
