"""Tells when Serve wants this replica to end. Serve then waits for its requests, sockets included, before it runs any
hook of ours; a call that goes on for an hour would be waited for, and cut off at last."""

import asyncio
from collections.abc import Awaitable, Callable

from ray._private.worker import global_worker

from voicehelper.telemetry import get_logger

log = get_logger(__name__)

_EVERY_S = 0.25


def leaving() -> bool:
    """Whether the replica this process holds is being shut down. False where Serve's insides are not as we know them:
    calls are cut off then, and resumed by their clients all the same."""
    actor = getattr(global_worker, "actors", {}).get(global_worker.actor_id)
    return bool(getattr(getattr(actor, "_replica_impl", None), "_shutting_down", False))


async def when_leaving(act: Callable[[], Awaitable[None]]) -> None:
    """`act` once, as soon as that is so; then wait to be cancelled."""
    while not leaving():  # noqa: ASYNC110 - nobody tells us
        await asyncio.sleep(_EVERY_S)
    log.info("replica.leaving")
    await act()
    await asyncio.Event().wait()
