"""Refresh tokens: one use each, reuse ends the family, whoever comes first."""

import asyncio
from typing import Any

import pytest

from voicehelper.errors import NotFound, TokenExpired, TokenRevoked, Unauthenticated, VoiceHelperError
from voicehelper.identity.model import TokenPair
from voicehelper.identity.opaque_tokens import REFRESH_TOKEN
from voicehelper.ids import new_id

PASSWORD = "Correct-Horse-7"
OWNER = "owner@example.com"


async def login(house: Any) -> TokenPair:
    return await house.accounts.logins.login(OWNER, PASSWORD)


async def revoked(house: Any) -> set[str]:
    """Sessions that replicas were told to refuse."""
    rows = await house.pool.fetch("SELECT subject FROM identity_changes WHERE kind = 'session'")
    return {row["subject"] for row in rows}


async def test_refreshing_goes_on_and_slides(house: Any) -> None:
    pair = await login(house)
    used = {pair.refresh_token}
    for _ in range(5):
        house.clock.time += 6 * 86400
        pair = await house.accounts.sessions.renew(pair.refresh_token)
        assert pair.refresh_token not in used
        used.add(pair.refresh_token)
    [session] = await house.accounts.sessions.of(house.principal(house.owner))
    assert session.expires_at.timestamp() == house.clock.time + 7 * 86400
    assert await revoked(house) == set()


async def test_a_used_token_ends_the_family(house: Any) -> None:
    first = await login(house)
    other = await login(house)
    second = await house.accounts.sessions.renew(first.refresh_token)
    for stolen in (first, second, first):
        with pytest.raises(TokenRevoked):
            await house.accounts.sessions.renew(stolen.refresh_token)
    family = REFRESH_TOKEN.parse(first.refresh_token)
    assert family
    assert await revoked(house) == {str(family.id)}
    assert (await house.actions()).count("session.reuse_detected") == 1
    await house.accounts.sessions.renew(other.refresh_token)  # another login is another family


async def test_of_many_at_once_exactly_one_wins_and_the_family_ends(house: Any) -> None:
    pair = await login(house)
    renewals = (house.accounts.sessions.renew(pair.refresh_token) for _ in range(20))
    results = await asyncio.gather(*renewals, return_exceptions=True)
    winners = [result for result in results if isinstance(result, TokenPair)]
    assert len(winners) == 1
    assert sum(isinstance(result, TokenRevoked) for result in results) == 19
    with pytest.raises(TokenRevoked):
        await house.accounts.sessions.renew(winners[0].refresh_token)
    assert await house.accounts.sessions.of(house.principal(house.owner)) == []


async def test_a_token_not_used_in_time_has_expired(house: Any) -> None:
    pair = await login(house)
    house.clock.time += 7 * 86400 + 1
    with pytest.raises(TokenExpired):
        await house.accounts.sessions.renew(pair.refresh_token)


@pytest.mark.parametrize("change", ["users SET disabled = true", "tenants SET disabled = true"])
async def test_who_was_disabled_cannot_refresh(house: Any, change: str) -> None:
    pair = await login(house)
    await house.pool.execute(f"UPDATE {change}")
    with pytest.raises(TokenRevoked):
        await house.accounts.sessions.renew(pair.refresh_token)


async def test_foreign_tokens_are_none(house: Any) -> None:
    pair = await login(house)
    secret = pair.refresh_token[37:]
    forged = ["", "vhr_", "x" * 80, REFRESH_TOKEN.make(new_id())[0], f"vhr_{new_id().hex}_{secret}", pair.access_token]
    forged += [pair.refresh_token[:-1] + ("A" if pair.refresh_token[-1] != "A" else "B"), pair.refresh_token.upper()]
    for text in forged:
        with pytest.raises(Unauthenticated) as refused:
            await house.accounts.sessions.renew(text)
        assert refused.value.code == 40101
    await house.accounts.sessions.renew(pair.refresh_token)


async def test_only_hashes_are_stored(house: Any) -> None:
    pair = await login(house)
    rows = await house.pool.fetch("SELECT * FROM refresh_tokens")
    assert len(rows) == 1
    assert pair.refresh_token[37:] not in repr([dict(row) for row in rows])


async def test_logging_out_here_and_everywhere(house: Any) -> None:
    pairs = [await login(house) for _ in range(3)]
    sessions = await house.accounts.sessions.of(house.principal(house.owner))
    me = house.principal(house.owner, sessions[0].id)
    await house.accounts.sessions.end(me, sessions[0].id)
    with pytest.raises(NotFound):
        await house.accounts.sessions.end(me, sessions[0].id)
    assert await house.accounts.sessions.end_all(me, me.user_id, "logout_everywhere") == 2
    assert await revoked(house) == {str(session.id) for session in sessions}
    for pair in pairs:
        with pytest.raises(TokenRevoked):
            await house.accounts.sessions.renew(pair.refresh_token)


async def test_nobody_ends_anothers_session(house: Any) -> None:
    await login(house)
    [session] = await house.accounts.sessions.of(house.principal(house.owner))
    colleague = await house.person("colleague@example.com")
    with pytest.raises(NotFound):
        await house.accounts.sessions.end(house.principal(colleague), session.id)
    assert len(await house.accounts.sessions.of(house.principal(house.owner))) == 1


async def test_what_has_expired_is_deleted(house: Any) -> None:
    pair = await login(house)
    for _ in range(3):
        house.clock.time += 3 * 86400
        pair = await house.accounts.sessions.renew(pair.refresh_token)
    await house.accounts.prune()
    assert await house.pool.fetchval("SELECT count(*) FROM refresh_tokens") == 3  # the first is older than any can be
    await house.accounts.sessions.renew(pair.refresh_token)
    house.clock.time += 8 * 86400
    await house.accounts.prune()
    for table in ("sessions", "refresh_tokens", "login_failures"):
        assert await house.pool.fetchval(f"SELECT count(*) FROM {table}") == 0
    with pytest.raises(VoiceHelperError):
        await house.accounts.sessions.renew(pair.refresh_token)
