"""Idempotency keys on a real server: one claim wins, the fate of a write is the fate of its key."""

import asyncio

import pytest

from voicehelper.errors import Conflict, IdempotencyMismatch, RequestInProgress
from voicehelper.idempotency import StoredResponse, WriteKey, fingerprint
from voicehelper.identity.secrets import SecretBox
from voicehelper.ids import new_id
from voicehelper.stores.postgres.guard import connection, transaction
from voicehelper.stores.postgres.idempotency import PURPOSE, PostgresIdempotency, claim
from voicehelper.stores.postgres.pool import Pool

ANSWER = StoredResponse(201, (("content-type", "application/json"),), b'{"secret": "shown-once"}')
TENANT, ACTOR = new_id(), new_id()


def write(key: str = "k", body: bytes = b"{}", actor: object = ACTOR) -> WriteKey:
    return WriteKey.of(TENANT, actor, key, fingerprint("POST", "/api/v1/things", b"", body))


@pytest.fixture
def store(pool: Pool) -> PostgresIdempotency:
    return PostgresIdempotency(pool, SecretBox(b"m" * 32, PURPOSE))


async def add_role(pool: Pool, name: str) -> None:
    async with connection(pool, TENANT) as conn:
        await conn.execute("INSERT INTO roles (tenant_id, name, permissions) VALUES ($1, $2, '{}')", TENANT, name)


@pytest.fixture(autouse=True)
async def tenant(pool: Pool) -> None:
    await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, 'one')", TENANT)


async def test_the_second_request_gets_the_first_ones_response(store: PostgresIdempotency, pool: Pool) -> None:
    async with store.once(write()) as first:
        assert first.stored is None
        await add_role(pool, "a")
        await first.keep(ANSWER)
    async with store.once(write()) as second:
        assert second.stored == ANSWER
    async with store.once(write(actor=new_id())) as other:
        assert other.stored is None
    assert b"shown-once" not in await pool.fetchval("SELECT body FROM idempotency_keys WHERE actor_id = $1", ACTOR)


async def test_another_request_under_the_same_key_is_refused(store: PostgresIdempotency) -> None:
    async with store.once(write()) as first:
        await first.keep(ANSWER)
    with pytest.raises(IdempotencyMismatch):
        async with store.once(write(body=b'{"a": 1}')):
            pass
    with pytest.raises(IdempotencyMismatch):
        await store.begin(write(body=b'{"a": 1}'), 10)


async def test_what_fails_leaves_neither_write_nor_key(store: PostgresIdempotency, pool: Pool) -> None:
    with pytest.raises(RuntimeError):
        async with store.once(write()):
            await add_role(pool, "a")
            raise RuntimeError
    assert await pool.fetchval("SELECT (SELECT count(*) FROM roles) + (SELECT count(*) FROM idempotency_keys)") == 0


async def test_of_many_at_once_one_writes_and_the_others_are_told_to_wait(
    store: PostgresIdempotency, pool: Pool
) -> None:
    async def send() -> str:
        try:
            async with store.once(write()) as claimed:
                if claimed.stored is not None:
                    return "replayed"
                await add_role(pool, "a")
                await asyncio.sleep(0.05)
                await claimed.keep(ANSWER)
                return "wrote"
        except RequestInProgress as error:
            assert error.retry_after
            return "running"

    outcomes = await asyncio.gather(*(send() for _ in range(30)))
    assert outcomes.count("wrote") == 1
    assert "running" in outcomes
    assert await send() == "replayed"
    assert await pool.fetchval("SELECT count(*) FROM roles") == 1


async def test_writes_at_once_leave_connections_for_their_own_tasks(store: PostgresIdempotency, pool: Pool) -> None:
    async def send(n: int) -> None:
        async with store.once(write(str(n))) as claimed:
            await asyncio.sleep(0.05)
            await asyncio.create_task(add_role(pool, f"r{n}"))
            await claimed.keep(ANSWER)

    async with asyncio.timeout(20):
        await asyncio.gather(*(send(n) for n in range(3 * pool.get_max_size())))


async def test_a_key_is_free_again_after_a_day(store: PostgresIdempotency, pool: Pool) -> None:
    async with store.once(write()) as first:
        await first.keep(ANSWER)
    await pool.execute("UPDATE idempotency_keys SET expires_at = now()")
    async with store.once(write(body=b"other")) as claimed:
        assert claimed.stored is None
        await claimed.keep(StoredResponse(204, (), b""))
    assert await pool.fetchval("SELECT count(*) FROM idempotency_keys WHERE status = 204") == 1


async def test_keys_of_yesterday_are_deleted_in_batches(store: PostgresIdempotency, pool: Pool) -> None:
    for n in range(5):
        async with store.once(write(str(n))) as claimed:
            await claimed.keep(ANSWER)
    await pool.execute("UPDATE idempotency_keys SET expires_at = now() WHERE key_hash <> $1", write("4").key_hash)
    assert [await store.prune(3) for _ in range(3)] == [3, 1, 0]
    assert await pool.fetchval("SELECT key_hash FROM idempotency_keys") == write("4").key_hash


async def test_a_long_write_holds_its_key_by_a_lease(store: PostgresIdempotency, pool: Pool) -> None:
    assert await store.begin(write(), 60) is None
    with pytest.raises(RequestInProgress):
        await store.begin(write(), 60)
    await pool.execute("UPDATE idempotency_keys SET locked_until = now()")
    assert await store.begin(write(), 60) is None  # its process died
    await store.extend(write(), 3600)
    await store.finish(write(), ANSWER)
    assert await store.begin(write(), 60) == ANSWER
    await store.extend(write(), 3600)  # late: does not lock it again
    assert await store.begin(write(), 60) == ANSWER


async def test_a_long_write_that_failed_may_be_sent_again(store: PostgresIdempotency) -> None:
    await store.begin(write(), 60)
    await store.finish(write(), None)
    assert await store.begin(write(), 60) is None


async def test_a_response_sealed_with_a_lost_key_is_not_made_up(store: PostgresIdempotency, pool: Pool) -> None:
    async with store.once(write()) as first:
        await first.keep(ANSWER)
    with pytest.raises(Conflict):
        async with PostgresIdempotency(pool, SecretBox(b"x" * 32, PURPOSE)).once(write()):
            pass


async def test_a_question_names_its_answer_and_its_repetition_waits_for_the_commit(pool: Pool) -> None:
    answer, claimed = new_id(), asyncio.Event()

    async def ask() -> None:
        async with transaction(pool, TENANT) as conn:
            assert await claim(conn, write(), message_id=answer) is None
            claimed.set()
            await asyncio.sleep(0.1)

    async def again() -> object:
        await claimed.wait()
        async with transaction(pool, TENANT) as conn:
            return await claim(conn, write(), message_id=new_id())

    _, earlier = await asyncio.gather(ask(), again())
    assert (earlier.message_id, earlier.running, earlier.response) == (answer, False, None)
