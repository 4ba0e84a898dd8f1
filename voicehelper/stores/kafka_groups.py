"""Consumer groups on Kafka, which gives each partition to one consumer of a group by itself.

What is committed is the first offset not finished; finished ones beyond it come again after a crash. Kafka does not
count deliveries: attempts are kept in an `AttemptLog` of ours. (A commit's metadata could carry them, but not every
broker keeps it: tansu 0.6 does not.)
"""

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.partitioner import DefaultPartitioner

from voicehelper.config import EventSettings
from voicehelper.errors import Unavailable
from voicehelper.events.channel import REPLAY, AttemptLog, Delivery
from voicehelper.stores.kafka import decode, ensure_topic
from voicehelper.telemetry import get_logger

log = get_logger(__name__)
T = TypeVar("T")

_SUSPECTS = 128
"""Records after the committed one which the partition's last owner may have begun."""

_HANDOVER_S = 5.0
_SHORTEST_SESSION_S = 6.0  # of Kafka's brokers, unless configured


class _Share:
    """What this consumer does with one partition."""

    def __init__(self, running: set[int]) -> None:
        self.open = running
        self.dropped: set[int] = set()
        self.begun: set[int] = set()
        self.position: int | None = None
        self.suspect_until = 0

    def arrived(self, offset: int) -> None:
        """The next record was read."""
        self.position = offset + 1

    @property
    def unfinished(self) -> int | None:
        """The first offset that is not finished; None before the first record."""
        left = self.open | self.dropped
        return min(left) if left else self.position


class KafkaChannel(ConsumerRebalanceListener):  # type: ignore[misc] # untyped
    """`Channel` of one consumer."""

    def __init__(self, group: str, settings: EventSettings, log: AttemptLog) -> None:
        self._group = group
        self._settings = settings
        self._log = log
        self._topic = settings.topic
        self._group_id = f"{settings.topic}.{group}"
        self._consumer: AIOKafkaConsumer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._shares: dict[int, _Share] = {}
        self._ours: set[int] = set()
        self._commits = asyncio.Lock()

    async def fetch(self, limit: int, full: Collection[int], wait_s: float) -> list[Delivery]:
        """See `Channel`."""
        consumer: AIOKafkaConsumer = self._consumer or await _reached(self._start())
        wanted = [TopicPartition(self._topic, partition) for partition in self._ours if partition not in full]
        if not wanted:
            await asyncio.sleep(wait_s or 0.05)
            return []
        records = await _reached(consumer.getmany(*wanted, timeout_ms=int(wait_s * 1000), max_records=limit))
        try:
            return await self._deliveries(records)
        except Unavailable:
            for where, found in records.items():
                consumer.seek(where, found[0].offset)
            raise

    def owns(self, delivery: Delivery) -> bool:
        """See `Channel`."""
        if delivery.partition != REPLAY:
            return delivery.partition in self._ours
        partitions = sorted(self._consumer.partitions_for_topic(self._topic) or ()) if self._consumer else []
        return bool(partitions) and DefaultPartitioner()(delivery.event.key.encode(), partitions, ()) in self._ours

    async def begin(self, delivery: Delivery, attempt: int) -> None:
        """See `Channel`."""
        if delivery.partition != REPLAY:
            await self._log.begun(self._group, delivery.event, attempt)
            self._shares[delivery.partition].begun.add(int(delivery.place))

    async def finish(self, deliveries: Sequence[Delivery]) -> None:
        """See `Channel`."""
        ours = [item for item in deliveries if item.partition != REPLAY]
        begun = [item for item in ours if item.attempts or int(item.place) in self._shares[item.partition].begun]
        if begun:
            await self._log.forget(self._group, [item.event.id for item in begun])
        moved: set[int] = set()
        for item in ours:
            share = self._shares[item.partition]
            before = share.unfinished
            share.open.discard(int(item.place))
            share.begun.discard(int(item.place))
            if share.unfinished != before:
                moved.add(item.partition)
        await self._commit(moved)

    def drop(self, delivery: Delivery) -> None:
        """See `Channel`. It stays unfinished: no commit may pass it."""
        share = self._shares.get(delivery.partition)
        if share is not None and int(delivery.place) in share.open:
            share.open.discard(int(delivery.place))
            share.dropped.add(int(delivery.place))

    async def lag(self) -> int:
        """See `Channel`."""
        if self._consumer is None or self._admin is None:
            raise Unavailable("The event bus is not available")
        partitions = self._consumer.partitions_for_topic(self._topic) or ()
        places = [TopicPartition(self._topic, partition) for partition in partitions]
        ends = await _reached(self._consumer.end_offsets(places))
        for place in self._consumer.assignment():  # what was fetched tells newer ends
            ends[place] = max(ends.get(place, 0), self._consumer.highwater(place) or 0)
        committed = await _reached(self._admin.list_consumer_group_offsets(self._group_id, partitions=places))
        return sum(max(0, ends[place] - max(0, committed[place].offset)) for place in places)

    async def close(self) -> None:
        """See `Channel`."""
        self._ours.clear()
        consumer, admin, self._consumer, self._admin = self._consumer, self._admin, None, None
        if consumer is not None:
            await _reached(consumer.stop())
        if admin is not None:
            await _reached(admin.close())

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Begin nothing more in these, and give what runs a moment to end."""
        lost = {place.partition for place in revoked}
        self._ours -= lost
        try:
            async with asyncio.timeout(_HANDOVER_S):
                while any(  # noqa: ASYNC110 - ends with its last handler; rebalances are rare
                    self._shares[partition].open for partition in lost if partition in self._shares
                ):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            log.warning("events.handover_late", group=self._group)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Take over, from the committed offset on."""
        self._ours = {place.partition for place in assigned}
        for partition in self._ours:
            former = self._shares.get(partition)
            self._shares[partition] = _Share(former.open if former else set())

    async def _start(self) -> AIOKafkaConsumer:
        await ensure_topic(self._settings)
        session_ms = int(max(_SHORTEST_SESSION_S, self._settings.lease_s) * 1000)
        servers = self._settings.kafka_servers
        self._admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=servers,
            group_id=self._group_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 4,
        )
        consumer.subscribe([self._topic], listener=self)
        try:
            await self._admin.start()
            await consumer.start()
        except BaseException:
            await consumer.stop()
            await self._admin.close()
            raise
        self._consumer = consumer
        return consumer

    async def _deliveries(self, records: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> list[Delivery]:
        """What is to be handled of `records`. Nothing counts as read if it raises."""
        found = [item for where, some in records.items() for item in self._decoded(where.partition, some)]
        suspects = [item.event.id for item in found if item.again]
        attempts = await self._log.attempts(self._group, suspects) if suspects else {}
        for where, some in records.items():
            for record in some:
                self._shares[where.partition].arrived(record.offset)
        found = [replace(item, attempts=attempts.get(item.event.id, 0)) for item in found]
        found = [item for item in found if item.partition in self._ours]
        for item in found:
            self._shares[item.partition].open.add(int(item.place))
        return found

    def _decoded(self, partition: int, records: Iterable[ConsumerRecord]) -> Iterator[Delivery]:
        share = self._shares[partition]
        for record in records:
            if share.position is None and not share.suspect_until:
                share.suspect_until = record.offset + _SUSPECTS
            if record.offset in share.open:
                continue  # its handler was running when the partition came back to us
            try:
                event = decode(record.value)
            except (ValueError, KeyError, TypeError) as error:
                log.error("event.malformed", partition=partition, entry=record.offset, error=type(error).__name__)
                continue
            yield Delivery(event, partition, str(record.offset), again=record.offset < share.suspect_until)

    async def _commit(self, partitions: Collection[int]) -> None:
        """Write down how far these are, one commit at a time: a later one must not be overtaken."""
        async with self._commits:
            offsets = {}
            for partition in partitions:
                share = self._shares[partition]
                unfinished = share.unfinished
                if partition in self._ours and unfinished is not None:
                    offsets[TopicPartition(self._topic, partition)] = unfinished
            if not offsets or self._consumer is None:
                return
            try:
                await _reached(self._consumer.commit(offsets))
            except (CommitFailedError, IllegalStateError):
                log.info("events.partition_lost", group=self._group)  # its next owner gets these again


async def _reached(call: Awaitable[T]) -> T:
    try:
        return await call
    except (CommitFailedError, IllegalStateError):
        raise
    except (KafkaError, OSError) as error:
        raise Unavailable("The event bus is not available") from error
