"""Vectors of the catalogue's models are reserved, settled and in the books; those of the instance's own are free."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.models_router.router_rig import FakeBudgets
from voicehelper.errors import BudgetExceeded, ContextTooLong, InvalidInput, ModelUnavailable, UnknownModel
from voicehelper.ids import new_id
from voicehelper.models.embeddings import Embeddings
from voicehelper.models.model import Caller, ModelEntry, Price
from voicehelper.models.worst_case import most_text_tokens
from voicehelper.ports.embedder import FakeEmbedder

CALLER = Caller(new_id(), feature="api")
PAID = ModelEntry(new_id(), "vendor", "openai", kind="embedding", price=Price(prompt=2_000_000))
CHAT = ModelEntry(new_id(), "talks", "openai")
TEXTS = ["退款多久到账", "hello"]


class FakeCatalogue:
    def of(self, _tenant: Any) -> dict[str, ModelEntry]:
        return {entry.name: entry for entry in (PAID, CHAT)}


class Vendor(FakeEmbedder):
    error: Exception | None = None

    async def embed(self, texts: Sequence[str], kind: Any) -> Any:
        if self.error is not None:
            raise self.error
        return await super().embed(texts, kind)


class FakeBackends:
    def __init__(self) -> None:
        self.vendor = Vendor(8)

    def embedder(self, _entry: ModelEntry) -> Vendor:
        return self.vendor


@pytest.fixture
def budgets() -> FakeBudgets:
    return FakeBudgets()


@pytest.fixture
def backends() -> FakeBackends:
    return FakeBackends()


@pytest.fixture
def embeddings(budgets, backends) -> Embeddings:
    return Embeddings(FakeEmbedder(4), "own", FakeCatalogue(), backends, budgets)


async def test_a_vendors_vectors_are_paid_and_in_the_books(embeddings, budgets, backends) -> None:
    got = await embeddings.embed(CALLER, "vendor", TEXTS, "passage")
    tokens = sum(await backends.vendor.count_tokens(TEXTS))
    assert (got.vectors.shape, got.tokens) == ((2, 8), tokens)
    ((reservation, settlements),) = ((budgets.reserved[id_], ends) for id_, ends in budgets.settled.items())
    assert reservation.micros == PAID.price.most(most_text_tokens(TEXTS), 0)
    assert [(end.outcome, end.cost_micros, end.estimated) for end in settlements] == [("answered", 2 * tokens, True)]
    assert budgets.recorded_calls == [reservation.id]


async def test_our_own_are_free(embeddings, budgets) -> None:
    assert (await embeddings.embed(CALLER, "own", TEXTS, "query")).vectors.shape == (2, 4)
    assert not budgets.reserved


async def test_what_fails_costs_nothing(embeddings, budgets, backends) -> None:
    backends.vendor.error = ModelUnavailable()
    with pytest.raises(ModelUnavailable):
        await embeddings.embed(CALLER, "vendor", TEXTS, "passage")
    assert budgets.ends == [("vendor", "50302", 0)]
    budgets.left = 1
    with pytest.raises(BudgetExceeded):
        await embeddings.embed(CALLER, "vendor", TEXTS, "passage")
    budgets.check()


async def test_what_cannot_be_embedded_is_refused_unpaid(embeddings, budgets) -> None:
    for model in ("nobody", "talks"):
        with pytest.raises(UnknownModel):
            await embeddings.embed(CALLER, model, TEXTS, "passage")
    with pytest.raises(InvalidInput):
        await embeddings.embed(CALLER, "vendor", TEXTS, "passage", dimensions=7)
    with pytest.raises(ContextTooLong):
        await embeddings.embed(CALLER, "vendor", ["长" * 600], "passage")
    assert not budgets.reserved
