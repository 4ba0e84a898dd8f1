"""Texts to vectors by name of the model: the instance's own, or one of the catalogue, whose cost is accounted for."""

import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from voicehelper.errors import ContextTooLong, InvalidInput, UnknownModel, VoiceHelperError
from voicehelper.models.model import Caller, ModelEntry, Reservation, Settlement
from voicehelper.models.ports import Budgets, Catalogue
from voicehelper.models.worst_case import most_text_tokens
from voicehelper.ports.chat import ChatUsage
from voicehelper.ports.embedder import Embedder, EmbedderInfo, EmbedKind, Vectors


class EmbeddingBackends(Protocol):
    """Turns entries into embedders that can be called."""

    def embedder(self, entry: ModelEntry) -> Embedder:
        """The model behind `entry`. Raises `ModelUnavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors as `Embedder` gives them, and what they took."""

    vectors: Vectors
    tokens: int


class Embeddings:
    """Embeds for a caller.

    Args:
        own: the instance's own model, free of charge, under the name `own_name`; None where this process cannot reach
            it.
        catalogue, backends, budgets: of the models of the catalogue; each may be missing, and with it what it gives.
    """

    def __init__(
        self,
        own: Embedder | None,
        own_name: str,
        catalogue: Catalogue | None = None,
        backends: EmbeddingBackends | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        self._own = own
        self.own_name = own_name if own is not None else ""
        self._catalogue = catalogue
        self._backends = backends
        self._budgets = budgets

    async def embed(
        self, caller: Caller, model: str, texts: Sequence[str], kind: EmbedKind, dimensions: int | None = None
    ) -> Embedded:
        """One vector for each text, in their order.

        Raises `UnknownModel`, `ContextTooLong` for a text that is too long, `InvalidInput` for dimensions that the
        model has not, what `Budgets.reserve` raises, `ModelUnavailable` and `Overloaded`.
        """
        entry = None if model == self.own_name else self._entry(caller, model)
        embedder = self._embedder(entry, model)
        info = await embedder.describe()
        if dimensions is not None and dimensions != info.dimensions:
            raise InvalidInput(f"{model} has {info.dimensions} dimensions", {"param": "dimensions"})
        counts = await embedder.count_tokens(texts)
        _check_lengths(counts, info)
        tokens = sum(counts)
        if entry is None or self._budgets is None:
            return Embedded(await embedder.embed(texts, kind), tokens)
        reservation = await self._budgets.reserve(caller, entry, most_text_tokens(texts), 0)
        return await _paid(self._budgets, reservation, entry, embedder.embed(texts, kind), tokens)

    def _entry(self, caller: Caller, model: str) -> ModelEntry:
        entry = None if self._catalogue is None else self._catalogue.of(caller.tenant_id).get(model)
        if entry is None or entry.kind != "embedding":
            raise UnknownModel(details={"model": model, "param": "model"})
        return entry

    def _embedder(self, entry: ModelEntry | None, model: str) -> Embedder:
        if entry is None and self._own is not None:
            return self._own
        if entry is None or self._backends is None:
            raise UnknownModel(details={"model": model, "param": "model"})
        return self._backends.embedder(entry)


def _check_lengths(counts: Sequence[int], info: EmbedderInfo) -> None:
    longest = max(counts, default=0)
    if longest > info.max_tokens:
        facts = {"param": "input", "tokens": longest, "limit_tokens": info.max_tokens}
        raise ContextTooLong(f"A text of {longest} tokens; {info.model} reads {info.max_tokens}", facts)


async def _paid(
    budgets: Budgets, reservation: Reservation, entry: ModelEntry, work: Awaitable[Vectors], tokens: int
) -> Embedded:
    usage = ChatUsage(prompt_tokens=tokens)
    started, spent, cost, outcome = time.perf_counter(), ChatUsage(), 0, "cancelled"
    try:
        vectors = await work
        spent, cost, outcome = usage, entry.price.cost(usage), "answered"
    except VoiceHelperError as error:
        outcome = str(error.code)
        raise
    finally:
        ms = (time.perf_counter() - started) * 1000
        # The tokens are counted by us: the port gives vectors alone.
        budgets.settle(reservation, Settlement(spent, cost, outcome, ms, estimated=cost > 0))
    if cost:
        await budgets.recorded(reservation)
    return Embedded(vectors, tokens)
