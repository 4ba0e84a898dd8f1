"""Users' standings in Redis, shared by all replicas: `vh:{tenant}:user_cache:{user}`, one hour.

An entry is sealed with a MAC: whoever can write to Redis cannot thereby become an administrator.
"""

import hmac
from hashlib import sha256
from uuid import UUID

import orjson

from voicehelper.errors import Unavailable
from voicehelper.identity.standing import UserFacts
from voicehelper.stores.redis import RedisLink, tenant_key
from voicehelper.telemetry import metrics

_LIFE_S = 3600
_PATIENCE_S = 0.5  # the database answers sooner than a Redis in trouble
_MAC = 32


class RedisStandingCache:
    """`StandingCache`. While Redis is away it remembers nothing, and the database is asked."""

    def __init__(self, link: RedisLink, mac_key: bytes) -> None:
        self._link = link
        self._mac_key = mac_key

    async def get(self, tenant_id: UUID, user_id: UUID) -> tuple[UserFacts, int] | None:
        """What `put` was given last, within the hour."""
        key = _key(tenant_id, user_id)
        try:
            value = await self._link.call(lambda redis: redis.get(key), _PATIENCE_S)
        except Unavailable:
            metrics.FALLBACKS.labels("user_cache").inc()
            return None
        return self._opened(key, tenant_id, user_id, value) if isinstance(value, bytes) else None

    async def put(self, facts: UserFacts, seq: int) -> None:
        """Remember `facts`, read when the feed stood at `seq`."""
        key = _key(facts.tenant_id, facts.user_id)
        body = orjson.dumps(
            {
                "seq": seq,
                "role": facts.role,
                "kind": facts.kind,
                "active": facts.active,
                "platform": facts.platform,
                "granted": None if facts.granted is None else sorted(facts.granted),
            }
        )
        try:
            await self._link.call(lambda redis: redis.set(key, self._mac(key, body) + body, ex=_LIFE_S), _PATIENCE_S)
        except Unavailable:
            metrics.FALLBACKS.labels("user_cache").inc()

    def _opened(self, key: str, tenant_id: UUID, user_id: UUID, value: bytes) -> tuple[UserFacts, int] | None:
        mac, body = value[:_MAC], value[_MAC:]
        if not hmac.compare_digest(mac, self._mac(key, body)):
            return None
        found = orjson.loads(body)
        seq, granted = found.pop("seq"), found.pop("granted")
        return UserFacts(tenant_id, user_id, **found, granted=None if granted is None else frozenset(granted)), seq

    def _mac(self, key: str, body: bytes) -> bytes:
        return hmac.digest(self._mac_key, key.encode() + b"\0" + body, sha256)


def _key(tenant_id: UUID, user_id: UUID) -> str:
    return tenant_key(tenant_id, "user_cache", user_id)
