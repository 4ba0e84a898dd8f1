"""The bus of one process: where it publishes, and where its consumer groups read."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Final

from deployments.engines import database, wakeups
from deployments.wiring import Nodes
from voicehelper.config import EventSettings
from voicehelper.events.channel import Channel
from voicehelper.events.relay import OutboxRelay
from voicehelper.events.retry import RetryPolicy
from voicehelper.events.source import ChannelSource
from voicehelper.gateway.dead_letters import DeadLetterDesk
from voicehelper.identity import Accounts
from voicehelper.identity.acts import Acts
from voicehelper.ports.clock import SystemClock
from voicehelper.ports.events import EventBus, EventSource, Handler
from voicehelper.stores.postgres import guard
from voicehelper.stores.postgres.dead_letters import PostgresDeadLetters
from voicehelper.stores.postgres.event_attempts import PostgresAttemptLog
from voicehelper.stores.postgres.outbox import PostgresOutbox
from voicehelper.stores.redis_groups import RedisChannel
from voicehelper.stores.redis_streams import RedisEventBus, connect_streams


async def event_bus(nodes: Nodes) -> EventBus:
    """Where events are published; connects at first use."""
    return await nodes.shared("event bus", lambda: _BUSES[nodes.settings.events.backend](nodes))


async def event_source(nodes: Nodes) -> EventSource:
    """Where groups of consumers read, likewise."""
    letters = await dead_letters(nodes)

    async def make() -> EventSource:
        open_channel = await _CHANNELS[nodes.settings.events.backend](nodes)
        return ChannelSource(open_channel, letters, retry_policy(nodes.settings.events))

    return await nodes.shared("event source", make)


async def dead_letters(nodes: Nodes) -> PostgresDeadLetters:
    """What groups could not handle."""
    return PostgresDeadLetters(await database(nodes), await wakeups(nodes))


async def dead_letter_desk(nodes: Nodes, accounts: Accounts) -> DeadLetterDesk:
    """For people to look at them and have them replayed."""
    unit = partial(guard.request_transaction, await database(nodes))
    return DeadLetterDesk(await dead_letters(nodes), Acts(accounts.audit, unit, SystemClock()))


async def relay(nodes: Nodes) -> OutboxRelay:
    """From the outbox to the bus; every process may run one, one at a time works."""
    outbox = PostgresOutbox(await database(nodes), await wakeups(nodes))
    letters = await dead_letters(nodes)
    return OutboxRelay(outbox, await event_bus(nodes), nodes.settings.events, also_prune=(letters,))


async def run_consumer(nodes: Nodes, group: str, handler: Handler, types: Collection[str]) -> None:
    """Have this process take part in `group` until it ends."""
    source = await event_source(nodes)
    nodes.run(f"events of {group}", source.consume(group, handler, types))


def retry_policy(settings: EventSettings) -> RetryPolicy:
    """As configured."""
    return RetryPolicy(settings.max_attempts, settings.backoff_s, settings.outage_s, settings.handler_s)


async def _redis_bus(nodes: Nodes) -> EventBus:
    client = connect_streams(nodes.settings.redis_dsn())
    nodes.resources.push_async_callback(client.aclose)
    return RedisEventBus(client, nodes.settings.events)


async def _redis_channels(nodes: Nodes) -> Callable[[str], Channel]:
    client = connect_streams(nodes.settings.redis_dsn())
    nodes.resources.push_async_callback(client.aclose)
    return lambda group: RedisChannel(client, group, nodes.settings.events)


async def _kafka_bus(nodes: Nodes) -> EventBus:
    from voicehelper.stores.kafka import KafkaEventBus  # noqa: PLC0415 - the extra `kafka`

    bus = KafkaEventBus(nodes.settings.events)
    nodes.resources.push_async_callback(bus.close)
    return bus


async def _kafka_channels(nodes: Nodes) -> Callable[[str], Channel]:
    from voicehelper.stores.kafka_groups import KafkaChannel  # noqa: PLC0415

    attempts = PostgresAttemptLog(await database(nodes))
    return lambda group: KafkaChannel(group, nodes.settings.events, attempts)


_BUSES: Final[Mapping[str, Callable[[Nodes], Awaitable[EventBus]]]] = {"redis": _redis_bus, "kafka": _kafka_bus}
_CHANNELS: Final[Mapping[str, Callable[[Nodes], Awaitable[Callable[[str], Channel]]]]] = {
    "redis": _redis_channels,
    "kafka": _kafka_channels,
}
