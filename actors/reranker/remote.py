"""Rerankers behind vendors' APIs.

No vendor's format has a light official SDK of its own. All take a bearer key and JSON, so the `openai` SDK's client
sends it (`client.post`, its way to endpoints that it has no method for): connections, headers and errors are the same
as for chat.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actors.chat.upstream import Upstream
from voicehelper.errors import ModelUnavailable

Body = Callable[[str, str, Sequence[str]], dict[str, Any]]


def cohere_body(model: str, query: str, texts: Sequence[str]) -> dict[str, Any]:
    """As Cohere, Jina, vLLM, Qianfan and DashScope's newer models take it."""
    return {"model": model, "query": query, "documents": list(texts), "top_n": len(texts)}


def dashscope_body(model: str, query: str, texts: Sequence[str]) -> dict[str, Any]:
    """As DashScope's own format has it."""
    parameters = {"return_documents": False, "top_n": len(texts)}
    return {"model": model, "input": {"query": query, "documents": list(texts)}, "parameters": parameters}


class RemoteReranker:
    """Implements `Reranker`. It never retries.

    Args:
        upstream: the endpoint.
        model: the remote model's name.
        body: writes the request.
    """

    def __init__(self, upstream: Upstream, model: str, body: Body = cohere_body) -> None:
        self._upstream = upstream
        self._model = model
        self._body = body

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """See `Reranker`."""
        if not texts:
            return []
        answer = await self._upstream.answer(self._body(self._model, query, texts))
        try:
            return _scores(answer, len(texts))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ModelUnavailable("The reranker sent something that is not a ranking") from error


def _scores(answer: Mapping[str, Any], count: int) -> list[float]:
    results = (answer.get("output") or answer)["results"]
    scores: dict[int, float] = {int(result["index"]): float(result["relevance_score"]) for result in results}
    if set(scores) != set(range(count)):
        raise ValueError("not every text has a score")
    return [scores[index] for index in range(count)]
