"""Many calls at once against a budget, over several replicas: never a micro-dollar over, and none lost."""

import asyncio
import random

import pytest

from voicehelper.errors import BudgetExceeded
from voicehelper.models.budgets import Limits, month_of
from voicehelper.models.model import Caller


@pytest.mark.parametrize("seed", range(5))
async def test_two_hundred_calls_at_a_cap_never_pass_it(world, answered, entry, seed: int) -> None:
    """Costs differ, some are settled below what was set aside: what is left of it serves others."""
    dice = random.Random(seed)
    cap = dice.randint(20_000, 60_000)
    tenant = await world.tenant(Limits(hard=cap))
    replicas = [await world.replica() for _ in range(3)]
    spent = refused = 0

    async def call(number: int) -> None:
        nonlocal spent, refused
        prompt, completion = dice.randint(1, 400), dice.randint(1, 400)
        cost = dice.randint(1, prompt + completion)
        budgets = replicas[number % 3].budgets
        try:
            reservation = await budgets.reserve(Caller(tenant), entry, prompt, completion)
        except BudgetExceeded as error:
            refused += 1
            assert error.details["budget"] == "tenant"
            return
        await asyncio.sleep(dice.random() * 0.05)
        spent += cost
        budgets.settle(reservation, answered(cost))

    for _ in range(2):
        await asyncio.gather(*(call(number) for number in range(200)))
    for replica in replicas:
        await replica.flush()
    used = (await world.counters.left(Caller(tenant), month_of(_now())))[0]
    assert used.spent == spent <= cap
    assert used.reserved == 0
    assert refused > 0
    await world.bring(tenant)
    assert await world.rows(tenant) == spent


async def test_exactly_as_many_as_fit_are_let_through(world, entry) -> None:
    tenant = await world.tenant(Limits(hard=1000))
    replicas = [await world.replica() for _ in range(4)]
    calls = (replicas[i % 4].budgets.reserve(Caller(tenant), entry, 5, 5) for i in range(200))
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(end, Exception) for end in ends) == 100
    assert all(isinstance(end, BudgetExceeded) for end in ends if isinstance(end, Exception))


def _now() -> int:
    import time

    return int(time.time() * 1_000_000)
