"""What a write has outside the database, such as deleting a file, waits until the write is certain."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

Effect = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Pending:
    """Effects of the transaction that `task` has open."""

    task: "asyncio.Task[object] | None"
    effects: list[Effect] = field(default_factory=list)


_PENDING: ContextVar[_Pending | None] = ContextVar("voicehelper_effects", default=None)


async def after_commit(effect: Effect) -> None:
    """Run `effect` once the request's transaction is committed, and never if it is rolled back; at once where this task
    has none open. It must not raise, and must be of the kind that something makes up for if the process dies first."""
    pending = _PENDING.get()
    if pending is None or pending.task is not asyncio.current_task():
        await effect()
    else:
        pending.effects.append(effect)


@asynccontextmanager
async def effects_after() -> AsyncIterator[None]:
    """The block is the transaction: what it leaves to `after_commit` runs at its end, unless it raises."""
    pending = _Pending(asyncio.current_task())
    token = _PENDING.set(pending)
    try:
        yield
    finally:
        _PENDING.reset(token)
    for effect in pending.effects:
        await effect()
