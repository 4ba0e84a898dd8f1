"""Budgets and the usage ledger of this process."""

from functools import partial

from deployments.engines import database, feed_pool, redis_link, wakeups
from deployments.wiring import Nodes
from voicehelper.gateway.budget_desk import BudgetDesk
from voicehelper.identity import Accounts
from voicehelper.identity.acts import Acts
from voicehelper.models.budget_view import LiveLimits
from voicehelper.models.ledger_relay import LedgerRelay
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.budget_counters import RedisCounters
from voicehelper.stores.budgets import RedisBudgets
from voicehelper.stores.postgres import guard
from voicehelper.stores.postgres.budgets import PostgresBudgetFeed, PostgresBudgets
from voicehelper.stores.postgres.ledger import PostgresLedger
from voicehelper.stores.postgres.usage import PostgresUsageReports


async def budget_keeper(nodes: Nodes) -> RedisBudgets:
    """The process's `Budgets`: follows the limits, settles in the background, brings the ledger into the table, and
    settles what is left when the process ends. Raises `Unavailable` while the database stays away."""

    async def make() -> RedisBudgets:
        settings, clock = nodes.settings, SystemClock()
        pool, link = await database(nodes), await redis_link(nodes)
        limits = LiveLimits(PostgresBudgetFeed(await feed_pool(nodes), await wakeups(nodes)), settings.models.refresh_s)
        await limits.refresh()
        counters, ledger = RedisCounters(settings.redis_dsn(), link), PostgresLedger(pool)
        nodes.resources.push_async_callback(counters.close)
        budgets = RedisBudgets(counters, ledger, limits, clock, settings.models.reservation_s)
        nodes.resources.push_async_callback(budgets.close)
        nodes.run("limits of budgets", limits.run())
        nodes.run("settling", budgets.settling.run())
        nodes.run("ledger relay", LedgerRelay(counters, ledger, clock).run())
        return budgets

    return await nodes.shared("budgets", make)


async def budget_desk(nodes: Nodes, accounts: Accounts) -> BudgetDesk:
    """For people to set limits, and to see what was used."""
    pool = await database(nodes)
    acts = Acts(accounts.audit, partial(guard.request_transaction, pool), SystemClock())
    return BudgetDesk(PostgresBudgets(pool), PostgresUsageReports(pool), await budget_keeper(nodes), acts)
