"""`BudgetStore` and `BudgetFeed` on the table `budgets`."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from voicehelper.errors import Conflict, NotFound, VersionConflict
from voicehelper.ids import new_id
from voicehelper.models.budgets import Budget, Limits, SubjectKind
from voicehelper.stores.postgres.feeds import PostgresTableFeed, mark_of
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.pool import Connection, Pool
from voicehelper.stores.postgres.wakeups import BUDGETS, notify

_BUDGET = (
    "id, tenant_id, kind, subject_id, hard_micros, soft_micros, tokens_per_minute, version, created_at, updated_at"
)
_PAGE = f"""
SELECT {_BUDGET} FROM budgets WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2)
ORDER BY id DESC LIMIT $3"""  # noqa: S608 - constants
_GET = f"SELECT {_BUDGET} FROM budgets WHERE tenant_id = $1 AND id = $2"  # noqa: S608
_ADD = f"""
INSERT INTO budgets (id, tenant_id, kind, subject_id, hard_micros, soft_micros, tokens_per_minute)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_BUDGET}"""  # noqa: S608
_CHANGE = f"""
UPDATE budgets SET hard_micros = $3, soft_micros = $4, tokens_per_minute = $5, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 RETURNING {_BUDGET}"""  # noqa: S608
_REMOVE = f"DELETE FROM budgets WHERE tenant_id = $1 AND id = $2 RETURNING {_BUDGET}"  # noqa: S608
_SUBJECTS = {
    "user": "SELECT true FROM users WHERE tenant_id = $1 AND id = $2 AND erased_at IS NULL FOR SHARE",
    "key": "SELECT true FROM api_keys WHERE tenant_id = $1 AND id = $2 FOR SHARE",
}
# Whatever wrote a row, `xmin` says so; no order of commits matters.
_EVERYTHING = f"SELECT {_BUDGET} FROM budgets"  # noqa: S608


class PostgresBudgets:
    """`BudgetStore`; replicas learn of changes at once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def all(self, tenant_id: UUID, before: UUID | None, limit: int) -> Sequence[Budget]:
        """See `BudgetStore`."""
        async with connection(self._pool, tenant_id) as conn:
            return [_budget(row) for row in await conn.fetch(_PAGE, tenant_id, before, limit)]

    async def get(self, tenant_id: UUID, budget_id: UUID) -> Budget:
        """See `BudgetStore`."""
        async with connection(self._pool, tenant_id) as conn:
            return _found(await conn.fetchrow(_GET, tenant_id, budget_id))

    async def add(self, tenant_id: UUID, kind: SubjectKind, subject_id: UUID | None, limits: Limits) -> Budget:
        """See `BudgetStore`."""
        values = (new_id(), tenant_id, kind, subject_id, limits.hard, limits.soft, limits.tokens)
        try:
            async with transaction(self._pool, tenant_id) as conn:
                await _check_subject(conn, tenant_id, kind, subject_id)
                row = await conn.fetchrow(_ADD, *values)
                await notify(conn, BUDGETS)
        except asyncpg.UniqueViolationError as error:
            raise Conflict("There is a budget for this already") from error
        return _found(row)

    async def change(self, tenant_id: UUID, budget_id: UUID, version: int, limits: Limits) -> Budget:
        """See `BudgetStore`."""
        async with transaction(self._pool, tenant_id) as conn:
            present = _found(await conn.fetchrow(f"{_GET} FOR UPDATE", tenant_id, budget_id))
            if present.version != version:
                raise VersionConflict(details={"version": present.version})
            row = await conn.fetchrow(_CHANGE, tenant_id, budget_id, limits.hard, limits.soft, limits.tokens)
            await notify(conn, BUDGETS)
        return _found(row)

    async def remove(self, tenant_id: UUID, budget_id: UUID) -> Budget:
        """See `BudgetStore`."""
        async with transaction(self._pool, tenant_id) as conn:
            gone = _found(await conn.fetchrow(_REMOVE, tenant_id, budget_id))
            await notify(conn, BUDGETS)
        return gone


class PostgresBudgetFeed(PostgresTableFeed):
    """`TableFeed` of the table `budgets`, for the system."""

    statement = mark_of("budgets")
    channel = BUDGETS

    async def rows(self) -> Sequence[Budget]:
        """See `TableFeed`."""
        async with connection(self._pool, SYSTEM) as conn:
            return [_budget(row) for row in await conn.fetch(_EVERYTHING)]


async def _check_subject(conn: Connection, tenant_id: UUID, kind: SubjectKind, subject_id: UUID | None) -> None:
    if subject_id is not None and not await conn.fetchval(_SUBJECTS[kind], tenant_id, subject_id):
        raise NotFound(f"No such {kind}")


def _found(row: asyncpg.Record | None) -> Budget:
    if row is None:
        raise NotFound
    return _budget(row)


def _budget(row: asyncpg.Record) -> Budget:
    plain = dict(row)
    limits = Limits(plain.pop("hard_micros"), plain.pop("soft_micros"), plain.pop("tokens_per_minute"))
    return Budget(**plain, limits=limits)
