"""Consumer groups on Redis streams.

Redis would hand the entries of a stream to any consumer of a group, and so two events of one key to two of them at the
same time. So each partition (stream) belongs to one consumer of the group at a time, by a lease; consumers that come
and go share the partitions evenly. The new owner of a partition first takes over (XAUTOCLAIM) what its last one left.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from voicehelper.config import EventSettings
from voicehelper.errors import Unavailable
from voicehelper.events.channel import REPLAY, Delivery
from voicehelper.ids import new_id
from voicehelper.stores.redis_streams import Streams, decode
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

_BALANCE = """
local t = redis.call('TIME')
local now, ttl = t[1] * 1000 + math.floor(t[2] / 1000), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ttl, ARGV[1])
local share = math.ceil((#KEYS - 1) / redis.call('ZCARD', KEYS[1]))
local owned, free = {}, {}
for i = 2, #KEYS do
    local owner = redis.call('GET', KEYS[i])
    if owner == ARGV[1] then
        redis.call('PEXPIRE', KEYS[i], ttl)
        table.insert(owned, i - 2)
    elseif not owner then
        table.insert(free, i)
    end
end
for _, i in ipairs(free) do
    if #owned >= share then break end
    redis.call('SET', KEYS[i], ARGV[1], 'PX', ttl)
    table.insert(owned, i - 2)
end
return {share, owned}
"""
"""KEYS: members, owner of each partition. ARGV: this consumer, lease in ms. Renews this consumer's leases, takes free
partitions up to its share; returns the share and the partitions that are its own."""

_RELEASE = """
for i = 1, #KEYS do
    if redis.call('GET', KEYS[i]) == ARGV[1] then redis.call('DEL', KEYS[i]) end
end
"""

_BALANCES_PER_LEASE = 4
_CLAIM = 100


class RedisChannel:
    """`Channel` of one consumer."""

    def __init__(
        self, client: Redis, group: str, settings: EventSettings, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = f"{group}:{new_id()}"
        self._client = client
        self._group = group
        self._streams = Streams(settings)
        self._lease_s = settings.lease_s
        self._now = now
        self._balance_at = self._valid_until = float("-inf")
        self._owned: set[int] = set()
        self._leaving: set[int] = set()
        self._unclaimed: set[int] = set()
        self._open: defaultdict[int, set[str]] = defaultdict(set)
        self._begun: set[tuple[int, str]] = set()
        self._balance_script = client.register_script(_BALANCE)
        self._release_script = client.register_script(_RELEASE)

    async def fetch(self, limit: int, full: Collection[int], wait_s: float) -> list[Delivery]:
        """See `Channel`."""
        try:
            if self._now() >= self._balance_at:
                await self._balance()
            fetched = await self._claim() or await self._read(limit, full, wait_s)
        except (RedisError, OSError) as error:
            # It may have restarted without its newest data, or an answer may be lost: look at everything again.
            self._balance_at = float("-inf")
            self._unclaimed = set(self._owned)
            raise Unavailable("The event bus is not available") from error
        for delivery in fetched:
            self._open[delivery.partition].add(delivery.place)
        return fetched

    def owns(self, delivery: Delivery) -> bool:
        """See `Channel`."""
        partition = delivery.partition
        if partition == REPLAY:
            partition = self._streams.partition(delivery.event.key)
        return partition in self._owned - self._leaving and self._now() < self._valid_until

    async def begin(self, delivery: Delivery, attempt: int) -> None:
        """See `Channel`."""
        if delivery.partition == REPLAY:
            return
        try:
            await self._client.hset(self._streams.attempts(self._group), _field(delivery), str(attempt))
        except (RedisError, OSError) as error:
            raise Unavailable("The event bus is not available") from error
        self._begun.add((delivery.partition, delivery.place))

    async def finish(self, deliveries: Sequence[Delivery]) -> None:
        """See `Channel`."""
        ours = [delivery for delivery in deliveries if delivery.partition != REPLAY]
        counted = [item for item in ours if item.attempts or (item.partition, item.place) in self._begun]
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for partition, places in _by_partition(ours).items():
                    pipe.xack(self._streams.stream(partition), self._group, *places)
                if counted:
                    pipe.hdel(self._streams.attempts(self._group), *map(_field, counted))
                await pipe.execute()
        except (RedisError, OSError) as error:
            raise Unavailable("The event bus is not available") from error
        for delivery in ours:
            self.drop(delivery)

    def drop(self, delivery: Delivery) -> None:
        """See `Channel`."""
        self._open[delivery.partition].discard(delivery.place)
        self._begun.discard((delivery.partition, delivery.place))

    async def lag(self) -> int:
        """See `Channel`."""
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for partition in self._streams.partitions:
                    pipe.xinfo_groups(self._streams.stream(partition))
                replies = await pipe.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            raise Unavailable("The event bus is not available") from error
        groups = [group for reply in replies if isinstance(reply, list) for group in reply]
        mine = [group for group in groups if group["name"] == self._group.encode()]
        return sum((group["lag"] or 0) + group["pending"] for group in mine)

    async def close(self) -> None:
        """See `Channel`."""
        owned, self._owned = self._owned, set()
        try:
            await self._release(owned)
            await self._client.zrem(self._streams.members(self._group), self.name)
        except (RedisError, OSError) as error:
            raise Unavailable("The event bus is not available") from error

    async def _balance(self) -> None:
        """Renew the leases, take and give back partitions, and notice what others left in ours."""
        asked_at = self._now()
        owners = [self._streams.owner(self._group, partition) for partition in self._streams.partitions]
        keys = [self._streams.members(self._group), *owners]
        share, mine = await self._balance_script(keys=keys, args=[self.name, int(self._lease_s * 1000)])
        gained = set(mine) - self._owned
        self._owned, self._leaving = set(mine), set(sorted(mine)[share:])
        self._valid_until = asked_at + self._lease_s
        self._balance_at = asked_at + self._lease_s / _BALANCES_PER_LEASE
        idle = {partition for partition in self._leaving if not self._open[partition]}
        if idle:
            await self._release(idle)
            self._owned -= idle
            self._leaving -= idle
        await self._make_groups(gained)
        self._unclaimed = (self._unclaimed | gained | await self._strange()) & (self._owned - self._leaving)

    async def _release(self, partitions: Iterable[int]) -> None:
        keys = [self._streams.owner(self._group, partition) for partition in partitions]
        await self._release_script(keys=keys, args=[self.name])

    async def _make_groups(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            try:
                await self._client.xgroup_create(self._streams.stream(partition), self._group, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def _strange(self) -> set[int]:
        """Partitions with pending entries beyond those this consumer works on: read by an owner of before, after its
        lease had lapsed, or in a reply that was lost. Raises where a group is gone (the server forgot it)."""
        partitions = sorted(self._owned - self._leaving)
        expected = {partition: len(self._open[partition]) for partition in partitions}
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for partition in partitions:
                    pipe.xpending(self._streams.stream(partition), self._group)
                replies = await pipe.execute()
        except ResponseError as error:
            if "NOGROUP" in str(error):
                await self._make_groups(partitions)
            raise
        found = zip(partitions, replies, strict=True)
        return {partition for partition, reply in found if reply["pending"] > expected[partition]}

    async def _claim(self) -> list[Delivery]:
        """Everything pending in the partitions gained, in order, but what is in work here."""
        deliveries: list[Delivery] = []
        for partition in sorted(self._unclaimed):
            stream, cursor = self._streams.stream(partition), b""
            while cursor != b"0-0":
                cursor, entries, gone = await self._client.xautoclaim(
                    stream, self._group, self.name, 0, start_id=cursor or "0-0", count=_CLAIM
                )
                if gone:
                    log.error("events.overrun", stream=stream, group=self._group, events=len(gone))
                deliveries += await self._deliveries(partition, entries, again=True)
        self._unclaimed.clear()
        return deliveries

    async def _read(self, limit: int, full: Collection[int], wait_s: float) -> list[Delivery]:
        streams: dict[Any, Any] = {
            self._streams.stream(partition): ">" for partition in self._owned - self._leaving - set(full)
        }
        wait_s = min(wait_s, max(0.0, self._balance_at - self._now()))
        if not streams:
            await asyncio.sleep(wait_s)
            return []
        block = max(1, int(wait_s * 1000)) if wait_s else None
        replies: Any = await self._client.xreadgroup(self._group, self.name, streams, count=limit, block=block)
        partitions = {self._streams.stream(partition).encode(): partition for partition in self._owned}
        deliveries: list[Delivery] = []
        for stream, (entries,) in replies.items():
            deliveries += await self._deliveries(partitions[stream], entries, again=False)
        return deliveries

    async def _deliveries(self, partition: int, entries: Iterable[Any], *, again: bool) -> list[Delivery]:
        fresh = [(place.decode(), fields) for place, fields in entries if place.decode() not in self._open[partition]]
        attempts = await self._attempts(partition, [place for place, _ in fresh]) if again and fresh else {}
        found: list[Delivery] = []
        for place, fields in fresh:
            try:
                event = decode(fields)
            except (ValueError, KeyError) as error:
                log.error("event.malformed", partition=partition, entry=place, error=type(error).__name__)
                await self._client.xack(self._streams.stream(partition), self._group, place)
                continue
            found.append(Delivery(event, partition, place, attempts.get(place, 0), again))
        return found

    async def _attempts(self, partition: int, places: Sequence[str]) -> dict[str, int]:
        fields = [f"{partition}:{place}" for place in places]
        values: Any = await self._client.hmget(self._streams.attempts(self._group), fields)
        return {place: int(value) for place, value in zip(places, values, strict=True) if value is not None}


def _field(delivery: Delivery) -> str:
    return f"{delivery.partition}:{delivery.place}"


def _by_partition(deliveries: Sequence[Delivery]) -> dict[int, list[str]]:
    places: dict[int, list[str]] = {}
    for delivery in deliveries:
        places.setdefault(delivery.partition, []).append(delivery.place)
    return places
