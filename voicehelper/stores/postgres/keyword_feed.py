"""Which documents' live chunks changed, in order of commit, and how far each keyword index has come.

A sequence hands out numbers in the order of inserts, not of commits: a reader that has applied 6 could never see the 5
of a transaction that commits later. So whoever inserts takes an advisory lock first, right before it commits.
(Reading only rows older than every running transaction needs no lock, but then any long transaction of the database,
such as building an index, would hold up all documents.)
"""

from collections.abc import Sequence
from uuid import UUID

from voicehelper.events.catalogue import DocumentIndexed
from voicehelper.knowledge.model import FollowerState, KeywordChange, KeywordChunk, LiveDocument
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.outbox import add_events
from voicehelper.stores.postgres.pool import Connection, Pool
from voicehelper.stores.postgres.wakeups import KEYWORD, Wakeups, notify

ALIVE_S = 15.0
"""A follower silent for longer is not waited for."""

FORGET_S = 86400.0
"""A follower silent for longer is forgotten; if it comes back it rebuilds its index."""

_FEED_LOCK = 0x6B6579776F7264  # "keyword"


async def record_changes(conn: Connection, tenant_id: UUID, kb_id: UUID, document_ids: Sequence[UUID]) -> int:
    """Note that these documents changed and return the newest change's `seq`. Call it right before the commit."""
    await conn.execute("SELECT pg_advisory_xact_lock($1)", _FEED_LOCK)
    seq = await conn.fetchval(
        "WITH added AS (INSERT INTO keyword_changes (tenant_id, kb_id, document_id)"
        " SELECT $1, $2, unnest($3::uuid[]) RETURNING seq) SELECT coalesce(max(seq), 0) FROM added",
        tenant_id,
        kb_id,
        list(document_ids),
    )
    await notify(conn, KEYWORD)
    return int(seq)


class PostgresKeywordFeed:
    """`knowledge.ports.KeywordFeed`."""

    def __init__(self, pool: Pool, wakeups: Wakeups) -> None:
        self._pool = pool
        self._wakeups = wakeups

    async def state(self, name: str) -> FollowerState:
        """See `KeywordFeed`."""
        async with connection(self._pool, SYSTEM) as conn:
            row = await conn.fetchrow(
                "SELECT (SELECT applied_seq FROM keyword_followers WHERE name = $1) AS reported,"
                " coalesce((SELECT max(seq) FROM keyword_changes), 0) AS head",
                name,
            )
        assert row is not None
        return FollowerState(row["reported"], row["head"])

    async def register(self, name: str) -> None:
        """See `KeywordFeed`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(
                "INSERT INTO keyword_followers (name, applied_seq, seen_at)"
                " VALUES ($1, 0, now() - make_interval(secs => $2)) ON CONFLICT (name)"
                " DO UPDATE SET applied_seq = 0, seen_at = excluded.seen_at",
                name,
                ALIVE_S,
            )

    async def changes(self, after: int, limit: int) -> list[KeywordChange]:
        """See `KeywordFeed`."""
        async with connection(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(
                "SELECT seq, tenant_id, kb_id, document_id FROM keyword_changes WHERE seq > $1 ORDER BY seq LIMIT $2",
                after,
                limit,
            )
        return [KeywordChange(*row.values()) for row in rows]

    async def live(self, document_ids: Sequence[UUID]) -> dict[UUID, LiveDocument]:
        """See `KeywordFeed`."""
        async with connection(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(
                "SELECT c.tenant_id, c.kb_id, c.document_id, c.id, c.heading, c.text, d.name"
                " FROM chunks c JOIN documents d ON d.id = c.document_id"
                " WHERE c.document_id = ANY($1::uuid[]) ORDER BY c.document_id, c.position",
                list(document_ids),
            )
        found: dict[UUID, LiveDocument] = {}
        chunks: dict[UUID, list[KeywordChunk]] = {}
        for row in rows:
            chunks.setdefault(row["document_id"], []).append(
                KeywordChunk(row["id"], tuple(row["heading"]), row["text"], row["name"])
            )
            found[row["document_id"]] = LiveDocument(row["tenant_id"], row["kb_id"], row["document_id"], ())
        return {id_: LiveDocument(item.tenant_id, item.kb_id, id_, tuple(chunks[id_])) for id_, item in found.items()}

    async def all_live(self, after: UUID | None, limit: int) -> list[UUID]:
        """See `KeywordFeed`."""
        async with connection(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(
                "SELECT id FROM documents WHERE live_version_id IS NOT NULL AND ($1::uuid IS NULL OR id > $1)"
                " ORDER BY id LIMIT $2",
                after,
                limit,
            )
        return [row["id"] for row in rows]

    async def report(self, name: str, applied_seq: int) -> int:
        """See `KeywordFeed`."""
        async with transaction(self._pool, SYSTEM) as conn:
            await conn.execute(
                "INSERT INTO keyword_followers (name, applied_seq) VALUES ($1, $2)"
                " ON CONFLICT (name) DO UPDATE SET applied_seq = excluded.applied_seq, seen_at = now()",
                name,
                applied_seq,
            )
            return await _finish(conn)

    async def prune(self) -> None:
        """See `KeywordFeed`. The newest change stays, as the head new indexes start from."""
        async with transaction(self._pool, SYSTEM) as conn:
            await conn.execute(
                "DELETE FROM keyword_followers WHERE seen_at < now() - make_interval(secs => $1)", FORGET_S
            )
            await conn.execute(
                "DELETE FROM keyword_changes WHERE seq <= (SELECT min(applied_seq) FROM keyword_followers)"
                " AND seq < (SELECT max(seq) FROM keyword_changes)"
            )

    async def anyone_alive(self) -> bool:
        """Whether some follower reported lately."""
        async with connection(self._pool, SYSTEM) as conn:
            return bool(
                await conn.fetchval(
                    "SELECT EXISTS (SELECT 1 FROM keyword_followers WHERE seen_at > now() - make_interval(secs => $1))",
                    ALIVE_S,
                )
            )

    async def wait(self, timeout: float) -> None:
        """See `KeywordFeed`."""
        await self._wakeups.wait(KEYWORD, timeout)


async def _finish(conn: Connection) -> int:
    """Mark stored versions that every running index covers as indexed, each with its event."""
    rows = await conn.fetch(
        """
        WITH covered AS (
            SELECT min(applied_seq) AS seq FROM keyword_followers WHERE seen_at > now() - make_interval(secs => $1)
        )
        UPDATE document_versions v SET status = 'indexed', finished_at = now() FROM covered
        WHERE v.status = 'processing' AND v.keyword_seq <= covered.seq
        RETURNING v.id AS version_id, v.tenant_id, v.kb_id, v.document_id, v.chunk_count,
                  greatest(0, extract(epoch FROM now() - v.created_at))::float8 AS elapsed_s
        """,
        ALIVE_S,
    )
    await add_events(conn, [(row.pop("tenant_id"), DocumentIndexed(**row)) for row in map(dict, rows)])
    return len(rows)
