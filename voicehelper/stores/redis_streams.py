"""Events on Redis (Valkey) streams: the bus. `redis_groups` has the consumers' side.

A stream for each partition, `{topic}:0`, `{topic}:1` ...; an event goes to the one of its key. (The braces keep them in
one slot of a cluster.) An entry's fields: `id`, `type`, `version`, `tenant_id`, `key`, `occurred_at`, `payload` (JSON).
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.typing import EncodableT, FieldT

from voicehelper.config import EventSettings
from voicehelper.errors import Unavailable
from voicehelper.ports.events import Event
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

_IDLE_MS = 3_600_000
"""A consumer silent for longer, and without pending entries, is removed from its group."""


class Streams:
    """Names of the streams and of what lies beside them."""

    def __init__(self, settings: EventSettings) -> None:
        self.partitions = range(settings.partitions)
        self._prefix = f"{{{settings.topic}}}"

    def stream(self, partition: int) -> str:
        """The stream of a partition."""
        return f"{self._prefix}:{partition}"

    def partition(self, key: str) -> int:
        """The partition of a key."""
        return zlib.crc32(key.encode()) % len(self.partitions)

    @property
    def mark(self) -> str:
        """The newest mark that was published."""
        return f"{self._prefix}:mark"

    def members(self, group: str) -> str:
        """Sorted set: the group's consumers, by when they count as gone (Unix milliseconds)."""
        return f"{self._prefix}:members:{group}"

    def owner(self, group: str, partition: int) -> str:
        """The consumer of the group that owns the partition, for the time of its lease."""
        return f"{self._prefix}:owner:{group}:{partition}"

    def attempts(self, group: str) -> str:
        """Hash: attempts begun at deliveries that did not succeed at once."""
        return f"{self._prefix}:attempts:{group}"


class RedisEventBus:
    """`EventBus`.

    Entries are dropped once every group has finished them, beyond `max_length` entries also before (the outbox still
    has them then, see `EventSettings.keep_s`).
    """

    def __init__(self, client: Redis, settings: EventSettings) -> None:
        self._client = client
        self._streams = Streams(settings)
        self._max_length = settings.max_length

    async def publish(self, events: Sequence[Event], mark: int = 0) -> None:
        """See `EventBus`. The mark is written after the events, so a server that lost its newest writes has no later
        mark than events."""
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for event in events:
                    stream = self._streams.stream(self._streams.partition(event.key))
                    pipe.xadd(stream, encode(event), maxlen=self._max_length, approximate=True)
                pipe.set(self._streams.mark, mark)
                await pipe.execute()
        except (RedisError, OSError) as error:
            raise Unavailable("The event bus is not available") from error

    async def marked(self) -> int | None:
        """See `EventBus`."""
        try:
            return int(await self._client.get(self._streams.mark) or 0)
        except (RedisError, OSError) as error:
            raise Unavailable("The event bus is not available") from error

    async def tidy(self) -> None:
        """See `EventBus`."""
        try:
            for partition in self._streams.partitions:
                await self._trim(self._streams.stream(partition))
        except (RedisError, OSError) as error:
            raise Unavailable("The event bus is not available") from error

    async def _trim(self, stream: str) -> None:
        if not await self._client.exists(stream):
            return
        length = await self._client.xlen(stream)
        done: list[bytes] = []
        for group in await self._client.xinfo_groups(stream):
            name = group["name"]
            if (group["lag"] or 0) > length:
                log.error("events.overrun", stream=stream, group=name.decode(), events=group["lag"] - length)
            pending = await self._client.xpending(stream, name)
            done.append(pending["min"] or group["last-delivered-id"])
            await self._forget_consumers(stream, name)
        if done:
            await self._client.xtrim(stream, minid=min(done, key=_entry_order), approximate=True)

    async def _forget_consumers(self, stream: str, group: bytes) -> None:
        for consumer in await self._client.xinfo_consumers(stream, group):
            if consumer["pending"] == 0 and consumer["idle"] > _IDLE_MS:
                await self._client.xgroup_delconsumer(stream, group, consumer["name"])

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def connect_streams(url: str, connections: int = 16) -> Redis:
    """A client of the server at `url`; connects at first use. Replies come as bytes, nothing is tried twice."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=5,
        socket_timeout=5,
        socket_connect_timeout=2,
        protocol=3,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis(connection_pool=pool)


def encode(event: Event) -> dict[FieldT, EncodableT]:
    """The fields of an entry."""
    return {
        "id": str(event.id),
        "type": event.type,
        "version": event.version,
        "tenant_id": str(event.tenant_id),
        "key": event.key,
        "occurred_at": event.occurred_at,
        "payload": orjson.dumps(event.payload),
    }


def decode(fields: Mapping[bytes, bytes]) -> Event:
    """The event of an entry. Raises `ValueError` or `KeyError` where it is none of ours."""
    payload: dict[str, Any] = orjson.loads(fields[b"payload"])
    return Event(
        UUID(fields[b"id"].decode()),
        fields[b"type"].decode(),
        UUID(fields[b"tenant_id"].decode()),
        payload,
        int(fields[b"version"]),
        fields[b"key"].decode(),
        float(fields[b"occurred_at"]),
    )


def _entry_order(entry_id: bytes) -> tuple[int, ...]:
    return tuple(int(part) for part in entry_id.split(b"-"))
