"""Events on Kafka: the bus. `kafka_groups` has the consumers' side.

One topic. A record's key is the event's, so that the events of one key lie in one partition, in order; its value is a
JSON object with the event's fields.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from voicehelper.config import EventSettings
from voicehelper.errors import Unavailable
from voicehelper.ports.events import Event

_PUBLISH_S = 10.0


class KafkaEventBus:
    """`EventBus`. Kafka keeps what it acknowledged, so there are no marks; retention is the topic's affair."""

    def __init__(self, settings: EventSettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, events: Sequence[Event], mark: int = 0) -> None:
        """See `EventBus`."""
        try:
            async with asyncio.timeout(_PUBLISH_S):
                producer = self._producer or await self._start()
                sent = [
                    await producer.send(self._settings.topic, encode(event), key=event.key.encode()) for event in events
                ]
                await asyncio.gather(*sent)
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable("The event bus is not available") from error

    async def marked(self) -> int | None:
        """See `EventBus`."""
        return None

    async def tidy(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Send what waits and close the connections."""
        if self._producer is not None:
            await self._producer.stop()

    async def _start(self) -> AIOKafkaProducer:
        await ensure_topic(self._settings)
        # One batch of a partition is on its way at a time (aiokafka), so order needs no idempotent producer, which not
        # every broker offers; repetitions are the consumers' to expect.
        producer = AIOKafkaProducer(bootstrap_servers=self._settings.kafka_servers, acks="all", request_timeout_ms=5000)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer
        return producer


async def ensure_topic(settings: EventSettings) -> None:
    """Make the topic where it does not exist. Raises `KafkaError`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_servers, request_timeout_ms=5000)
    try:
        await admin.start()
        if settings.topic not in await admin.list_topics():
            await admin.create_topics([NewTopic(settings.topic, settings.partitions, settings.kafka_replicas)])
    except TopicAlreadyExistsError:
        pass
    finally:
        await admin.close()


def encode(event: Event) -> bytes:
    """The value of a record."""
    return orjson.dumps(
        {
            "id": event.id,
            "type": event.type,
            "version": event.version,
            "tenant_id": event.tenant_id,
            "key": event.key,
            "occurred_at": event.occurred_at,
            "payload": event.payload,
        }
    )


def decode(value: bytes | None) -> Event:
    """The event of a record. Raises `ValueError`, `KeyError` or `TypeError` where it is none of ours."""
    fields: dict[str, Any] = orjson.loads(value or b"")
    return Event(
        UUID(fields["id"]),
        str(fields["type"]),
        UUID(fields["tenant_id"]),
        dict(fields["payload"]),
        int(fields["version"]),
        str(fields["key"]),
        float(fields["occurred_at"]),
    )
