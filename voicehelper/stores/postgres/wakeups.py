"""LISTEN/NOTIFY as something to wait on. A lost notification costs the waiter's time-out, never correctness."""

import asyncio
from contextlib import suppress
from contextvars import Context
from functools import partial

import asyncpg

from voicehelper.errors import Unavailable
from voicehelper.stores.postgres.guard import SYSTEM, connection
from voicehelper.stores.postgres.pool import Connection, Pool

INDEX = "voicehelper_index"
KEYWORD = "voicehelper_keyword"
OUTBOX = "voicehelper_outbox"
IDENTITY = "voicehelper_identity"
REPLAYS = "voicehelper_replays"
BUDGETS = "voicehelper_budgets"
EXPERIMENTS = "voicehelper_experiments"
MODELS = "voicehelper_models"
CHANNELS = (INDEX, KEYWORD, OUTBOX, IDENTITY, REPLAYS, BUDGETS, EXPERIMENTS, MODELS)


async def notify(conn: Connection, channel: str) -> None:
    """Wake whoever waits on `channel`, once the transaction commits."""
    await conn.execute("SELECT pg_notify($1, '')", channel)


class Wakeups:
    """Waits for notifications, on one connection that is opened at first use and again when it was lost."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._events: dict[str, asyncio.Event] = {}
        self._listener: asyncio.Task[None] | None = None

    async def wait(self, channel: str, timeout: float) -> None:
        """Return at a notification on `channel` (also one since the last call), or after `timeout` seconds."""
        event = self._events.setdefault(channel, asyncio.Event())
        if self._listener is None or self._listener.done():
            # In a context of its own: it outlives the request that happened to come first.
            self._listener = asyncio.create_task(self._listen(), context=Context())
        with suppress(TimeoutError):  # not `wait_for`: before 3.12 it loses a cancellation that comes with the event
            async with asyncio.timeout(timeout):
                await event.wait()
        event.clear()

    async def close(self) -> None:
        """Give the connection back."""
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener

    async def _listen(self) -> None:
        """Hold a connection and listen on every channel, until it is lost."""
        with suppress(Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError):  # lost, perhaps while it was left
            async with connection(self._pool, SYSTEM) as conn:
                lost = asyncio.Event()
                conn.add_termination_listener(partial(_set, lost))
                try:
                    for channel in CHANNELS:
                        await conn.add_listener(channel, self._notified)
                    await lost.wait()
                finally:
                    for channel in CHANNELS:
                        await conn.remove_listener(channel, self._notified)

    def _notified(self, _connection: object, _pid: int, channel: str, _payload: object) -> None:
        self._events.setdefault(channel, asyncio.Event()).set()


def _set(event: asyncio.Event, _connection: object) -> None:
    event.set()
