"""Leases around a restart of the database."""

import asyncio

import pytest

from voicehelper.conversations import Ask, Owner, Turn
from voicehelper.conversations.turns import Lease
from voicehelper.errors import ConversationBusy
from voicehelper.ids import new_id
from voicehelper.stores.postgres.conversations import PostgresConversations
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.turns import PostgresTurns


async def test_after_a_start_of_the_server_no_lease_has_lapsed(pool: Pool) -> None:
    """A writer that lived through the restart renews before a repetition takes its answer from it."""
    user = await PostgresUsers(pool).create_admin("default", "a@example.com", "x")
    owner = Owner(user.tenant_id, user.id)
    conversation = await PostgresConversations(pool).create(owner, "", ())
    fresh, old = PostgresTurns(pool, return_s=24 * 3600.0), PostgresTurns(pool)
    turn = await fresh.begin(owner, conversation.id, Ask("q"), Lease(new_id(), 0.0))
    assert isinstance(turn, Turn)
    await asyncio.sleep(0.05)
    assert not (await fresh.stored(owner, conversation.id, turn.answer.id)).lapsed
    assert await fresh.take_over(owner, conversation.id, turn.answer.id, Lease(new_id(), 9.0)) is None
    assert await fresh.expire(24 * 3600.0) == 0
    with pytest.raises(ConversationBusy):
        await fresh.begin(owner, conversation.id, Ask("q2"), Lease(new_id(), 9.0))
    assert (await old.stored(owner, conversation.id, turn.answer.id)).lapsed
    assert await old.take_over(owner, conversation.id, turn.answer.id, Lease(new_id(), 9.0)) is not None
