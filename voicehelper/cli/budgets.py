"""`voicehelper budgets`: whether counters and ledger agree, and what was spent. Needs the engines, not the API."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar, cast, get_args
from uuid import UUID

import typer

from voicehelper.config import Settings
from voicehelper.errors import VoiceHelperError
from voicehelper.models.budgets import month_of, month_span, months_before
from voicehelper.models.reconcile import MonthCheck, TenantCheck, check
from voicehelper.models.usage_report import Group, UsageRow
from voicehelper.stores.budget_counters import RedisCounters
from voicehelper.stores.postgres.ledger import PostgresLedger
from voicehelper.stores.postgres.migrate import migrate
from voicehelper.stores.postgres.pool import Pool, create_pool
from voicehelper.stores.postgres.usage import PostgresUsageReports
from voicehelper.stores.redis import connect_redis

T = TypeVar("T")
_Tenant = typer.Option(None, "--tenant", help="Id of one tenant; all of them if left out")
_Month = typer.Option(None, "--month", help="2026-11; UTC")


def register(app: typer.Typer) -> None:
    """Add the `budgets` group to the command line."""
    budgets = typer.Typer(help="Money: what was spent, and whether the books agree.", no_args_is_help=True)
    budgets.command("reconcile")(reconcile)
    budgets.command("report")(report)
    app.add_typer(budgets, name="budgets")


def reconcile(
    tenant: str | None = _Tenant,
    month: str | None = _Month,
    fix: bool = typer.Option(False, "--fix", help="Make the counters say what the ledger says"),
) -> None:
    """Compare counters with the ledger, to the micro-dollar, while calls go on. Exit status 1 where they differ (also
    where --fix has just made them agree)."""
    present = month_of(int(datetime.now(UTC).timestamp()) * 1_000_000)
    months = [_month(month)] if month else [months_before(present, 1), present]
    found = _run(_reconcile(Settings(), _tenant(tenant), months, fix))
    typer.echo(f"{'tenant':36} {'month':6} {'ledger':>16} {'stream':>12} {'counter':>16} {'difference':>10}")
    for one in found:
        for row in one.months:
            typer.echo(_line(row))
        for name, amount in one.held_wrong.items():
            typer.echo(f"  set aside for {name}: {amount:+d} micro-dollars wrong")
    wrong = sum(not one.right for one in found)
    typer.echo(f"{len(found)} tenants: {f'{wrong} differ' + (', corrected' if fix else '') if wrong else 'all agree'}")
    raise typer.Exit(1 if wrong else 0)


def report(
    tenant: str | None = _Tenant,
    month: str | None = _Month,
    by: str = typer.Option("model", "--by", help="user, key, model, provider, feature, day, outcome; with --tenant"),
) -> None:
    """Calls, tokens and cost of a month: by tenant, or of one tenant."""
    chosen = _month(month) if month else month_of(int(datetime.now(UTC).timestamp()) * 1_000_000)
    if by not in get_args(Group):
        raise typer.BadParameter(f"One of {', '.join(get_args(Group))}", param_hint="--by")
    rows = _run(_report(Settings(), _tenant(tenant), chosen, cast("Group", by)))
    typer.echo(f"{'':36} {'calls':>9} {'errors':>7} {'prompt':>12} {'completion':>12} {'USD':>14}")
    for row in rows:
        usd = f"{row.cost_micros // 1_000_000}.{row.cost_micros % 1_000_000:06}"
        tokens = f"{row.prompt_tokens:12} {row.completion_tokens:12}"
        typer.echo(f"{row.group or '-':36} {row.calls:9} {row.errors:7} {tokens} {usd:>14}")


def _line(row: MonthCheck) -> str:
    counter = "not open" if row.counter is None else str(row.counter)
    text = f"{row.tenant_id!s:36} {row.month:6} {row.ledger:16} {row.stream:12} {counter:>16} {row.difference:10}"
    others = {name: amount for name, amount in row.wrong.items() if name != "t"}
    return text + "".join(f"\n  {name}: {-amount:+d} micro-dollars" for name, amount in sorted(others.items()))


@asynccontextmanager
async def _engines(settings: Settings) -> AsyncIterator[tuple[Pool, RedisCounters]]:
    await migrate(settings.postgres_dsn())
    pool = await create_pool(settings.postgres_dsn(), max_size=2)
    link = connect_redis(settings.redis_dsn(), connections=2)
    counters = RedisCounters(settings.redis_dsn(), link)
    try:
        yield pool, counters
    finally:
        await counters.close()
        await link.close()
        await pool.close()


async def _reconcile(settings: Settings, tenant: UUID | None, months: list[str], fix: bool) -> list[TenantCheck]:
    async with _engines(settings) as (pool, counters):
        ledger = PostgresLedger(pool)
        tenants = [tenant] if tenant else await ledger.tenants()
        return [await check(counters, ledger, tenant_id, months, fix=fix) for tenant_id in tenants]


async def _report(settings: Settings, tenant: UUID | None, month: str, by: Group) -> Sequence[UsageRow]:
    async with _engines(settings) as (pool, _):
        reports = PostgresUsageReports(pool)
        if tenant is None:
            return await reports.by_tenant(*month_span(month))
        return await reports.by(tenant, by, *month_span(month))


def _run(work: Coroutine[None, None, T]) -> T:
    try:
        return asyncio.run(work)
    except VoiceHelperError as error:
        typer.echo(f"voicehelper budgets: {error}", err=True)
        raise typer.Exit(2) from error


def _tenant(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise typer.BadParameter("Not an id", param_hint="--tenant") from error


def _month(text: str) -> str:
    try:
        month = text.replace("-", "")
        month_span(month)
        return month
    except ValueError as error:
        raise typer.BadParameter("A month such as 2026-11", param_hint="--month") from error
