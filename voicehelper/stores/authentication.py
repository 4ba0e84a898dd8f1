"""Tokens, keys and permissions of one process, put together over its engines."""

import asyncio
from dataclasses import dataclass

from voicehelper.config import Settings
from voicehelper.identity.authenticator import Authenticator
from voicehelper.identity.feed import IdentityFeed
from voicehelper.identity.key_ring import SigningKeys
from voicehelper.identity.key_uses import KeyUses
from voicehelper.identity.keys import key_file
from voicehelper.identity.secrets import SecretBox, derive_key, load_master_key
from voicehelper.identity.standing import NullStandingCache, Standings
from voicehelper.identity.tokens import TokenIssuer, TokenVerifier
from voicehelper.ports.clock import Clock
from voicehelper.stores.postgres.identity_changes import PostgresIdentityChanges
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.principals import PostgresPrincipals
from voicehelper.stores.postgres.signing_keys import PostgresSigningKeys
from voicehelper.stores.postgres.wakeups import Wakeups
from voicehelper.stores.principal_cache import RedisStandingCache
from voicehelper.stores.redis import RedisLink


@dataclass(frozen=True)
class AuthenticationStack:
    """What issues tokens and what verifies them. Call `start` before the first request, and keep `run` running."""

    keys: SigningKeys
    feed: IdentityFeed
    issuer: TokenIssuer
    authenticator: Authenticator
    uses: KeyUses

    async def start(self) -> None:
        """Load keys and changes. Raises `Unavailable`."""
        await self.keys.start()
        await self.feed.poll()

    async def run(self) -> None:
        """Follow what other replicas change, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.feed.run(), name="identity-feed")
            tasks.create_task(self.uses.run(), name="key-uses")


def signing_keys(settings: Settings, pool: Pool, clock: Clock) -> SigningKeys:
    """The installation's signing keys, not yet loaded. Raises `Unavailable` where a key file or the master key is of
    no use."""
    identity = settings.identity
    box = SecretBox(load_master_key(settings), "signing-keys")
    life = max(identity.access_token_s, identity.visitor_token_s)
    return SigningKeys(PostgresSigningKeys(pool), box, clock, life, key_file(settings))


def authentication(
    settings: Settings,
    pool: Pool,
    wakeups: Wakeups,
    redis: RedisLink | None,
    clock: Clock,
    *,
    feed_pool: Pool | None = None,
) -> AuthenticationStack:
    """The whole stack, not yet started.

    Args:
        pool: of the process.
        wakeups: tells of changes.
        redis: shared cache; without it, users are looked up in the database alone.
        feed_pool: where the feed reads, so that it need not queue behind requests; `pool` when not given.
    """
    keys = signing_keys(settings, pool, clock)
    feed = IdentityFeed(PostgresIdentityChanges(feed_pool or pool, wakeups), clock, keys.refresh)
    principals = PostgresPrincipals(pool)
    mac_key = derive_key(load_master_key(settings), "user-cache")
    cache = NullStandingCache() if redis is None else RedisStandingCache(redis, mac_key)
    uses, identity = KeyUses(principals, clock), settings.identity
    verifier = TokenVerifier(keys, clock, identity.issuer)
    standings = Standings(principals, cache, feed)
    return AuthenticationStack(
        keys,
        feed,
        TokenIssuer(keys, clock, identity.issuer, identity.access_token_s),
        Authenticator(
            verifier=verifier,
            keys=keys,
            feed=feed,
            standings=standings,
            repository=principals,
            uses=uses,
            clock=clock,
        ),
        uses,
    )
