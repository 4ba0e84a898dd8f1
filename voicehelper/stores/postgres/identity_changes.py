"""What every replica must forget, in the order in which it was committed."""

from collections.abc import Iterable
from uuid import UUID

from voicehelper.identity.feed import Change, ChangeKind
from voicehelper.stores.postgres.guard import SYSTEM, connection
from voicehelper.stores.postgres.pool import Connection, Pool
from voicehelper.stores.postgres.wakeups import IDENTITY, Wakeups, notify

LEAST_S = 2 * 3600
"""A change is kept at least so long: longer than anything remembered of it in any cache."""
_PATIENCE_S = 2.0  # a connection that hangs is given up, while another may still serve in time
_SLACK_S = 300.0  # for a token that was being signed meanwhile, and for clocks that differ


async def record_change(
    conn: Connection, kind: ChangeKind, tenant_id: UUID | None, subject: UUID | str, expires_in_s: float
) -> None:
    """Tell every replica, within a second of the commit of the transaction that `conn` is in.

    Write it in the transaction that makes the change, and be in one: the number that puts changes in order is given
    when it commits.

    Args:
        conn: within the transaction.
        kind, subject: what changed. Only `session` is final: tokens of this session id are refused from now on. Any
            other makes replicas read anew, before the next request, what they remember of it: `user`, `tenant`, `key`
            by id (they see that it is disabled, erased, expired or has other permissions), `role` by its name.
        tenant_id: whose; None for a signing key.
        expires_in_s: the longest that a token from before this change may still live, in seconds.
    """
    await record_changes(conn, kind, tenant_id, [subject], expires_in_s)


async def record_changes(
    conn: Connection, kind: ChangeKind, tenant_id: UUID | None, subjects: Iterable[UUID | str], expires_in_s: float
) -> None:
    """`record_change` for many subjects of one kind, in one statement."""
    await conn.execute(
        "INSERT INTO identity_changes (tenant_id, kind, subject, expires_at)"
        " SELECT $1, $2, subject, now() + make_interval(secs => $4) FROM unnest($3::text[]) AS subject",
        tenant_id,
        kind,
        [str(subject) for subject in subjects],
        float(max(expires_in_s + _SLACK_S, LEAST_S)),
    )
    await notify(conn, IDENTITY)


class PostgresIdentityChanges:
    """`identity.feed.IdentityChanges` on the table `identity_changes`."""

    def __init__(self, pool: Pool, wakeups: Wakeups) -> None:
        self._pool = pool
        self._wakeups = wakeups

    async def since(self, seq: int) -> list[Change]:
        """Changes after `seq`, in the order of their commits."""
        async with connection(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(
                "SELECT seq, kind, tenant_id, subject, extract(epoch FROM expires_at)::float8 AS expires_at"
                " FROM identity_changes WHERE seq > $1 AND expires_at > now() ORDER BY seq",
                seq,
                timeout=_PATIENCE_S,
            )
        return [Change(**dict(row)) for row in rows]

    async def wait(self, timeout: float) -> None:
        """Until a notification, or `timeout` seconds."""
        await self._wakeups.wait(IDENTITY, timeout)

    async def sweep(self) -> None:
        """Remove what expired a while ago: clocks of replicas differ."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute("DELETE FROM identity_changes WHERE expires_at < now() - interval '10 minutes'")
