"""What every replica must forget, in the order in which it was committed."""

from typing import Literal
from uuid import UUID

from voicehelper.stores.postgres.pool import Connection
from voicehelper.stores.postgres.wakeups import IDENTITY, notify

ChangeKind = Literal["session", "user", "key", "role", "tenant", "signing_key"]

LEAST_S = 2 * 3600
"""A change is kept at least so long: longer than anything remembered of it in any cache."""


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
    await conn.execute(
        "INSERT INTO identity_changes (tenant_id, kind, subject, expires_at)"
        " VALUES ($1, $2, $3, now() + make_interval(secs => $4))",
        tenant_id,
        kind,
        str(subject),
        float(max(expires_in_s, LEAST_S)),
    )
    await notify(conn, IDENTITY)
