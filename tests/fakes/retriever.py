"""Retrievers without engines: one plays passages back, one searches them by characters' bigrams."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from voicehelper.ports.search import Passage, Scope
from voicehelper.rag.terms import Weights, content_terms
from voicehelper.retrieval.model import Retrieved, ScoredPassage

KB = UUID(int=7)


def passage(text: str, document: str = "doc.md", heading: tuple[str, ...] = (), page: int | None = None) -> Passage:
    return Passage(uuid4(), uuid4(), KB, document, 0, page, heading, 0, len(text), text)


class FakeRetriever:
    """Returns what it was given, and keeps the queries."""

    def __init__(self, passages: Sequence[Passage] = (), dense: float = 0.9, error: Exception | None = None) -> None:
        self.found = [ScoredPassage(p, dense - 0.01 * i, {"dense": dense - 0.01 * i}) for i, p in enumerate(passages)]
        self.queries: list[str] = []
        self.degraded: tuple[str, ...] = ()
        self.error = error

    async def retrieve(self, scope: Scope, query: str, top_k: int | None = None) -> Retrieved:
        self.queries.append(query)
        if self.error is not None:
            raise self.error
        return Retrieved(tuple(self.found), self.degraded, {"dense": 1.0})


class FakeBigramRetriever:
    """Weighted overlap of content terms over an in-memory list."""

    def __init__(self, passages: Sequence[Passage], top_k: int = 5) -> None:
        self.passages = list(passages)
        self.top_k = top_k
        self.terms = [content_terms(" ".join([p.document_name, *p.heading, p.text])) for p in self.passages]
        self.weights = Weights(self.terms)

    async def retrieve(self, scope: Scope, query: str, top_k: int | None = None) -> Retrieved:
        wanted = content_terms(query)
        scores = [self.weights.coverage(wanted, terms) for terms in self.terms]
        order = sorted(range(len(scores)), key=lambda i: -scores[i])[: top_k or self.top_k]
        return Retrieved(tuple(ScoredPassage(self.passages[i], scores[i], {"keyword": scores[i]}) for i in order))
