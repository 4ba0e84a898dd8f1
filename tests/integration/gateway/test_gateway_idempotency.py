"""Writes sent again, to the real application, at once, and over the death of the process that served them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from tests.integration.gateway.conftest import Harness
from voicehelper.embedded.ports import random_port
from voicehelper.stores.postgres.pool import Pool

BASES = "/api/v1/knowledge/bases"
SERVER = Path(__file__).parents[2] / "fakes" / "halting_gateway.py"


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


async def test_a_repeated_write_is_answered_with_the_first_response(harness: Harness) -> None:
    headers = key()
    first, again = [await harness.http.post(BASES, json={"name": "政策"}, headers=headers) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    other = await harness.http.post(BASES, json={"name": "别的"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, 42202)
    assert await harness.pool.fetchval("SELECT count(*) FROM outbox WHERE type LIKE 'knowledge_base.%'") == 1


async def test_many_at_once_make_one(harness: Harness) -> None:
    headers = key()
    replies = await asyncio.gather(
        *(harness.http.post(BASES, json={"name": "政策"}, headers=headers) for _ in range(20))
    )
    assert {reply.status_code for reply in replies} <= {201, 409}
    assert all(reply.headers["retry-after"] for reply in replies if reply.status_code == 409)
    assert len({reply.json()["id"] for reply in replies if reply.status_code == 201}) == 1
    assert await harness.pool.fetchval("SELECT count(*) FROM knowledge_bases") == 1


async def test_a_refusal_is_repeated_even_when_it_would_no_longer_be_refused(harness: Harness) -> None:
    headers = key()
    taken = await harness.base("政策")
    assert (await harness.http.post(BASES, json={"name": "政策"}, headers=headers)).status_code == 409
    await harness.http.delete(f"{BASES}/{taken}", headers=key())
    assert (await harness.http.post(BASES, json={"name": "政策"}, headers=headers)).status_code == 409
    assert (await harness.http.post(BASES, json={"name": "政策"}, headers=key())).status_code == 201


async def test_an_upload_sent_twice_is_one_document(harness: Harness) -> None:
    base, headers = await harness.base(), key()
    file = {"file": ("a.md", "# 退款\n七天内可退。".encode(), "text/markdown")}
    replies = [await harness.http.post(f"{BASES}/{base}/documents", files=file, headers=headers) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [202, 202]
    assert replies[0].json() == replies[1].json()
    assert replies[1].headers["idempotent-replayed"] == "true"
    assert await harness.pool.fetchval("SELECT count(*) FROM document_versions") == 1


async def test_files_are_deleted_after_the_commit_only(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    base = await harness.base()
    file = {"file": ("a.md", "# 退款\n七天内可退。".encode(), "text/markdown")}
    uploaded = await harness.http.post(f"{BASES}/{base}/documents", files=file)
    place = f"/api/v1/knowledge/documents/{uploaded.json()['id']}"
    deleted, delete = [], harness.objects.delete

    async def watched(object_key: str) -> None:
        deleted.append(await harness.pool.fetchval("SELECT count(*) FROM documents"))
        await delete(object_key)

    monkeypatch.setattr(harness.objects, "delete", watched)
    assert (await harness.http.delete(place, headers=key())).status_code == 204
    assert deleted == [0]


async def test_a_secret_shown_once_is_shown_again_only_to_who_has_the_key(harness: Harness) -> None:
    headers, body = key(), {"name": "crm", "permissions": ["knowledge:read"]}
    first, again = [await harness.http.post("/api/v1/api-keys", json=body, headers=headers) for _ in range(2)]
    assert first.status_code == 201, first.text
    assert again.json() == first.json()
    assert await harness.pool.fetchval("SELECT count(*) FROM api_keys") == 1
    secret = next(value for value in first.json().values() if str(value).startswith("vhk_"))
    assert secret.encode() not in await harness.pool.fetchval("SELECT body FROM idempotency_keys")
    assert await harness.pool.fetchval("SELECT count(*) FROM audit_logs WHERE action LIKE 'api_key%'") == 1


async def test_tokens_are_never_replayed(harness: Harness) -> None:
    await harness.http.post("/api/v1/auth/logout", headers=key())
    assert await harness.pool.fetchval("SELECT count(*) FROM idempotency_keys") == 0


@asynccontextmanager
async def gateway(
    dsn: str, tenant: UUID, user: UUID, halt: str
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A gateway process of its own, and its URL."""
    port = random_port()
    root = str(SERVER.parents[2])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SERVER), dsn, str(port), str(tenant), str(user), halt),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": root},
    )
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        writer.close()
        yield f"http://127.0.0.1:{port}{BASES}", process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize(("halt", "expected"), [("handled", 0), ("stored", 0), ("committed", 1)])
async def test_a_killed_process_has_done_all_or_nothing(
    pool: Pool, postgres_dsn: str, halt: str, expected: int, tenant_and_user: Callable[[], Awaitable[tuple[UUID, UUID]]]
) -> None:
    """Killed between handler and response: then the same request again, to another process."""
    tenant, user = await tenant_and_user()
    headers, body = key(), {"name": "政策"}
    async with gateway(postgres_dsn, tenant, user, halt) as (url, process), httpx.AsyncClient(timeout=30) as http:
        request = asyncio.create_task(http.post(url, json=body, headers=headers))
        assert (await process.stdout.readline()).decode().strip() == halt
        process.send_signal(signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            await request
    count = "SELECT (SELECT count(*) FROM knowledge_bases) + (SELECT count(*) FROM outbox)"
    async with asyncio.timeout(10):  # the server notices the lost connection on its own time
        busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
        while await pool.fetchval(busy):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert await pool.fetchval(count) == 2 * expected
    async with gateway(postgres_dsn, tenant, user, "never") as (url, _), httpx.AsyncClient(timeout=30) as http:
        again = await http.post(url, json=body, headers=headers)
    assert again.status_code == 201, again.text
    assert ("idempotent-replayed" in again.headers) is bool(expected)
    assert await pool.fetchval(count) == 2


@pytest.fixture
def tenant_and_user(pool: Pool) -> Callable[[], object]:
    async def make() -> tuple[UUID, UUID]:
        tenant, user = uuid4(), uuid4()
        await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, 'one')", tenant)
        await pool.execute(
            "INSERT INTO users (id, tenant_id, email, password_hash, role) VALUES ($1, $2, 'a@b.co', 'x', 'owner')",
            user,
            tenant,
        )
        return tenant, user

    return make
