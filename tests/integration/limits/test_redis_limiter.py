"""The script on a real Valkey: it agrees with the algorithm, and limits go on when the server is killed."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis

from voicehelper.embedded.ports import random_port
from voicehelper.embedded.process import EngineError, stop
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.limits import AddressNames, FallbackLimiter, Limit, LocalLimiter
from voicehelper.stores.rate_limits import RedisLimiter


@pytest.fixture
async def shared(redis_url: str) -> AsyncIterator[RedisLimiter]:
    made = RedisLimiter(redis_url, 60.0)
    yield made
    await made.close()


@pytest.mark.parametrize("seed", range(4))
async def test_the_script_and_the_algorithm_agree(shared: RedisLimiter, seed: int) -> None:
    dice = random.Random(seed)
    now_us = 1_790_000_000_000_000
    limits = [Limit(name, f"vh:{{limits}}:{name}{seed}", dice.randint(1, 8)) for name in ("address", "user", "tenant")]
    local = LocalLimiter(60.0, lambda: now_us / 1_000_000)
    refused = 0
    for _ in range(400):
        asked = dice.sample(limits, dice.randint(1, 3))
        expected = local.decide(asked)
        found = await shared.acquire(asked, now_us)
        assert (found.allowed, found.place, found.remaining) == (expected.allowed, expected.place, expected.remaining)
        assert found.reset == pytest.approx(expected.reset, abs=0.001)
        refused += not found.allowed
        now_us += dice.choice([1, 1_000, 900_000, 7_000_000, 70_000_000])
    assert refused > 20


async def test_parallel_requests_of_many_replicas_share_one_quota(redis_url: str) -> None:
    replicas = [RedisLimiter(redis_url, 60.0) for _ in range(4)]
    limits = [Limit("user", "vh:{limits}:u", 50), Limit("tenant", "vh:{limits}:t", 1000)]
    verdicts = await asyncio.gather(*(replicas[i % 4].acquire(limits) for i in range(200)))
    assert sum(verdict.allowed for verdict in verdicts) == 50
    for replica in replicas:
        await replica.close()


async def test_keys_expire_and_hold_no_address(shared: RedisLimiter, redis_url: str) -> None:
    key = f"vh:{{limits}}:a:{AddressNames(b'k' * 32).name('203.0.113.77')}"
    await shared.acquire([Limit("address", key, 5)])
    with redis.Redis.from_url(redis_url) as client:
        keys = client.keys("*")
        assert keys == [key.encode()]
        assert 60_000 <= client.pttl(key) <= 62_001
        assert b"203.0" not in keys[0]


async def test_a_script_the_server_forgot_is_loaded_again(shared: RedisLimiter, redis_url: str) -> None:
    assert (await shared.acquire([Limit("user", "vh:{limits}:u", 5)])).remaining == 4
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()
    assert (await shared.acquire([Limit("user", "vh:{limits}:u", 5)])).remaining == 3


async def test_the_servers_clock_counts(redis_url: str) -> None:
    limiter, limit = RedisLimiter(redis_url, 1.0), Limit("user", "vh:{limits}:u", 2)
    assert [(await limiter.acquire([limit])).allowed for _ in range(3)] == [True, True, False]
    refused = await limiter.acquire([limit])
    assert 0 < refused.reset <= 1.04
    await asyncio.sleep(refused.reset + 0.01)
    assert (await limiter.acquire([limit])).allowed
    await limiter.close()


async def test_limits_hold_while_redis_is_killed_and_frozen(engine_folder: Path) -> None:
    """Nobody gets through unlimited, and only the first request waits."""
    port = random_port()
    valkey = EmbeddedValkey(engine_folder / "own-valkey", port, "pw", engine_folder / "own-valkey.log", durable=False)
    valkey.prepare()
    process = valkey.start()
    await _up(valkey)
    shared = RedisLimiter(valkey.url(), 60.0)
    limiter = FallbackLimiter(shared, LocalLimiter(60.0))
    login = Limit("login", "vh:{limits}:l", 10)
    try:
        assert (await limiter.acquire([login])).remaining == 9
        process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(5):  # each waiting for the server would take twice as long
            allowed = sum([(await limiter.acquire([login])).allowed for _ in range(40)])
        assert allowed == 10
        assert limiter.away
        process.send_signal(signal.SIGCONT)
        stop(process, sign=signal.SIGKILL)
        assert not (await limiter.acquire([login])).allowed
        process = valkey.start()
        await _up(valkey)
        async with asyncio.timeout(10):
            while limiter.away:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await limiter.acquire([Limit("login", "vh:{limits}:other", 10)])).remaining == 9
    finally:
        process.send_signal(signal.SIGCONT)
        stop(process, sign=signal.SIGKILL)
        await limiter.close()
        await shared.close()


async def _up(valkey: EmbeddedValkey) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await valkey.check()
                return
            except EngineError:
                await asyncio.sleep(0.05)
