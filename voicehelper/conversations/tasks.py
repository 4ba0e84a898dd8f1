"""Ending background tasks."""

import asyncio
from collections.abc import Iterable

_AGAIN_S = 1.0


async def end_tasks(tasks: "Iterable[asyncio.Task[None]]") -> None:
    """Cancel `tasks` and wait until they have ended; what they raised is dropped.

    One cancellation is not always enough: it is lost where it comes together with the result of an `asyncio.wait_for`
    (Python before 3.12), as drivers use it.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
        for task in ended:
            _ = task.cancelled() or task.exception()
