"""The nodes one process can reach: a handle adapter where the node is deployed elsewhere, else the node itself.

Which of the two is decided by the handles alone, so that the builder's topology is the only truth.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from deployments.remote import Handle, remote
from voicehelper.config import Settings
from voicehelper.errors import Unavailable, VoiceHelperError
from voicehelper.telemetry import get_logger

T = TypeVar("T")
_log = get_logger(__name__)


@dataclass(frozen=True)
class Node(Generic[T]):
    """A node of the chain.

    Attributes:
        name: in `settings.topology` and `settings.nodes`, and the deployment's name.
        port: the Protocol it implements.
        build: makes it inline, from the settings and the nodes it needs.
        needs: names of nodes it calls.
        unavailable: what its caller gets while its deployment is gone.
        constant: methods of the port that are asked once (see `remote`).
    """

    name: str
    port: type[T]
    build: Callable[["Nodes"], Awaitable[T]]
    needs: tuple[str, ...] = ()
    unavailable: type[Unavailable] = Unavailable
    constant: frozenset[str] = field(default=frozenset())


class Nodes:
    """Makes each node at most once, closes what was opened, and watches background tasks."""

    def __init__(self, settings: Settings, handles: Mapping[str, Handle]) -> None:
        self.settings = settings
        self._handles = handles
        self._made: dict[str, Any] = {}
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: list[asyncio.Task[None]] = []
        self._attempts: set[asyncio.Task[None]] = set()
        self.resources = AsyncExitStack()

    async def get(self, node: Node[T]) -> T:
        """The node, remote or inline. What its `build` raises."""
        if node.name not in self._made:
            self._made[node.name] = await self._make(node)
        return cast(T, self._made[node.name])

    async def _make(self, node: Node[T]) -> T:
        handle = self._handles.get(node.name)
        if handle is None:
            return await node.build(self)
        return remote(node.port, handle, unavailable=node.unavailable, constant=node.constant)

    async def shared(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        """What `make` returned the first time: a pool or a client that several nodes of this process use."""
        async with self._making[name]:  # background tasks ask too
            if name not in self._made:
                self._made[name] = await make()
        return cast(T, self._made[name])

    @property
    def handles(self) -> Mapping[str, Handle]:
        """Of all deployments that this process can call, by their names."""
        return self._handles

    def is_remote(self, node: Node[Any]) -> bool:
        """Whether `node` lives in a deployment of its own."""
        return node.name in self._handles

    def is_here(self, node: Node[Any]) -> bool:
        """Whether `node` was built in this process."""
        return node.name in self._made and not self.is_remote(node)

    def run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background until `close`; its end before that makes `check` raise."""
        self._tasks.append(asyncio.create_task(work, name=name))

    def try_once(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background; nothing depends on its success."""
        self._attempts.add(task := asyncio.create_task(_logged(name, work), name=name))
        task.add_done_callback(self._attempts.discard)

    def check(self) -> None:
        """Raises `Unavailable` when a background task has ended."""
        for task in self._tasks:
            if task.done():
                cause = None if task.cancelled() else task.exception()
                raise Unavailable(f"{task.get_name()} has stopped") from cause

    async def close(self) -> None:
        """Stop background tasks, then close resources in reverse order of opening."""
        tasks = [*self._tasks, *self._attempts]
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        for task, end in zip(tasks, ends, strict=True):
            if isinstance(end, Exception):
                _log.warning("task.failed", task=task.get_name(), error=str(end))
        self._tasks.clear()
        await self.resources.aclose()


async def _logged(name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except VoiceHelperError as error:
        _log.warning("task.gave_up", task=name, error=error.message)
