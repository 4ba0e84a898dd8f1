"""The bus of one process: where it publishes, and where its consumer groups read."""

from collections.abc import Collection
from functools import partial

from deployments.engines import database, wakeups
from deployments.wiring import Nodes
from voicehelper.config import EventSettings
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
from voicehelper.stores.postgres.outbox import PostgresOutbox
from voicehelper.stores.redis_groups import RedisChannel
from voicehelper.stores.redis_streams import RedisEventBus, connect_streams


async def event_bus(nodes: Nodes) -> EventBus:
    """Where events are published; connects at first use."""

    async def make() -> EventBus:
        client = connect_streams(nodes.settings.redis_dsn())
        nodes.resources.push_async_callback(client.aclose)
        return RedisEventBus(client, nodes.settings.events)

    return await nodes.shared("event bus", make)


async def event_source(nodes: Nodes) -> EventSource:
    """Where groups of consumers read, likewise."""
    letters = await dead_letters(nodes)

    async def make() -> EventSource:
        settings = nodes.settings.events
        client = connect_streams(nodes.settings.redis_dsn())
        nodes.resources.push_async_callback(client.aclose)
        return ChannelSource(lambda group: RedisChannel(client, group, settings), letters, retry_policy(settings))

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
