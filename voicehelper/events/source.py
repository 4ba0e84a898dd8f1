"""`EventSource` over any driver."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from voicehelper.errors import VoiceHelperError
from voicehelper.events.channel import Channel
from voicehelper.events.consumer import GroupConsumer
from voicehelper.events.letters import DeadLetters
from voicehelper.events.retry import RetryPolicy
from voicehelper.ports.clock import Clock, SystemClock
from voicehelper.ports.events import Handler
from voicehelper.telemetry import metrics

LAG_EVERY_S = 5.0


class ChannelSource:
    """Opens a channel of the driver for each group that consumes.

    Args:
        open_channel: makes this process's member of the group named; talks to nobody yet.
    """

    def __init__(
        self,
        open_channel: Callable[[str], Channel],
        letters: DeadLetters,
        policy: RetryPolicy,
        clock: Clock | None = None,
    ) -> None:
        self._open_channel = open_channel
        self._letters = letters
        self._policy = policy
        self._clock = clock or SystemClock()

    async def consume(self, group: str, handler: Handler, types: Collection[str] = ()) -> None:
        """See `EventSource`."""
        channel = self._open_channel(group)
        consumer = GroupConsumer(group, channel, handler, self._letters, self._policy, types=types, clock=self._clock)
        watch = asyncio.create_task(_watch_lag(group, channel.lag, self._clock))
        try:
            await consumer.run()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


async def _watch_lag(group: str, lag: Callable[[], Awaitable[int]], clock: Clock) -> None:
    while True:
        with suppress(VoiceHelperError, OSError):
            metrics.EVENT_LAG.labels(group).set(await lag())
        await clock.sleep(LAG_EVERY_S)
