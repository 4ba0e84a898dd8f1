"""Sound of frequent phrases on a real server."""

from dataclasses import replace
from uuid import uuid4

from voicehelper.stores.redis import connect_redis
from voicehelper.stores.spoken_cache import RedisSpokenStore
from voicehelper.voice.spoken_cache import SpokenCache, SpokenKey

KEY = SpokenKey(uuid4(), "kokoro", "zf", "", 1.0, "zh", "您好")


async def test_replicas_share_what_is_frequent_and_tenants_nothing(redis_url: str) -> None:
    link = connect_redis(redis_url)
    try:
        store = RedisSpokenStore(link, 60)
        first, second = SpokenCache(10_000, store), SpokenCache(10_000, store)
        first.keep(KEY, bytes(range(256)), frequent=True)
        await first.settled()
        assert await second.find(KEY) == bytes(range(256))
        other = replace(KEY, tenant_id=uuid4())
        assert await second.find(other) is None
        keys = await link.client.keys("vh:*:spoken:*")
        assert len(keys) == 1
        assert 0 < await link.client.ttl(keys[0]) <= 60
        await store.put(KEY, bytes(3 * 2**20))
        assert await store.get(KEY) == bytes(range(256))
    finally:
        await link.close()
