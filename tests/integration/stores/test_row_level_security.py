"""The second wall, on a real server: whatever a query forgets to filter, another tenant's rows stay out of reach.

The tables come from the catalogue: one that a later migration adds without its walls fails here.
"""

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from voicehelper.context import RequestContext, use_context
from voicehelper.errors import NotFound, Unavailable
from voicehelper.ids import new_id
from voicehelper.stores.postgres import guard
from voicehelper.stores.postgres.passages import _FETCH, _NEIGHBOURS
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.tenancy import SYSTEM_ROLE, TENANT_ROLE
from voicehelper.stores.postgres.vectors import _search_sql, ensure_vector_index

pytestmark = pytest.mark.filterwarnings("error")

A, B = UUID(int=0xA), UUID(int=0xB)

OF_NO_TENANT = {"keyword_followers", "signing_keys", "login_failures", "experiment_batches"}
"""Tables no tenant has anything to do with."""

NOT_CHANGED = {"audit_logs", "usage_ledger"}
NEVER_OURS = {"schema_migrations"}


async def tables(pool: Pool) -> set[str]:
    query = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    return {row["relname"] for row in await pool.fetch(query)} - NEVER_OURS


def row_of(table: str, tenant: UUID) -> dict[str, object]:
    """One row of `table` that belongs to `tenant`; ids are made of the tenant's, so that rows can name each other."""
    n = tenant.int * 0x1000
    user, base, document, version = (UUID(int=n + i) for i in range(1, 5))
    conversation, message, session = (UUID(int=n + i) for i in range(5, 8))
    own = {"tenant_id": tenant}
    rows: dict[str, dict[str, object]] = {
        "tenants": {"id": tenant, "name": f"t{n}"},
        "users": own | {"id": user, "email": f"u{n}@example.com", "password_hash": "x", "role": "owner"},
        "knowledge_bases": own | {"id": base, "name": "b"},
        "documents": own | {"id": document, "kb_id": base, "name": "d"},
        "document_versions": own
        | {"id": version, "kb_id": base, "document_id": document, "object_key": f"{tenant}/{base}/{version}"}
        | {"content_type": "text/plain", "size_bytes": 1, "sha256": "x"},
        "chunks": own
        | {"id": UUID(int=n + 8), "kb_id": base, "document_id": document, "version_id": version, "position": 0}
        | {"char_start": 0, "char_end": 1, "tokens": 1, "text": "x", "embedding_model": "m", "embedding": [1.0, 0.0]},
        "keyword_changes": own | {"kb_id": base, "document_id": document},
        "object_deletions": {"object_key": f"{tenant}/{base}/{version}"},
        "conversations": own | {"id": conversation, "user_id": user},
        "messages": own
        | {"id": message, "conversation_id": conversation, "seq": 1, "role": "assistant", "status": "completed"},
        "feedback": own | {"id": UUID(int=n + 9), "message_id": message, "user_id": user, "rating": "up"},
        "roles": own | {"name": "r", "permissions": []},
        "sessions": own | {"id": session, "user_id": user, "expires_at": "infinity"},
        "refresh_tokens": own | {"token_hash": tenant.bytes, "session_id": session},
        "api_keys": own
        | {"id": UUID(int=n + 10), "user_id": user, "name": "k", "secret_hash": b"x", "permissions": []},
        "identity_changes": own | {"kind": "user", "subject": str(user), "expires_at": "infinity"},
        "audit_logs": own | {"id": UUID(int=n + 11), "actor_kind": "user", "action": "x", "outcome": "success"},
        "idempotency_keys": own | {"actor_id": user, "key_hash": b"x", "fingerprint": b"x"},
        "outbox": own | {"id": UUID(int=n + 12), "type": "x", "payload": {}},
        "dead_letters": own
        | {"id": UUID(int=n + 13), "consumer": "c", "event_id": UUID(int=n + 12), "type": "x", "version": 1}
        | {"payload": {}, "occurred_at": "now", "attempts": 1, "error": "x"},
        "processed_events": own | {"consumer": "c", "event_id": UUID(int=n + 12)},
        "event_attempts": own | {"consumer": "c", "event_id": UUID(int=n + 12), "attempts": 1},
        "voice_sessions": own
        | {"id": UUID(int=n + 14), "user_id": user, "conversation_id": conversation, "token_hash": b"x"}
        | {"options": {}, "snapshot": {}},
        "voice_journal": own | {"session_id": UUID(int=n + 14), "seq": 1, "entries": []},
        "models": own | {"id": UUID(int=n + 15), "name": "m", "provider": "openai", "context_tokens": 1},
        "budgets": own | {"id": UUID(int=n + 16), "kind": "tenant", "hard_micros": 1},
        "usage_ledger": own
        | {"id": UUID(int=n + 17), "at": "now", "model": "m", "provider": "p", "cost_micros": 1, "outcome": "answered"},
        "budget_notices": own | {"month": "202611", "subject": "t", "level": "soft", "limit_micros": 1},
        "experiments": own
        | {"id": UUID(int=n + 18), "name": "e", "target_kind": "all", "variants": [], "weights": [], "salt": "s"}
        | {"primary_metric": "success", "goal": "more"},
        "experiment_assignments": own
        | {"experiment_id": UUID(int=n + 18), "subject": b"x", "variant": 0, "revision": 1, "first_variant": 0}
        | {"first_revision": 1, "assigned_at": "now", "until": "infinity"},
        "experiment_tallies": own
        | {"experiment_id": UUID(int=n + 18), "variant": "a", "metric": "m", "bucket": 0, "n": 1, "total": 1}
        | {"squares": 1},
        "experiment_bins": own | {"experiment_id": UUID(int=n + 18), "variant": "a", "metric": "ms", "bin": 1, "n": 1},
    }
    return rows[table]


ORDER = [
    *("tenants", "users", "knowledge_bases", "documents", "document_versions", "chunks", "keyword_changes"),
    *("object_deletions", "conversations", "messages", "feedback", "roles", "sessions", "refresh_tokens", "api_keys"),
    *("identity_changes", "audit_logs", "idempotency_keys", "outbox", "dead_letters", "processed_events"),
    *("event_attempts", "voice_sessions", "voice_journal", "models", "budgets", "usage_ledger", "budget_notices"),
    *("experiments", "experiment_assignments", "experiment_tallies", "experiment_bins"),
]


async def insert(conn: asyncpg.Connection, table: str, row: dict[str, object]) -> None:
    """As text where a literal does not care for its type, so that one way serves every column."""
    names, places, values = [], [], []
    for name, value in row.items():
        names.append(name)
        if isinstance(value, str) and value in ("now", "infinity"):
            places.append(f"'{value}'::timestamptz")
        else:
            values.append(value)
            places.append(f"${len(values)}")
    await conn.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(places)})", *values)


@pytest.fixture
async def both(pool: Pool) -> Pool:
    """A row of every table for each of two tenants, each written in its tenant's own scope where it may be."""
    for tenant in (A, B):
        for table in ORDER:
            scope = guard.SYSTEM if table == "tenants" else tenant
            async with guard.connection(pool, scope) as conn:
                await insert(conn, table, row_of(table, tenant))
    return pool


async def test_every_table_is_behind_the_wall(pool: Pool) -> None:
    found = await tables(pool)
    assert found == set(ORDER) | OF_NO_TENANT, "a new table needs walls (migration) and a row in this test"
    rows = await pool.fetch(
        "SELECT c.relname, c.relrowsecurity, r.rolname FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid"
        " LEFT JOIN pg_roles r ON r.oid = ANY (p.polroles) WHERE c.relname = ANY ($1::text[])",
        list(found),
    )
    assert all(row["relrowsecurity"] for row in rows)
    for table in found:
        roles = {row["rolname"] for row in rows if row["relname"] == table}
        assert roles == ({SYSTEM_ROLE} if table in OF_NO_TENANT else {SYSTEM_ROLE, TENANT_ROLE}), table


async def test_the_roles_own_nothing_and_bypass_nothing(pool: Pool) -> None:
    rows = await pool.fetch("SELECT * FROM pg_roles WHERE rolname = ANY ($1::text[])", [SYSTEM_ROLE, TENANT_ROLE])
    assert len(rows) == 2
    for row in rows:
        refused = ("rolsuper", "rolbypassrls", "rolcanlogin", "rolcreaterole", "rolcreatedb")
        assert not any(row[name] for name in refused)
        owned = "SELECT count(*) FROM pg_class WHERE relowner = $1"
        assert await pool.fetchval(owned, row["oid"]) == 0


@pytest.mark.parametrize("table", ORDER)
async def test_rows_of_another_tenant_are_invisible(both: Pool, table: str) -> None:
    async with guard.connection(both, A) as conn:
        assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 1
        seen = (await conn.fetchrow(f"SELECT * FROM {table}")).get("tenant_id", A)
        assert seen == A
    async with guard.connection(both, guard.SYSTEM) as conn:
        assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 2
    async with guard.connection(both, new_id()) as conn:
        assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 0


@pytest.mark.parametrize("table", [name for name in ORDER if name not in NOT_CHANGED])
async def test_rows_of_another_tenant_cannot_be_changed_or_deleted(both: Pool, table: str) -> None:
    before = await both.fetchval(f"SELECT string_agg(t::text, '|' ORDER BY t::text) FROM {table} t")
    column = "object_key" if table == "object_deletions" else "tenant_id"
    column = "name" if table == "tenants" else column
    theirs = row_of(table, B)
    where = " AND ".join(f"{name} = ${i}" for i, name in enumerate(_identity(table), 1))
    values = [theirs[name] for name in _identity(table)]
    async with guard.connection(both, A) as conn:
        assert await conn.execute(f"UPDATE {table} SET {column} = {column} WHERE {where}", *values) == "UPDATE 0"
        if table != "tenants":
            assert await conn.execute(f"DELETE FROM {table} WHERE {where}", *values) == "DELETE 0"
    assert await both.fetchval(f"SELECT string_agg(t::text, '|' ORDER BY t::text) FROM {table} t") == before


@pytest.mark.parametrize("table", [name for name in ORDER if name not in {"tenants"}])
async def test_no_row_can_be_made_another_tenants(both: Pool, table: str) -> None:
    """Neither by inserting it there nor by moving one's own."""
    column = "object_key" if table == "object_deletions" else "tenant_id"
    fresh = row_of(table, A) | {column: row_of(table, B)[column]}
    with pytest.raises(NotFound):
        async with guard.transaction(both, A) as conn:
            await insert(conn, table, fresh)
    if table not in NOT_CHANGED:
        with pytest.raises(NotFound):
            async with guard.transaction(both, A) as conn:
                await conn.execute(f"UPDATE {table} SET {column} = $1", fresh[column])


async def test_a_key_that_is_taken_elsewhere_does_not_open_the_row_behind_it(both: Pool) -> None:
    theirs = row_of("knowledge_bases", B)
    with pytest.raises(NotFound):
        async with guard.transaction(both, A) as conn:
            await conn.execute(
                "INSERT INTO knowledge_bases (id, tenant_id, name) VALUES ($1, $2, 'mine')"
                " ON CONFLICT (id) DO UPDATE SET name = 'mine'",
                theirs["id"],
                A,
            )


@pytest.mark.parametrize("table", sorted(OF_NO_TENANT | NEVER_OURS))
async def test_what_belongs_to_no_tenant_is_closed_to_all(pool: Pool, table: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with guard.connection(pool, A) as conn:
            await conn.fetchval(f"SELECT count(*) FROM {table}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_logs SET action = 'x'",
        "DELETE FROM audit_logs",
        "TRUNCATE audit_logs",
        "ALTER TABLE audit_logs DISABLE TRIGGER ALL",
        "DROP TABLE chunks",
        "CREATE TABLE mine (a int)",
        "UPDATE tenants SET disabled = false",
        "INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'x')",
        "DELETE FROM tenants",
        "SELECT * FROM schema_migrations",
    ],
)
async def test_what_a_tenant_may_not_do_at_all(both: Pool, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with guard.connection(both, A) as conn:
            await conn.execute(statement)


async def test_the_system_does_not_touch_the_audit_log_either(both: Pool) -> None:
    for statement in ("UPDATE audit_logs SET action = 'x'", "DELETE FROM audit_logs", "TRUNCATE audit_logs"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with guard.connection(both, guard.SYSTEM) as conn:
                await conn.execute(statement)


async def test_without_a_tenant_a_tenants_role_sees_nothing(both: Pool) -> None:
    async with both.acquire() as conn, conn.transaction():
        await conn.execute(f"SET LOCAL ROLE {TENANT_ROLE}")
        for table in ORDER:
            assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_the_walls_leave_indexes_usable(both: Pool) -> None:
    """The policy becomes a one-time check or a condition of the index, and never stands before it."""
    model, queries = "m", {}
    await ensure_vector_index(both, model, 2)
    base = row_of("knowledge_bases", A)["id"]
    queries["chunks_hnsw"] = _search_sql(model, 2, exact=False), [[1.0, 0.0], A, [base], 5, []]
    queries["Index Scan using chunks_"] = _FETCH, [A, [base], [new_id()]]
    queries["chunks_version_id_position_key"] = _NEIGHBOURS, [A, [base], new_id(), 0, 3]
    listed = (
        "SELECT id FROM conversations WHERE tenant_id = $1 AND user_id = $2 ORDER BY updated_at DESC, id DESC LIMIT 9"
    )
    queries["conversations_user"] = listed, [A, new_id()]
    read = "SELECT id FROM messages WHERE conversation_id = $1 AND tenant_id = $2 AND seq > $3 ORDER BY seq LIMIT 9"
    queries["messages_conversation_id_seq_key"] = read, [new_id(), A, 0]
    for index, (query, arguments) in queries.items():
        async with guard.transaction(both, A) as conn:
            await conn.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
            plan = "\n".join(row[0] for row in await conn.fetch(f"EXPLAIN {query}", *arguments))
        assert index in plan and "Seq Scan" not in plan, plan


def test_only_ddl_leaves_the_walls() -> None:
    """The owner's scope is for building indexes; everything else runs as a tenant or as the system."""
    stores = Path(guard.__file__).parent
    using = {
        path.name for path in stores.glob("*.py") if re.search(r"guard.OWNER|import .*\bOWNER\b", path.read_text())
    }
    assert using == {"guard.py", "vectors.py"}
    rest = [path for path in stores.parents[2].rglob("voicehelper/**/*.py") if path.parent != stores]
    rest += [path for room in ("deployments", "pipelines") for path in (stores.parents[2] / room).glob("*.py")]
    assert not [
        path for path in rest if re.search(r"guard\.OWNER|import OWNER|pool\.(acquire|fetch|execute)", path.read_text())
    ]
    direct = [
        path.name for path in stores.glob("*.py") if re.search(r"_pool\.(acquire|fetch|execute)", path.read_text())
    ]
    assert not direct


async def test_scopes_do_not_leak_between_users_of_one_connection(both: Pool) -> None:
    """Any order of scopes over few connections: each sees its own rows, the pool's own user sees all."""

    async def look(scope: guard.Scope, expected: int) -> None:
        async with guard.connection(both, scope) as conn:
            assert await conn.fetchval("SELECT count(*) FROM users") == expected

    async def look_directly() -> None:
        assert await both.fetchval("SELECT count(*) FROM users") == 2

    looks = []
    for _ in range(30):
        looks += [look(A, 1), look(B, 1), look(guard.SYSTEM, 2), look(new_id(), 0), look_directly()]
    await asyncio.gather(*looks)


# asyncpg leaves the socket of a connect that was cancelled to the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_scopes_hold_over_cancelled_tasks_and_lost_connections(both: Pool) -> None:
    """Whoever is cut off at whatever point leaves no connection behind that is in another scope than it says."""
    seen: list[tuple[int, int]] = []

    async def look(scope: guard.Scope, expected: int) -> None:
        with suppress(Unavailable):
            async with guard.transaction(both, scope) as conn:
                await conn.execute("SELECT pg_sleep(0.001)")
                seen.append((await conn.fetchval("SELECT count(*) FROM users"), expected))

    tasks = []
    for n in range(400):
        scope, expected = [(A, 1), (B, 1), (guard.SYSTEM, 2), (UUID(int=0xC), 0)][n % 4]
        tasks.append(asyncio.create_task(look(scope, expected)))
        if n % 3 == 0:
            asyncio.get_running_loop().call_later(n / 4000, tasks[-1].cancel)
        if n % 100 == 50:
            async with guard.connection(both, guard.OWNER) as conn:
                ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                await conn.fetch(f"{ended} AND pid <> pg_backend_pid() LIMIT 3")
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(seen) > 100
    assert {(found, expected) for found, expected in seen if found != expected} == set()
    for scope, expected in [(A, 1), (B, 1), (guard.SYSTEM, 2)] * 10:
        await look(scope, expected)
    assert seen[-1] == (2, 2)


async def test_a_scope_that_is_not_the_requests_tenant_is_refused(both: Pool) -> None:
    with use_context(RequestContext(tenant_id=str(A))):
        async with guard.connection(both, A) as conn:
            assert await conn.fetchval("SELECT count(*) FROM users") == 1
        for opened in (guard.connection(both, B), guard.transaction(both, B), guard.request_transaction(both, B)):
            with pytest.raises(NotFound):
                async with opened:
                    pass


async def test_a_foreign_scope_within_a_requests_transaction(both: Pool) -> None:
    """The system's part of a request shares its transaction, and the scope comes back after it, whatever happens."""
    async with guard.request_transaction(both, A) as outer:
        async with guard.transaction(both, guard.SYSTEM) as conn:
            assert conn is outer
            assert await conn.fetchval("SELECT count(*) FROM users") == 2
        assert await outer.fetchval("SELECT count(*) FROM users") == 1
        with pytest.raises(ZeroDivisionError):
            async with guard.connection(both, guard.SYSTEM):
                raise ZeroDivisionError
        with pytest.raises(asyncpg.PostgresError):
            async with guard.connection(both, guard.SYSTEM) as conn:
                await conn.execute("SELECT 1 / 0")
        assert await outer.fetchval("SELECT count(*) FROM users") == 1
        assert await outer.fetchval("SELECT current_user") == TENANT_ROLE
    async with guard.connection(both, A) as conn:
        assert await conn.fetchval("SELECT count(*) FROM users") == 1


async def test_other_tasks_do_not_share_a_requests_connection(both: Pool) -> None:
    async def elsewhere() -> tuple[int, int]:
        async with guard.connection(both, A) as conn:
            return await conn.fetchval("SELECT pg_backend_pid()"), await conn.fetchval("SELECT count(*) FROM roles")

    async with guard.request_transaction(both, A) as outer:
        await outer.execute("INSERT INTO roles (tenant_id, name, permissions) VALUES ($1, 'new', '{}')", A)
        pid, seen = await asyncio.create_task(elsewhere())
        assert pid != await outer.fetchval("SELECT pg_backend_pid()")
        assert seen == 1
        assert (await elsewhere())[1] == 2


def _identity(table: str) -> list[str]:
    keys = {
        "roles": ["tenant_id", "name"],
        "refresh_tokens": ["token_hash"],
        "keyword_changes": ["tenant_id"],
        "identity_changes": ["tenant_id"],
        "idempotency_keys": ["tenant_id"],
        "processed_events": ["tenant_id"],
        "event_attempts": ["tenant_id"],
        "object_deletions": ["object_key"],
        "voice_journal": ["session_id"],
        "budget_notices": ["tenant_id"],
        "experiment_assignments": ["experiment_id"],
        "experiment_tallies": ["experiment_id"],
        "experiment_bins": ["experiment_id"],
    }
    return keys.get(table, ["id"])
