"""What the second wall costs: acquire a connection in a scope, look one row up, give it back.

    python -m benchmarks.bench_scopes

asyncpg's own pool, which asks the server to reset every session, against ours: staying in a scope, changing tenant
every time, changing between tenant and system; then joining a request's transaction. Blocks of each take turns; the
quickest block counts, because anything else on the machine can only make it slower.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg

from benchmarks.report import table
from benchmarks.retrieval_rig import postgres_server
from voicehelper.ids import new_id
from voicehelper.stores.postgres import guard
from voicehelper.stores.postgres.pool import create_pool

BLOCKS, CALLS = 40, 100
QUERY = "SELECT name FROM tenants WHERE id = $1"
Call = Callable[[int], Awaitable[None]]


async def bench(url: str) -> None:
    """Print the table."""
    tenants = (new_id(), new_id())
    plain = await asyncpg.create_pool(url, min_size=1, max_size=1)
    pool = await create_pool(url, max_size=1)
    for tenant in tenants:
        await plain.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, str(tenant))

    async def reset(_n: int) -> None:
        async with plain.acquire() as conn:
            await conn.fetchval(QUERY, tenants[0])

    def scoped(*scopes: guard.Scope) -> Call:
        async def call(n: int) -> None:
            async with guard.connection(pool, scopes[n % len(scopes)]) as conn:
                await conn.fetchval(QUERY, tenants[0])

        return call

    async def joined(n: int) -> None:
        if n == 0:
            async with guard.request_transaction(pool, tenants[0]):
                for again in range(1, CALLS):
                    await scoped(tenants[0])(again)

    variants: dict[str, Call] = {
        "asyncpg's pool: RESET ALL at every release": reset,
        "the scope stays": scoped(tenants[0]),
        "another tenant every time": scoped(*tenants),
        "tenant and system in turn": scoped(tenants[0], guard.SYSTEM),
        "within a request's transaction: a savepoint": joined,
    }
    print(
        table(("one look-up", "microseconds"), [(what, f"{us:.0f}") for what, us in (await measure(variants)).items()])
    )
    await pool.close()
    await plain.close()


async def measure(variants: dict[str, Call]) -> dict[str, float]:
    """Microseconds a call, by variant."""
    best = dict.fromkeys(variants, float("inf"))
    for _ in range(BLOCKS):
        for what, call in variants.items():
            started = time.perf_counter()
            for n in range(CALLS):
                await call(n)
            best[what] = min(best[what], (time.perf_counter() - started) / CALLS * 1e6)
    return best


if __name__ == "__main__":
    with postgres_server() as server:
        asyncio.run(bench(server.url()))
