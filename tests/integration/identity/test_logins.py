"""Logging in: who gets in, who must wait, and that nobody can tell accounts apart."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from voicehelper.context import RequestContext, use_context
from voicehelper.errors import (
    AccountLocked,
    InvalidCredentials,
    InvalidInput,
    Overloaded,
    VoiceHelperError,
    WeakPassword,
)

PASSWORD = "Correct-Horse-7"
OWNER = "owner@example.com"


async def outcome(house: Any, email: str, password: str) -> type[VoiceHelperError] | None:
    try:
        await house.accounts.logins.login(email, password)
    except VoiceHelperError as error:
        return type(error)
    return None


async def test_a_login_is_a_session_and_is_written_down(house: Any) -> None:
    pair = await house.accounts.logins.login(" Owner@Example.com ", PASSWORD, "curl/8")
    [session] = await house.accounts.sessions.of(house.principal(house.owner))
    assert pair.access_token == f"access {house.owner.id} {session.id}"
    assert (session.client, pair.refresh_expires_in) == ("curl/8", 7 * 86400)
    assert await house.actions(house.owner.tenant_id) == ["session.created"]
    assert (await house.pool.fetchval("SELECT last_login_at FROM users")).timestamp() == house.clock.time


async def test_five_failures_lock_the_account_for_a_quarter_of_an_hour(house: Any) -> None:
    for _ in range(5):
        assert await outcome(house, OWNER, "wrong") is InvalidCredentials
    with pytest.raises(AccountLocked) as locked:
        await house.accounts.logins.login(OWNER, PASSWORD)
    assert locked.value.retry_after == pytest.approx(900, abs=1)
    house.clock.time += 899
    assert await outcome(house, OWNER, PASSWORD) is AccountLocked
    house.clock.time += 2
    assert await outcome(house, OWNER, PASSWORD) is None
    actions = await house.actions()
    assert actions.count("login.failed") == 5
    assert actions.count("login.refused") == 2


async def test_a_success_starts_the_count_anew(house: Any) -> None:
    for _ in range(3):
        for _ in range(4):
            assert await outcome(house, OWNER, "wrong") is InvalidCredentials
        assert await outcome(house, OWNER, PASSWORD) is None


async def test_failures_are_forgotten_with_their_window(house: Any) -> None:
    for _ in range(4):
        await outcome(house, OWNER, "wrong")
    house.clock.time += 901
    for _ in range(4):
        assert await outcome(house, OWNER, "wrong") is InvalidCredentials
    assert await outcome(house, OWNER, PASSWORD) is None


@pytest.mark.parametrize("email", [OWNER, "nobody@example.com"])
async def test_fifty_guesses_at_once_are_five_guesses(house: Any, email: str) -> None:
    guesses = [outcome(house, email, f"guess {i}") for i in range(50)]
    outcomes = await asyncio.gather(*guesses)
    assert house.hasher.verified == 5
    assert outcomes.count(InvalidCredentials) == 5
    assert outcomes.count(AccountLocked) == 45


async def test_fifty_right_logins_at_once_all_get_in(house: Any) -> None:
    outcomes = await asyncio.gather(*(outcome(house, OWNER, PASSWORD) for _ in range(50)))
    assert outcomes == [None] * 50


async def test_many_replicas_check_no_more_than_five(house: Any) -> None:
    """Guesses that do not queue in one process: only the database counts them."""
    lockout = house.accounts.lockout
    results = await asyncio.gather(*(lockout.begin(OWNER, "") for _ in range(30)), return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 5
    assert sum(isinstance(result, AccountLocked) for result in results) == 25


async def test_known_unknown_and_disabled_accounts_look_alike(house: Any) -> None:
    gone = await house.person("gone@example.com")
    await house.pool.execute("UPDATE users SET disabled = true WHERE id = $1", gone.id)
    seen = []
    for email, password in [(OWNER, "wrong"), ("nobody@example.com", PASSWORD), ("gone@example.com", PASSWORD)]:
        attempts = []
        for _ in range(7):
            before = house.hasher.verified, await house.pool.fetchval("SELECT count(*) FROM audit_logs")
            try:
                await house.accounts.logins.login(email, password)
            except VoiceHelperError as error:
                body = (error.code, error.message, error.details, error.retry_after)
            after = house.hasher.verified, await house.pool.fetchval("SELECT count(*) FROM audit_logs")
            attempts.append((body, after[0] - before[0], after[1] - before[1]))
        seen.append(attempts)
    assert seen[0] == seen[1] == seen[2]
    assert [work for _, work, _ in seen[0]] == [1] * 5 + [0] * 2


async def test_an_address_that_tries_many_accounts_is_locked_out(house: Any) -> None:
    async def guess(number: int, address: str) -> type[VoiceHelperError] | None:
        with use_context(RequestContext(address=address)):
            return await outcome(house, f"user{number}@example.com", "wrong")

    outcomes = [await guess(number, f"2001:db8::{number % 3}") for number in range(52)]
    assert outcomes == [InvalidCredentials] * 50 + [AccountLocked] * 2
    assert await guess(0, "203.0.113.9") is InvalidCredentials  # somebody else's line


async def test_right_passwords_are_no_failures_of_their_address(house: Any) -> None:
    with use_context(RequestContext(address="203.0.113.9")):
        for _ in range(60):
            assert await outcome(house, OWNER, PASSWORD) is None
        for _ in range(5):
            await outcome(house, OWNER, "wrong")
        for _ in range(60):  # a locked account locks nobody else's
            assert await outcome(house, OWNER, "wrong") is AccountLocked
        assert await outcome(house, "nobody@example.com", "wrong") is InvalidCredentials


async def test_nothing_stored_tells_who_tried(house: Any) -> None:
    with use_context(RequestContext(address="203.0.113.9")):
        await outcome(house, "secret.person@example.com", "Their-Passw0rd")
    stored = [
        dict(row)
        for table in ("login_failures", "audit_logs")
        for row in await house.pool.fetch(f"SELECT * FROM {table}")
    ]
    assert stored
    assert not any(word in repr(stored) for word in ("secret.person", "Their-Passw0rd", "203.0.113.9"))


async def test_too_many_at_once_are_told_to_come_back(house: Any) -> None:
    outcomes = await asyncio.gather(*(outcome(house, f"u{i}@example.com", "wrong") for i in range(100)))
    assert outcomes.count(Overloaded) == 36
    assert outcomes.count(InvalidCredentials) == 64
    assert await house.pool.fetchval("SELECT count(*) FROM login_failures") == 64  # nothing was counted for the rest


async def test_a_new_password_ends_the_other_sessions(house: Any) -> None:
    for _ in range(3):
        await house.accounts.logins.login(OWNER, PASSWORD)
    mine, *_ = await house.accounts.sessions.of(house.principal(house.owner))
    me = house.principal(house.owner, mine.id)
    await house.accounts.logins.change_password(me, PASSWORD, "Another-Horse-8")
    assert [session.id for session in await house.accounts.sessions.of(me)] == [mine.id]
    assert await outcome(house, OWNER, PASSWORD) is InvalidCredentials
    assert await outcome(house, OWNER, "Another-Horse-8") is None
    revoked = await house.pool.fetch("SELECT subject FROM identity_changes WHERE kind = 'session'")
    assert len(revoked) == 2
    assert str(mine.id) not in {row["subject"] for row in revoked}


async def test_the_present_password_cannot_be_guessed_through_a_stolen_token(house: Any) -> None:
    me = house.principal(house.owner)
    for _ in range(5):
        with pytest.raises(InvalidCredentials):
            await house.accounts.logins.change_password(me, "wrong", "Another-Horse-8")
    with pytest.raises(AccountLocked):
        await house.accounts.logins.change_password(me, PASSWORD, "Another-Horse-8")


async def test_weak_and_repeated_passwords_are_refused(house: Any) -> None:
    me = house.principal(house.owner)
    with pytest.raises(WeakPassword) as weak:
        await house.accounts.logins.change_password(me, PASSWORD, "short")
    assert weak.value.details == {"rules": ["length", "upper", "digit"]}
    with pytest.raises(InvalidInput):
        await house.accounts.logins.change_password(me, PASSWORD, PASSWORD)
    with pytest.raises(InvalidInput):
        await house.accounts.logins.change_password(
            house.principal(house.owner, kind="key", key_id=UUID(int=1)), PASSWORD, "Another-Horse-8"
        )


async def test_a_login_does_not_outlast_a_password_changed_meanwhile(house: Any) -> None:
    """The password is checked, then changed by somebody else, then the session would begin."""
    check = house.passwords.check

    async def slow(hashed: str | None, password: str) -> bool:
        matches = await check(hashed, password)
        await house.pool.execute("UPDATE users SET password_hash = $1", house.hasher.hash("Another-Horse-8"))
        return matches

    house.passwords.check = slow
    assert await outcome(house, OWNER, PASSWORD) is InvalidCredentials
    with pytest.raises(InvalidCredentials):
        await house.accounts.logins.change_password(house.principal(house.owner), "Another-Horse-8", "Third-Horse-9")
    house.passwords.check = check
    assert await outcome(house, OWNER, "Another-Horse-8") is None
    assert await house.pool.fetchval("SELECT count(*) FROM sessions") == 1


async def test_who_gives_up_waiting_has_not_guessed(house: Any) -> None:
    async with house.passwords.slot(), house.passwords.slot():  # all there are
        waiting = [asyncio.create_task(outcome(house, f"u{i}@example.com", "wrong")) for i in range(5)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert await house.pool.fetchval("SELECT count(*) FROM login_failures") == 0
    assert await outcome(house, OWNER, PASSWORD) is None
