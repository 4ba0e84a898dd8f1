"""Signing keys in PostgreSQL: one first key, rotation without logging anyone out, the master key."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
import pytest

from voicehelper.config import IdentitySettings, Settings
from voicehelper.errors import Unauthenticated, Unavailable
from voicehelper.identity import SigningKeys, TokenIssuer, TokenVerifier, User
from voicehelper.identity.files import publish_once
from voicehelper.identity.keys import new_pem, parse_signing_key
from voicehelper.identity.secrets import SecretBox
from voicehelper.ids import new_id
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.authentication import authentication, signing_keys
from voicehelper.stores.postgres.pool import Pool, create_pool
from voicehelper.stores.postgres.signing_keys import PostgresSigningKeys
from voicehelper.stores.postgres.wakeups import Wakeups

USER = User(new_id(), new_id(), "a@example.com", "x", "member")
MASTER = os.urandom(32)


class LateClock(SystemClock):
    """The machine's clock, some seconds off."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.ahead_s = ahead_s

    def now(self) -> float:
        return super().now() + self.ahead_s


def keys_of(pool: Pool, imported: bytes | None = None, master: bytes = MASTER, clock: LateClock | None = None):
    box = SecretBox(master, "signing-keys")
    return SigningKeys(PostgresSigningKeys(pool), box, clock or LateClock(), 3600, imported)


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def test_processes_that_start_at_once_make_one_key(pool: Pool, postgres_dsn: str) -> None:
    pools = [await create_pool(postgres_dsn, max_size=2) for _ in range(4)]
    rings = [keys_of(each) for each in pools for _ in range(3)]
    await asyncio.gather(*(ring.start() for ring in rings))
    assert len({ring.signing(0).kid for ring in rings}) == 1
    assert await pool.fetchval("SELECT count(*) FROM signing_keys") == 1
    for each in pools:
        await each.close()


async def test_an_existing_key_goes_on(pool: Pool, tmp_path: Path) -> None:
    pem = new_pem()
    publish_once(tmp_path / "keys" / "jwt.pem", pem)
    ring = signing_keys(Settings(home=tmp_path), pool, SystemClock())
    await ring.start()
    assert ring.signing(0).kid == parse_signing_key(pem).kid
    stored = await pool.fetchval("SELECT private_key FROM signing_keys")
    assert b"PRIVATE KEY" not in stored
    other = tmp_path / "other.pem"
    other.write_bytes(new_pem())
    settings = Settings(home=tmp_path, identity=IdentitySettings(signing_key_file=other))
    later = signing_keys(settings, pool, SystemClock())
    await later.start()
    assert later.signing(0).kid == ring.signing(0).kid


async def test_rotation_logs_nobody_out(pool: Pool) -> None:
    clock = LateClock()
    ours, theirs = keys_of(pool, clock=clock), keys_of(pool, clock=clock)
    for ring in (ours, theirs):
        await ring.start()
    issuer, verifier = TokenIssuer(theirs, clock), TokenVerifier(theirs, clock)
    before = issuer.issue(USER, new_id()).token
    made = await ours.rotate()
    await theirs.refresh()
    assert made.kid in {key["kid"] for key in theirs.jwks()["keys"]}
    assert made.signs_from > clock.now()
    assert kid_of(issuer.issue(USER, new_id()).token) == kid_of(before)  # not yet
    clock.ahead_s = 3
    after = issuer.issue(USER, new_id()).token
    assert kid_of(after) == made.kid
    for token in (before, after):
        verifier.verify(token)
    last = issuer.issue(USER, new_id()).token
    await asyncio.gather(*(ring.rotate() for ring in (ours, theirs, ours)))
    await theirs.refresh()
    assert len(theirs.jwks()["keys"]) == 5
    verifier.verify(last)
    clock.ahead_s = 3590
    verifier.verify(after)
    clock.ahead_s = 3700
    assert len(theirs.jwks()["keys"]) == 1
    with pytest.raises(Unauthenticated):
        verifier.verify(before)


async def test_another_master_key_opens_nothing_but_old_tokens_stay_good(pool: Pool) -> None:
    ring = keys_of(pool)
    await ring.start()
    token = TokenIssuer(ring, LateClock()).issue(USER, new_id()).token
    lost = keys_of(pool, master=os.urandom(32))
    with pytest.raises(Unavailable, match="keys rotate"):
        await lost.start()
    made = await lost.rotate(lead_s=0)
    await lost.start()
    assert lost.signing(LateClock().now()).kid == made.kid
    TokenVerifier(lost, LateClock()).verify(token)


@asynccontextmanager
async def replica(pool: Pool, home: Path) -> AsyncIterator:
    wakeups = Wakeups(pool)
    stack = authentication(Settings(home=home), pool, wakeups, None, SystemClock())
    await stack.start()
    running = asyncio.create_task(stack.run())
    try:
        yield stack
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await wakeups.close()


async def test_every_replica_hears_of_a_rotation(pool: Pool, tmp_path: Path) -> None:
    async with replica(pool, tmp_path) as ours, replica(pool, tmp_path) as theirs:
        made = await ours.keys.rotate()
        async with asyncio.timeout(1):
            while made.kid not in {key["kid"] for key in theirs.keys.jwks()["keys"]}:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)


async def test_a_key_nobody_has_told_of_is_looked_up_once(pool: Pool, tmp_path: Path) -> None:
    ours, theirs = keys_of(pool), keys_of(pool, clock=LateClock(10))
    for ring in (ours, theirs):
        await ring.start()
    made = await ours.rotate()
    reads = 0
    read = theirs.refresh

    async def counted() -> None:
        nonlocal reads
        reads += 1
        await read()

    theirs.refresh = counted  # type: ignore[method-assign]
    assert not await theirs.refresh_for(made.kid)  # it has only just looked
    theirs._clock.ahead_s += 2  # type: ignore[attr-defined]
    assert await theirs.refresh_for(made.kid)
    assert not any([await theirs.refresh_for(f"made up {n}") for n in range(50)])
    assert reads == 1
