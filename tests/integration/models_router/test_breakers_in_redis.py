"""The script holds the rules of `models.breaker`, to the millisecond; and histograms add up."""

import asyncio
import random
from collections.abc import Callable
from uuid import UUID

import pytest

from voicehelper.models.breaker import Rules
from voicehelper.models.breaker_events import Admit, Cool, Event, Lease, LocalBreakers, Look, Probed, Report
from voicehelper.models.latencies import SharedLatencies
from voicehelper.models.latency import bucket_of
from voicehelper.stores.breakers import RedisBreakers
from voicehelper.stores.latencies import RedisLatencies

RULES = Rules(rate=0.2, calls=10, window_ms=60_000, open_ms=30_000, trials=3, probe_failures=5, out_ms=300_000)
MODELS = [UUID(int=n) for n in range(1, 4)]

_KINDS: list[Callable[[random.Random], Event]] = [
    lambda dice: Report(dice.randrange(6), dice.randrange(4)),
    lambda dice: Report(dice.randrange(30), 0),
    lambda _: Admit(),
    lambda _: Admit(),
    lambda dice: Probed(dice.random() < 0.4),
    lambda dice: Cool(dice.randrange(20_000)),
    lambda dice: Lease(dice.randrange(60_000)),
    lambda _: Look(),
]


@pytest.mark.parametrize("seed", range(8))
async def test_the_script_does_what_the_rules_say(redis_url, seed):
    dice, now = random.Random(seed), 1_700_000_000_000
    shared, local = RedisBreakers(redis_url, RULES), LocalBreakers(RULES)
    try:
        for _ in range(400):
            now += dice.choice([0, 1, 700, 9_000, 31_000, 70_000])
            events = [(model_id, dice.choice(_KINDS)(dice)) for model_id in MODELS if dice.random() < 0.8]
            expected = [local.happen(model_id, event, now) for model_id, event in events]
            assert await shared.move(events, now) == expected, events
    finally:
        await shared.close()


async def test_nothing_happens_to_nobody(redis_url):
    shared = RedisBreakers(redis_url, RULES)
    assert await shared.move([]) == []


async def test_latencies_of_replicas_add_up(redis_url):
    stores = RedisLatencies(redis_url), RedisLatencies(redis_url)
    one, other = map(SharedLatencies, stores)
    model_id = MODELS[0]
    assert one.p95_ms(model_id) is None
    for ms in range(1, 21):
        (one if ms % 2 else other).record(model_id, ms * 10.0)
    await other.exchange()
    await one.exchange()
    assert one.p95_ms(model_id) == pytest.approx(190, rel=0.16)
    totals = await stores[0].add({model_id: {}, MODELS[1]: {}})
    assert sum(totals[model_id].values()) == 20
    assert totals[model_id][bucket_of(200.0)] >= 1
    assert totals[MODELS[1]] == {}
    await asyncio.gather(*(store.close() for store in stores))
