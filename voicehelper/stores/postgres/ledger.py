"""`models.ledger.Ledger` on the table `usage_ledger`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

import asyncpg

from voicehelper.errors import Unavailable
from voicehelper.events.catalogue import BudgetPassed
from voicehelper.models.budgets import month_span
from voicehelper.models.ledger import LedgerEntry, Notice, Streamed
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.outbox import add_events
from voicehelper.stores.postgres.pool import Connection, Pool

_LOCK: Final = 0x6C656467  # "ledg"; with the tenant, the lock of its ledger
_COLUMNS = (
    "feature, model, provider, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost_micros,"
    " reserved_micros, outcome, estimated, experiment, variant, ms, first_ms"
)
# Microseconds, not a float of seconds: nothing may be rounded into the next month. A user erased meanwhile has no name.
_WRITE = f"""
INSERT INTO usage_ledger (id, tenant_id, at, user_id, key_id, counted, {_COLUMNS})
SELECT r.id, r.tenant_id, 'epoch'::timestamptz + r.at_us * interval '1 microsecond',
       CASE WHEN u.id IS NULL THEN nullif(r.user_id, '')::uuid END,
       CASE WHEN u.id IS NULL THEN nullif(r.key_id, '')::uuid END, $2, {_COLUMNS}
FROM jsonb_to_recordset($1) AS r (id uuid, tenant_id uuid, at_us bigint, user_id text, key_id text, feature text,
    model text, provider text, prompt_tokens bigint, completion_tokens bigint, cached_tokens bigint,
    reasoning_tokens bigint, cost_micros bigint, reserved_micros bigint, outcome text, estimated boolean,
    experiment text, variant text, ms float8, first_ms float8)
LEFT JOIN users u ON u.id = nullif(r.user_id, '')::uuid AND u.erased_at IS NOT NULL"""  # noqa: S608 - constants
_TAKE = f"{_WRITE} ON CONFLICT (id) DO UPDATE SET counted = true WHERE NOT usage_ledger.counted RETURNING id"
_KEEP = f"{_WRITE} ON CONFLICT (id) DO NOTHING"
_SUMS = """
SELECT subject, sum(cost_micros)::bigint AS micros FROM (
    SELECT cost_micros, unnest(ARRAY['t', 'u:' || coalesce(user_id::text, ''), 'k:' || coalesce(key_id::text, '')])
        AS subject
    FROM usage_ledger WHERE tenant_id = $1 AND at >= $2 AND at < $3 AND counted) AS calls
GROUP BY subject"""
_UNCOUNTED = f"""
SELECT id, tenant_id, (extract(epoch FROM at) * 1000000)::bigint AS at_us, coalesce(user_id::text, '') AS user_id,
       coalesce(key_id::text, '') AS key_id, {_COLUMNS}
FROM usage_ledger WHERE tenant_id = $1 AND NOT counted ORDER BY id LIMIT $2"""  # noqa: S608
_GONE = """
SELECT subject FROM unnest($1::text[]) AS subjects (subject), substr(subject, 3) AS of (id)
WHERE starts_with(subject, 'u:') AND EXISTS (SELECT FROM users WHERE users.id::text = of.id AND erased_at IS NOT NULL)
   OR starts_with(subject, 'k:') AND NOT EXISTS (SELECT FROM api_keys WHERE api_keys.id::text = of.id)"""
_NOTICE = """
INSERT INTO budget_notices (tenant_id, month, subject, level, limit_micros) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING RETURNING true"""


class PostgresLedger:
    """`Ledger`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def turn(self, tenant_id: UUID, patience_s: float) -> AsyncIterator["PostgresLedgerTurn | None"]:
        """See `Ledger`."""
        async with transaction(self._pool, SYSTEM) as conn:
            locked = await _locked(conn, tenant_id, patience_s)
            yield PostgresLedgerTurn(conn, tenant_id) if locked else None

    async def write_uncounted(self, entries: Sequence[LedgerEntry]) -> None:
        """See `Ledger`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(_KEEP, [asdict(entry) for entry in entries], False)

    async def tenants_uncounted(self) -> Sequence[UUID]:
        """See `Ledger`."""
        async with connection(self._pool, SYSTEM) as conn:
            rows = await conn.fetch("SELECT DISTINCT tenant_id FROM usage_ledger WHERE NOT counted")
        return [row["tenant_id"] for row in rows]

    async def tenants(self) -> Sequence[UUID]:
        """See `Ledger`."""
        async with connection(self._pool, SYSTEM) as conn:
            return [row["id"] for row in await conn.fetch("SELECT id FROM tenants ORDER BY id")]


class PostgresLedgerTurn:
    """`LedgerTurn`, on a connection in a transaction that holds the tenant's lock."""

    def __init__(self, conn: Connection, tenant_id: UUID) -> None:
        self._conn = conn
        self._tenant_id = tenant_id

    async def take(self, streamed: Sequence[Streamed]) -> int:
        """See `LedgerTurn`."""
        # The same entry twice in one statement would be an error; it cannot be in the stream twice, but once is enough.
        entries = {item.entry.id: asdict(item.entry) for item in streamed if item.entry is not None}
        taken = await self._conn.fetch(_TAKE, list(entries.values()), True) if entries else []
        for item in streamed:
            if item.notice is not None:
                await self._tell(item.notice)
        return len(taken)

    async def sums(self, month: str) -> Mapping[str, int]:
        """See `LedgerTurn`."""
        rows = await self._conn.fetch(_SUMS, self._tenant_id, *month_span(month))
        return {row["subject"]: row["micros"] for row in rows}

    async def known(self, ids: Sequence[UUID]) -> set[UUID]:
        """See `LedgerTurn`."""
        rows = await self._conn.fetch("SELECT id FROM usage_ledger WHERE id = ANY ($1::uuid[]) AND counted", list(ids))
        return {row["id"] for row in rows}

    async def gone(self, subjects: Sequence[str]) -> set[str]:
        """See `LedgerTurn`."""
        rows = await self._conn.fetch(_GONE, [name for name in subjects if len(name) > 2])
        return {row["subject"] for row in rows}

    async def uncounted(self, limit: int) -> Sequence[LedgerEntry]:
        """See `LedgerTurn`."""
        return [_entry(row) for row in await self._conn.fetch(_UNCOUNTED, self._tenant_id, limit)]

    async def _tell(self, notice: Notice) -> None:
        arguments = (notice.tenant_id, notice.month, notice.subject, notice.level, notice.limit)
        if await self._conn.fetchval(_NOTICE, *arguments):
            await add_events(self._conn, [(notice.tenant_id, _fact(notice))])


async def _locked(conn: Connection, tenant_id: UUID, patience_s: float) -> bool:
    key = int.from_bytes(tenant_id.bytes[-4:], "big", signed=True)
    if not patience_s:
        return bool(await conn.fetchval("SELECT pg_try_advisory_xact_lock($1, $2)", _LOCK, key))
    await conn.execute(f"SET LOCAL lock_timeout = '{int(patience_s * 1000)}ms'")
    try:
        await conn.execute("SELECT pg_advisory_xact_lock($1, $2)", _LOCK, key)
    except asyncpg.LockNotAvailableError as error:
        raise Unavailable("The ledger of this tenant is busy") from error
    return True


def _fact(notice: Notice) -> BudgetPassed:
    kind, _, subject = notice.subject.partition(":")
    return BudgetPassed(
        kind={"t": "tenant", "u": "user", "k": "key"}[kind],
        subject_id=UUID(subject) if subject else None,
        level=notice.level,
        month=f"{notice.month[:4]}-{notice.month[4:]}",
        limit_micros=notice.limit,
        spent_micros=notice.spent,
    )


def _entry(row: asyncpg.Record) -> LedgerEntry:
    plain: dict[str, Any] = dict(row)
    return LedgerEntry(**plain)
