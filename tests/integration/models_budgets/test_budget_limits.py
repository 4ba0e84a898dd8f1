"""Each limit, one by one, on a real Valkey and PostgreSQL."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from voicehelper.errors import BudgetExceeded, TokensLimited, Unavailable
from voicehelper.ids import new_id
from voicehelper.models.budgets import Limits, month_of
from voicehelper.models.ledger_relay import LedgerRelay
from voicehelper.models.model import Caller, ModelEntry, Settlement
from voicehelper.models.reconcile import check
from voicehelper.ports.chat import ChatUsage
from voicehelper.ports.clock import FakeClock, SystemClock
from voicehelper.stores.postgres.usage import PostgresUsageReports


def month_now() -> str:
    return month_of(int(time.time()) * 1_000_000)


async def test_all_or_nothing_over_tenant_user_and_key(world, entry) -> None:
    tenant = await world.tenant(Limits(hard=1000))
    user, other = await world.user(tenant), await world.user(tenant)
    await world.store.add(tenant, "user", None, Limits(hard=50))
    replica = await world.replica()
    await replica.budgets.reserve(Caller(tenant, user), entry, 20, 20)
    with pytest.raises(BudgetExceeded) as refused:
        await replica.budgets.reserve(Caller(tenant, user), entry, 20, 20)
    assert refused.value.details == {"budget": "user", "limit_micros": 50, "spent_micros": 0, "reserved_micros": 40}
    await replica.budgets.reserve(Caller(tenant, other), entry, 20, 20)
    used = await world.counters.left(Caller(tenant, user), month_now())
    assert [of.reserved for of in used] == [80, 40, 80]  # calls of no key: both


async def test_who_has_no_limit_asks_nobody(world, answered, entry) -> None:
    """Not Redis, which need not even be there; the row comes all the same."""
    tenant = await world.tenant()
    replica = await world.replica()
    await world.link.call(lambda client: client.script_flush())
    reservation = await replica.budgets.reserve(Caller(tenant), entry, 10**9, 10**9)
    assert (reservation.micros, reservation.tokens, reservation.soft) == (0, 0, False)
    assert await world.link.call(lambda client: client.keys("vh:*")) == []
    replica.budgets.settle(reservation, answered(7))
    await replica.flush()
    await world.bring(tenant)
    assert await world.rows(tenant) == 7
    row = await world.pool.fetchrow("SELECT * FROM usage_ledger")
    assert (row["model"], row["provider"], row["prompt_tokens"], row["counted"]) == ("m", "fake", 7, True)
    assert row["id"] == reservation.id and abs(row["at"].timestamp() - reservation.at) < 1e-5


async def test_what_costs_nothing_passes_a_used_up_budget(world, answered, entry) -> None:
    tenant = await world.tenant(Limits(hard=10, soft=5))
    replica = await world.replica()
    replica.budgets.settle(await replica.budgets.reserve(Caller(tenant), entry, 5, 5), answered(10))
    await replica.flush()
    with pytest.raises(BudgetExceeded):
        await replica.budgets.reserve(Caller(tenant), entry, 1, 0)
    free = ModelEntry(new_id(), "local", "local")
    assert (await replica.budgets.reserve(Caller(tenant), free, 10_000, 10_000)).micros == 0


async def test_over_the_soft_limit_it_is_said(world, answered, entry) -> None:
    tenant = await world.tenant(Limits(soft=100, hard=1000))
    replica = await world.replica()
    assert not (await replica.budgets.reserve(Caller(tenant), entry, 50, 50)).soft
    assert (await replica.budgets.reserve(Caller(tenant), entry, 1, 0)).soft


async def test_a_soft_limit_alone_refuses_nobody(world, entry) -> None:
    tenant = await world.tenant(Limits(soft=1))
    replica = await world.replica()
    assert (await replica.budgets.reserve(Caller(tenant), entry, 10**6, 10**6)).soft


async def test_tokens_a_minute_slide_and_are_corrected(world, entry) -> None:
    tenant = await world.tenant(Limits(tokens=1000))
    replica, caller = await world.replica(), Caller(tenant)
    replica.counters.now_ms = now = 1_793_000_000_000
    first = await replica.budgets.reserve(caller, entry, 900, 600)  # 300 + 600: bytes are not tokens
    assert first.tokens == 900
    with pytest.raises(TokensLimited) as refused:
        await replica.budgets.reserve(caller, entry, 300, 100)
    assert refused.value.details == {"limit": "tenant", "tokens_per_minute": 1000}
    assert refused.value.retry_after is not None and 55 < refused.value.retry_after <= 65
    replica.budgets.settle(first, Settlement(ChatUsage(200, 100), 300, "answered", 1.0))
    await replica.flush()
    second = await replica.budgets.reserve(caller, entry, 300, 500)
    with pytest.raises(TokensLimited):
        await replica.budgets.reserve(caller, entry, 300, 50)
    replica.counters.now_ms = now + 30_000
    await replica.budgets.reserve(caller, entry, 0, 100)
    replica.counters.now_ms = now + int(1000 * refused.value.retry_after)
    await replica.budgets.reserve(caller, entry, 0, 900)
    with pytest.raises(TokensLimited):
        await replica.budgets.reserve(caller, entry, 0, 1)
    assert second.tokens == 600


async def test_a_reservation_nobody_settles_is_given_back_and_a_late_end_still_counts(world, answered, entry) -> None:
    tenant = await world.tenant(Limits(hard=100))
    replica, caller = await world.replica(life_s=600.0), Caller(tenant)
    replica.counters.now_ms = now = 1_793_000_000_000
    crashed = await replica.budgets.reserve(caller, entry, 50, 50)
    with pytest.raises(BudgetExceeded):
        await replica.budgets.reserve(caller, entry, 1, 0)
    replica.counters.now_ms = now + 599_000
    with pytest.raises(BudgetExceeded):
        await replica.budgets.reserve(caller, entry, 1, 0)
    replica.counters.now_ms = now + 600_000
    again = await replica.budgets.reserve(caller, entry, 50, 50)
    replica.budgets.settle(crashed, answered(80))
    replica.budgets.settle(again, answered(10))
    await replica.flush()
    used = (await replica.counters.left(caller, month_now()))[0]
    assert (used.spent, used.reserved) == (90, 0)


async def test_settled_twice_counts_once(world, answered, entry) -> None:
    tenant = await world.tenant(Limits(hard=1000))
    first, second = await world.replica(), await world.replica()
    reservation = await first.budgets.reserve(Caller(tenant), entry, 50, 50)
    first.budgets.settle(reservation, answered(30))
    await first.flush()
    second.budgets.settle(reservation, answered(40))
    await second.flush()
    assert (await world.counters.left(Caller(tenant), month_now()))[0].spent == 30
    await world.bring(tenant)
    assert await world.rows(tenant) == 30


async def test_a_bill_above_its_reservation_counts_in_full_but_a_guess_does_not(world, entry) -> None:
    tenant = await world.tenant(Limits(hard=1000))
    replica = await world.replica()
    for estimated, spent in ((True, 100), (False, 100 + 130)):
        reservation = await replica.budgets.reserve(Caller(tenant), entry, 50, 50)
        settlement = Settlement(ChatUsage(60, 70), 130, "cancelled", 1.0, estimated=estimated)
        replica.budgets.settle(reservation, settlement)
        await replica.flush()
        assert (await world.counters.left(Caller(tenant), month_now()))[0].spent == spent


async def test_a_call_that_was_never_made_gives_back_and_leaves_no_row(world, entry) -> None:
    tenant = await world.tenant(Limits(hard=1000, tokens=1000))
    replica = await world.replica()
    reservation = await replica.budgets.reserve(Caller(tenant), entry, 50, 50)
    replica.budgets.settle(reservation, Settlement(ChatUsage(), 0, "released", 0.0))
    await asyncio.sleep(0.1)
    used = (await world.counters.left(Caller(tenant), month_now()))[0]
    assert (used.spent, used.reserved, used.tokens) == (0, 0, 0)
    assert await world.bring(tenant) == 0


async def test_a_caller_that_leaves_while_it_is_asked_blocks_no_money(world, entry) -> None:
    tenant = await world.tenant(Limits(hard=100_000))
    replica = await world.replica()
    await replica.budgets.reserve(Caller(tenant), entry, 0, 1)  # opens the month
    for _ in range(50):
        task = asyncio.create_task(replica.budgets.reserve(Caller(tenant), entry, 50, 50))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0.3)
    assert (await world.counters.left(Caller(tenant), month_now()))[0].reserved == 1


async def test_a_call_counts_in_the_month_it_was_reserved_in(world, answered, entry) -> None:
    tenant = await world.tenant(Limits(hard=100))
    clock = FakeClock(datetime(2026, 10, 31, 23, 59, 59, 999_999, UTC).timestamp())
    replica = await world.replica(clock)
    late = await replica.budgets.reserve(Caller(tenant), entry, 50, 50)
    with pytest.raises(BudgetExceeded):
        await replica.budgets.reserve(Caller(tenant), entry, 1, 0)
    clock.time = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
    fresh = await replica.budgets.reserve(Caller(tenant), entry, 50, 50)
    replica.budgets.settle(late, answered(60))
    replica.budgets.settle(fresh, answered(70))
    await replica.flush()
    await world.bring(tenant)
    found = await check(world.counters, world.ledger, tenant, ["202610", "202611"])
    assert found.right
    assert [month.counter for month in found.months] == [month.ledger for month in found.months] == [60, 70]


async def test_limits_are_followed_and_hold_for_what_was_spent_before(world, answered, entry) -> None:
    tenant = await world.tenant()
    replica = await world.replica()
    following = asyncio.create_task(replica.limits.run())
    replica.budgets.settle(await replica.budgets.reserve(Caller(tenant), entry, 50, 50), answered(80))
    await replica.flush()
    budget = await world.store.add(tenant, "tenant", None, Limits(hard=100))
    async with asyncio.timeout(5):
        while not replica.limits.of(Caller(tenant))[0]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    with pytest.raises(BudgetExceeded) as refused:
        await replica.budgets.reserve(Caller(tenant), entry, 20, 1)
    assert refused.value.details["spent_micros"] == 80
    await world.store.remove(tenant, budget.id)
    async with asyncio.timeout(5):
        while replica.limits.of(Caller(tenant))[0]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    following.cancel()
    await replica.budgets.reserve(Caller(tenant), entry, 10**9, 1)


async def test_without_redis_the_limited_are_refused_and_the_others_served(world, entry) -> None:
    limited, free = await world.tenant(Limits(hard=100)), await world.tenant()
    replica = await world.replica()
    replica.budgets._counters._front._url = "redis://127.0.0.1:1/0"
    with pytest.raises(Unavailable):
        await replica.budgets.reserve(Caller(limited), entry, 1, 1)
    await replica.budgets.reserve(Caller(free), entry, 1, 1)


async def test_passing_a_limit_is_told_once_a_month_and_limit(world, answered, entry) -> None:
    tenant = await world.tenant(Limits(soft=50, hard=100))
    user = await world.user(tenant)
    replica = await world.replica()
    caller = Caller(tenant, user)
    for _ in range(2):
        replica.budgets.settle(await replica.budgets.reserve(caller, entry, 20, 20), answered(40))
        await replica.flush()
    for _ in range(3):
        with pytest.raises(BudgetExceeded):
            await replica.budgets.reserve(caller, entry, 20, 20)
    await world.bring(tenant)
    await world.link.call(lambda client: client.flushall())  # the marks are gone; the table knows
    with pytest.raises(BudgetExceeded):
        await replica.budgets.reserve(caller, entry, 20, 20)
    await world.bring(tenant)
    query = "SELECT payload FROM outbox WHERE tenant_id = $1 AND type = 'budget.passed' ORDER BY seq"
    told = [row["payload"] for row in await world.pool.fetch(query, tenant)]
    assert [(fact["level"], fact["kind"], fact["limit_micros"], fact["spent_micros"]) for fact in told] == [
        ("soft", "tenant", 50, 80),
        ("hard", "tenant", 100, 80),
    ]
    assert told[0]["month"] == f"{month_now()[:4]}-{month_now()[4:]}"


async def test_the_relay_finds_what_nobody_announced(world, answered, entry, until) -> None:
    tenant = await world.tenant(Limits(hard=1000))
    replica = await world.replica()
    replica.budgets.settle(await replica.budgets.reserve(Caller(tenant), entry, 5, 5), answered(10))
    await replica.flush()
    await world.link.call(lambda client: client.delete("vh:{budgets}:announced"))
    relay = asyncio.create_task(LedgerRelay(world.counters, world.ledger, SystemClock()).run())

    async def there() -> bool:
        return await world.rows(tenant) == 10

    await until(there)
    relay.cancel()


async def test_reconciling_finds_and_mends_what_somebody_broke(world, answered, entry) -> None:
    tenant = await world.tenant(Limits(hard=1000))
    replica, user = await world.replica(), await world.user(tenant)
    caller = Caller(tenant, user)
    replica.budgets.settle(await replica.budgets.reserve(caller, entry, 5, 5), answered(10))
    await replica.flush()
    await world.link.call(lambda client: client.hincrby(f"vh:{{{tenant}}}:budget:m:{month_now()}", f"u:{user}", 3))
    await world.link.call(lambda client: client.hincrby(f"vh:{{{tenant}}}:budget:reserved", f"{month_now()}|t", 9))
    found = await check(world.counters, world.ledger, tenant, [month_now()])
    assert found.months[0].difference == 0 and dict(found.months[0].wrong) == {f"u:{user}": -3}
    assert found.held_wrong == {f"{month_now()}|t": -9}
    assert not found.right
    await check(world.counters, world.ledger, tenant, [month_now()], fix=True)
    assert (await check(world.counters, world.ledger, tenant, [month_now()])).right


async def test_books_are_compared_while_calls_go_on(world, answered, entry) -> None:
    tenant = await world.tenant(Limits(hard=10**9))
    replicas = [await world.replica(relay=True) for _ in range(2)]
    over = asyncio.Event()

    async def call(number: int) -> None:
        while not over.is_set():
            budgets = replicas[number % 2].budgets
            budgets.settle(await budgets.reserve(Caller(tenant), entry, 5, 5), answered(number % 11))

    calls = [asyncio.create_task(call(number)) for number in range(12)]
    checked = 0
    for _ in range(30):
        found = await check(world.counters, world.ledger, tenant, [month_now()])
        assert found.right, found
        checked += found.months[0].counter or 0
        await asyncio.sleep(0.03)
    over.set()
    await asyncio.gather(*calls)
    assert checked > 0


async def test_reports_add_up_by_whatever_is_asked(world, answered, entry) -> None:
    tenant, other = await world.tenant(), await world.tenant()
    users, key = [await world.user(tenant) for _ in range(2)], str(new_id())
    replica = await world.replica()

    async def use(caller: Caller, cost: int, outcome: str = "answered") -> None:
        replica.budgets.settle(await replica.budgets.reserve(caller, entry, 9, 9), answered(cost, outcome))

    await use(Caller(tenant, users[0], key, "api"), 5)
    await use(Caller(tenant, users[0], "", "answer"), 7)
    await use(Caller(tenant, users[1], "", "answer"), 0, "50302")
    await use(Caller(other, "", "", "answer"), 1000)
    await replica.flush()
    for one in (tenant, other):
        await world.bring(one)
    reports = PostgresUsageReports(world.pool)
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
    by_user = await reports.by(tenant, "user", start, end)
    assert [(row.group, row.calls, row.errors, row.cost_micros) for row in by_user] == [
        (users[0], 2, 0, 12),
        (users[1], 1, 1, 0),
    ]
    for group, names in {
        "key": [key, ""],
        "feature": ["answer", "api"],
        "model": ["m"],
        "provider": ["fake"],
        "outcome": ["answered", "50302"],
    }.items():
        rows = await reports.by(tenant, group, start, end)
        assert sorted(row.group for row in rows) == sorted(names)
        assert sum(row.cost_micros for row in rows) == 12
        assert sum(row.calls for row in rows) == 3
    assert len(await reports.by(tenant, "day", start, end)) == 1
    totals = {row.group: row.cost_micros for row in await reports.by_tenant(start, end)}
    assert totals == {str(tenant): 12, str(other): 1000}
