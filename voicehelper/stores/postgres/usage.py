"""`UsageReports` on the table `usage_ledger`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from voicehelper.models.usage_report import MOST_GROUPS, Group, UsageRow
from voicehelper.stores.postgres.guard import SYSTEM, connection
from voicehelper.stores.postgres.pool import Pool

_GROUPS: Final[dict[Group, str]] = {
    "user": "coalesce(user_id::text, '')",
    "key": "coalesce(key_id::text, '')",
    "model": "model",
    "provider": "provider",
    "feature": "feature",
    "outcome": "outcome",
    "day": "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}
_SUMS = """
count(*) AS calls, count(*) FILTER (WHERE outcome NOT IN ('answered', 'cancelled')) AS errors,
sum(prompt_tokens)::bigint AS prompt_tokens, sum(completion_tokens)::bigint AS completion_tokens,
sum(cached_tokens)::bigint AS cached_tokens, sum(reasoning_tokens)::bigint AS reasoning_tokens,
sum(cost_micros)::bigint AS cost_micros"""
_ORDER = f"GROUP BY 1 ORDER BY {{order}} LIMIT {MOST_GROUPS}"


class PostgresUsageReports:
    """`UsageReports`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def by(self, tenant_id: UUID, group: Group, start: datetime, end: datetime) -> Sequence[UsageRow]:
        """See `UsageReports`."""
        order = _ORDER.format(order="1" if group == "day" else "cost_micros DESC, calls DESC, 1")
        query = (
            f'SELECT {_GROUPS[group]} AS "group", {_SUMS} FROM usage_ledger'  # noqa: S608 - names of ours
            f" WHERE tenant_id = $1 AND at >= $2 AND at < $3 {order}"
        )
        async with connection(self._pool, tenant_id) as conn:
            return [UsageRow(**dict(row)) for row in await conn.fetch(query, tenant_id, start, end)]

    async def by_tenant(self, start: datetime, end: datetime) -> Sequence[UsageRow]:
        """See `UsageReports`."""
        query = (
            f'SELECT tenant_id::text AS "group", {_SUMS} FROM usage_ledger'  # noqa: S608
            f" WHERE at >= $1 AND at < $2 {_ORDER.format(order='cost_micros DESC, 1')}"
        )
        async with connection(self._pool, SYSTEM) as conn:
            return [UsageRow(**dict(row)) for row in await conn.fetch(query, start, end)]
