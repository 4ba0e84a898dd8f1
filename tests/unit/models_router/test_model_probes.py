"""Probing: who is probed, how often, and what comes of it."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from tests.unit.models_router.router_rig import DONE, ScriptedModel, entry
from voicehelper.errors import ModelUnavailable, Overloaded
from voicehelper.models.breaker import Phase, Rules
from voicehelper.models.breaker_events import Event, LocalBreakers, Report, View
from voicehelper.models.health import Prober
from voicehelper.models.model import LOCAL, ModelEntry, Price
from voicehelper.models.null import FakeBackends
from voicehelper.ports.clock import FakeClock

RULES = Rules(rate=0.2, calls=10, window_ms=60_000, open_ms=30_000, trials=3, probe_failures=5, out_ms=300_000)
FREE = {"price": Price()}


class Told:
    """`SharedBreakers`, with nobody to share with."""

    def __init__(self, clock: FakeClock) -> None:
        self.local = LocalBreakers(RULES, clock.now)
        self.trouble: set[UUID] = set()

    async def happen(self, events: Sequence[tuple[UUID, Event]]) -> Sequence[View]:
        return await self.local.move(events)

    def troubled(self) -> set[UUID]:
        return self.trouble


class Probing:
    def __init__(self, *entries: ModelEntry, **models: ScriptedModel) -> None:
        self.clock = FakeClock()
        self.told = Told(self.clock)
        self.models = {entry.name: models.get(entry.name, ScriptedModel(("p", DONE))) for entry in entries}
        self.prober = Prober(lambda: entries, FakeBackends(dict(self.models)), self.told, self.clock, 60.0)

    async def minutes(self, count: int) -> None:
        for _ in range(count):
            await self.prober.round()
            self.clock.time += 60.0

    def asked(self, name: str) -> int:
        return len(self.models[name].requests)


async def test_free_models_are_probed_each_minute_paid_ones_each_ten_by_one_token():
    probing = Probing(entry("free", **FREE), entry("paid"))
    await probing.minutes(20)
    assert (probing.asked("free"), probing.asked("paid")) == (20, 2)
    assert probing.models["paid"].requests[0].max_tokens == 1


async def test_what_is_called_is_not_probed():
    free = entry("free", **FREE)
    probing = Probing(free)
    await probing.told.happen([(free.id, Report(1, 0))])
    await probing.prober.round()
    assert probing.asked("free") == 0


async def test_engines_of_ours_and_embedders_are_not_probed_and_models_of_tenants_only_in_trouble():
    own = entry("own", tenant_id=UUID(int=5), **FREE)
    probing = Probing(
        entry("local", provider=LOCAL), entry("vllm", provider="vllm"), entry("embedder", kind="embedding"), own
    )
    await probing.minutes(2)
    assert [probing.asked(name) for name in probing.models] == [0, 0, 0, 0]
    probing.told.trouble = {own.id}
    await probing.minutes(1)
    assert probing.asked("own") == 1


@pytest.mark.parametrize("error", [ModelUnavailable(), KeyError("x")], ids=["unavailable", "crash"])
async def test_failures_in_a_row_put_it_out_and_an_answer_brings_it_back(error):
    down = entry("down")
    model = ScriptedModel(*[(error,)] * 6, (DONE,))
    probing = Probing(down, down=model)
    waits = []
    for _ in range(8):
        await probing.prober.round()
        (view,) = await probing.told.happen([(down.id, Report(0, 0))])
        waits.append(view.wait_s)
        probing.clock.time += 60.0
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4] == 300.0
    assert waits[5] == 300.0
    assert waits[6] == 0.0


async def test_a_model_that_was_changed_is_probed_at_once():
    entries = [entry("m")]
    probing = Probing(entries[0], m=ScriptedModel(*[(ModelUnavailable(),)] * 5, (DONE,)))
    probing.prober = Prober(
        lambda: entries, FakeBackends(dict(probing.models)), probing.told, probing.clock, probe_s=60.0
    )
    await probing.minutes(5)
    entries[0] = replace(entries[0], version=2)
    await probing.prober.round()
    (view,) = await probing.told.happen([(entries[0].id, Report(0, 0))])
    assert (probing.asked("m"), view.wait_s) == (6, 0.0)


async def test_a_busy_model_is_there():
    busy = entry("busy", **FREE)
    probing = Probing(busy, busy=ScriptedModel((Overloaded(),)))
    await probing.minutes(10)
    (view,) = await probing.told.happen([(busy.id, Report(0, 0))])
    assert (view.phase, view.wait_s, view.probes) == (Phase.CLOSED, 0.0, 0)
