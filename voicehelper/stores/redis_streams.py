"""Events on a Redis (Valkey) stream. Consumers read with groups of their own and are idempotent on the event's id."""

import orjson
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError
from redis.typing import EncodableT, FieldT

from voicehelper.errors import Unavailable
from voicehelper.ports.events import Event

STREAM = "voicehelper:events"
MAX_LENGTH = 100_000
"""Entries kept, about: the stream is a relay, not an archive."""


class RedisEventBus:
    """`EventBus`: one stream, oldest entries trimmed.

    An entry's fields: `id`, `type`, `tenant_id` and `payload` (JSON).
    """

    def __init__(self, client: Redis, stream: str = STREAM, max_length: int = MAX_LENGTH) -> None:
        self._client = client
        self._stream = stream
        self._max_length = max_length

    async def publish(self, event: Event) -> None:
        """See `EventBus`."""
        fields: dict[FieldT, EncodableT] = {
            "id": str(event.id),
            "type": event.type,
            "tenant_id": str(event.tenant_id),
            "payload": orjson.dumps(event.payload),
        }
        try:
            await self._client.xadd(self._stream, fields, maxlen=self._max_length, approximate=True)
        except (RedisError, OSError) as error:
            raise Unavailable("The event bus is not available") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def connect_events(url: str) -> RedisEventBus:
    """A bus on the server at `url`; connects at first use."""
    pool = BlockingConnectionPool.from_url(
        url, max_connections=4, timeout=5, socket_timeout=5, socket_connect_timeout=2, protocol=3
    )
    return RedisEventBus(Redis(connection_pool=pool))
