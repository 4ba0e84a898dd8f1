"""Voice sessions in PostgreSQL: kept, taken over once, fenced, forgotten."""

import asyncio
from uuid import UUID

import pytest

from voicehelper.conversations import Owner
from voicehelper.errors import NotFound, RateLimited
from voicehelper.ids import new_id
from voicehelper.stores.postgres.conversations import PostgresConversations
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.voice_sessions import PostgresSessions
from voicehelper.voice.store import Batch, Fenced, Hold, NewSession

HASH = b"h" * 32


async def owner_of(pool: Pool, name: str = "a") -> Owner:
    owner = Owner(new_id(), new_id())
    await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", owner.tenant_id, f"{name}{owner.tenant_id}")
    await pool.execute(
        "INSERT INTO users (id, tenant_id, email, password_hash, role) VALUES ($1, $2, $3, 'x', 'owner')",
        owner.user_id,
        owner.tenant_id,
        f"{owner.user_id}@example.com",
    )
    return owner


async def opened(pool: Pool, owner: Owner, per_user: int = 9) -> Hold:
    conversation = await PostgresConversations(pool).create(owner, "", [])
    hold = Hold(owner, new_id())
    new = NewSession(hold, conversation.id, HASH, {"language": "zh"}, {"n": 0})
    await PostgresSessions(pool).create(new, per_user)
    return hold


async def row(pool: Pool, hold: Hold) -> dict[str, object]:
    return dict(await pool.fetchrow("SELECT * FROM voice_sessions WHERE id = $1", hold.session_id))


async def test_a_session_is_taken_over_and_its_old_holder_fenced(pool: Pool) -> None:
    store, owner = PostgresSessions(pool), await owner_of(pool)
    hold = await opened(pool, owner)
    await store.write(hold, Batch({"n": 1}, 0, [{"e": 1}, {"e": 2}]))
    await store.write(hold, Batch({"n": 1}, 0, [{"e": 1}, {"e": 2}]))  # sent twice: once too many, and no harm
    taken = await store.take(owner, hold.session_id, HASH, 30)
    assert (taken.snapshot, taken.options, taken.hold.epoch) == ({"n": 1}, {"language": "zh"}, 2)
    assert taken.age_s < 5 and taken.silent_s < 5
    with pytest.raises(Fenced):
        await store.write(hold, Batch({"n": 2}, 2, [{"e": 3}]))
    await store.write(taken.hold, Batch({"n": 3}, 2, [{"e": 4}]))
    entries = await pool.fetch("SELECT seq, entries FROM voice_journal ORDER BY seq")
    assert [(r["seq"], r["entries"]) for r in entries] == [(0, [{"e": 1}, {"e": 2}]), (2, [{"e": 4}])]
    assert await store.touch([hold]) == {hold.session_id}
    assert await store.touch([taken.hold]) == set()


async def test_only_the_owner_with_the_token_takes_a_living_session(pool: Pool) -> None:
    store, owner, other = PostgresSessions(pool), await owner_of(pool), await owner_of(pool, "b")
    hold = await opened(pool, owner)
    colleague = Owner(owner.tenant_id, new_id())
    for who, which, token in (
        (other, hold.session_id, HASH),
        (colleague, hold.session_id, HASH),
        (owner, hold.session_id, b"x" * 32),
        (owner, UUID(int=5), HASH),
    ):
        with pytest.raises(NotFound):
            await store.take(who, which, token, 30)
    await pool.execute("UPDATE voice_sessions SET touched_at = now() - interval '31 seconds'")
    with pytest.raises(NotFound):
        await store.take(owner, hold.session_id, HASH, 30)
    await store.take(owner, hold.session_id, HASH, 60)


async def test_two_take_it_at_once(pool: Pool) -> None:
    store, owner = PostgresSessions(pool), await owner_of(pool)
    hold = await opened(pool, owner)
    both = await asyncio.gather(*(store.take(owner, hold.session_id, HASH, 30) for _ in range(2)))
    assert sorted(taken.hold.epoch for taken in both) == [2, 3]
    first, last = sorted(both, key=lambda taken: taken.hold.epoch)
    with pytest.raises(Fenced):
        await store.write(first.hold, Batch({}, 0))
    await store.write(last.hold, Batch({}, 0))


async def test_an_ended_session_stays_ended(pool: Pool) -> None:
    store, owner = PostgresSessions(pool), await owner_of(pool)
    hold = await opened(pool, owner)
    await store.write(hold, Batch({}, 0, [], "client"))
    assert (await row(pool, hold))["reason"] == "client"
    with pytest.raises(Fenced):
        await store.write(hold, Batch({}, 0))
    with pytest.raises(NotFound):
        await store.take(owner, hold.session_id, HASH, 30)
    assert await store.touch([hold]) == {hold.session_id}


async def test_a_user_has_so_many_sessions_and_no_more(pool: Pool) -> None:
    store, owner = PostgresSessions(pool), await owner_of(pool)
    tries = await asyncio.gather(*(opened(pool, owner, 2) for _ in range(6)), return_exceptions=True)
    holds = [hold for hold in tries if isinstance(hold, Hold)]
    assert len(holds) == 2 and all(isinstance(refused, RateLimited) for refused in tries if refused not in holds)
    await store.write(holds[0], Batch({}, 0, [], "client"))
    await opened(pool, owner, 2)
    await opened(pool, await owner_of(pool, "b"), 2)


async def test_a_conversation_of_somebody_else_is_no_place_for_a_session(pool: Pool) -> None:
    owner = await owner_of(pool)
    with pytest.raises(NotFound):
        await PostgresSessions(pool).create(NewSession(Hold(owner, new_id()), new_id(), HASH, {}, {}), 5)


async def test_lost_ones_end_and_old_ones_are_forgotten(pool: Pool) -> None:
    store, owner = PostgresSessions(pool), await owner_of(pool)
    lost, living, old = [await opened(pool, owner) for _ in range(3)]
    await store.write(old, Batch({}, 0, [{"e": 1}], "client"))
    await pool.execute("UPDATE voice_sessions SET ended_at = now() - interval '2 days' WHERE id = $1", old.session_id)
    await pool.execute("UPDATE voice_sessions SET touched_at = now() - interval '2 min' WHERE id = $1", lost.session_id)
    assert await store.tidy(60, 86400, 100) == 1
    rows = {r["id"]: r["reason"] for r in await pool.fetch("SELECT id, reason FROM voice_sessions")}
    assert rows == {lost.session_id: "lost", living.session_id: ""}
    assert not await pool.fetchval("SELECT count(*) FROM voice_journal")


async def test_with_its_conversation_it_goes(pool: Pool) -> None:
    owner = await owner_of(pool)
    hold = await opened(pool, owner)
    await PostgresSessions(pool).write(hold, Batch({}, 0, [{"e": 1}]))
    await PostgresConversations(pool).delete(owner, (await row(pool, hold))["conversation_id"])
    assert not await pool.fetchval("SELECT count(*) FROM voice_sessions")
    assert not await pool.fetchval("SELECT count(*) FROM voice_journal")
    with pytest.raises(Fenced):
        await PostgresSessions(pool).write(hold, Batch({}, 0))
