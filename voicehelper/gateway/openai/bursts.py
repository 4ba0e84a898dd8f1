"""Reading a stream so that what is there already goes out together, and nothing waits for what is not."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Bursts(Generic[T]):
    """`await bursts.next()` is `anext(source)`, but calls `before_waiting` whenever the source has nothing yet.

    A source that read several events at once gives them without suspending in between: the first step of its `anext`
    ends at once. Only when that step suspends is there anything to wait for, and then what was gathered is sent first.
    No task and no timer: the source is driven by hand within the caller's task.
    """

    def __init__(self, source: AsyncGenerator[T, None], before_waiting: Callable[[], Awaitable[None]]) -> None:
        self._source = source
        self._before_waiting = before_waiting

    def next(self) -> Awaitable[T]:
        """The next event. Raises `StopAsyncIteration` at the end, and whatever the source raises."""
        return self

    def __await__(self) -> Generator[Any, Any, T]:
        step = self._source.__anext__().__await__()
        try:
            awaited = step.send(None)
        except StopIteration as ready:
            found: T = ready.value
            return found
        first: BaseException | None = None
        try:
            yield from self._before_waiting().__await__()
        except BaseException as failure:  # noqa: BLE001 - thrown into the source below, which must not be left halfway
            first = failure
        try:
            while True:
                try:
                    if first is not None:
                        thrown, first = first, None
                        raise thrown
                    sent = yield awaited
                except GeneratorExit:
                    step.close()
                    raise
                except BaseException as failure:  # noqa: BLE001 - as `yield from` does: the source handles it
                    awaited = step.throw(failure)
                else:
                    awaited = step.send(sent)
        except StopIteration as ready:
            later: T = ready.value
            return later
