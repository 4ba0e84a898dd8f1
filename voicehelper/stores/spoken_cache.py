"""Sound of frequent phrases in Redis: PCM under `vh:{tenant}:spoken:{digest of what and how}`."""

from typing import cast

from voicehelper.stores.redis import RedisLink, tenant_key
from voicehelper.voice.spoken_cache import SpokenKey

_LONGEST = 2 * 2**20  # bytes; some 40 s


class RedisSpokenStore:
    """`SpokenStore` for all replicas that share a server.

    Args:
        link: to the server.
        ttl_s: life of a sound after it was put there.
    """

    def __init__(self, link: RedisLink, ttl_s: int) -> None:
        self._link = link
        self._ttl_s = ttl_s

    async def get(self, key: SpokenKey) -> bytes | None:
        """See `SpokenStore`."""
        name = _name(key)
        return cast(bytes | None, await self._link.call(lambda client: client.get(name)))

    async def put(self, key: SpokenKey, pcm: bytes) -> None:
        """See `SpokenStore`. What is very long is not kept."""
        if len(pcm) <= _LONGEST:
            name = _name(key)
            await self._link.call(lambda client: client.set(name, pcm, ex=self._ttl_s))


def _name(key: SpokenKey) -> str:
    return tenant_key(key.tenant_id, "spoken", key.digest())
