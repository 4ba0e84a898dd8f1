"""The other side of `deployments.remote`: a Serve replica that holds one node."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from deployments.frames import Call, Failed
from deployments.remote import Handle
from deployments.wiring import Node, Nodes
from voicehelper.config import Settings
from voicehelper.context import use_context
from voicehelper.errors import VoiceHelperError
from voicehelper.telemetry import configure_logging, configure_tracing, continue_trace


class NodeReplica:
    """Builds its node when the replica starts, then: restores each call's context, hands expected errors back as
    values, reports health, and closes what the node opened when the replica ends."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, node: Node[Any], args: dict[str, Any], handles: dict[str, Handle]
    ) -> None:
        self._name = node.name
        self._nodes = open_nodes(node.name, args, handles)
        self._node = await self._nodes.get(node)

    async def unary(self, call: Call) -> Any:
        """The result of a coroutine method, or `Failed`."""
        return await call_unary(self._node, self._name, call)

    async def stream(self, call: Call) -> AsyncIterator[Any]:
        """The items of an async generator method; `Failed` may be the last. Serve cancels it when the caller goes."""
        async with aclosing(call_stream(self._node, self._name, call)) as items:
            async for item in items:
                yield item

    async def check_health(self) -> None:
        """Raises when a background task of this replica died: Serve then replaces the replica."""
        self._nodes.check()

    async def __del__(self) -> None:
        """Serve awaits this at graceful shutdown."""
        await self._nodes.close()


async def call_unary(node: Any, name: str, call: Call) -> Any:
    """What the method of `node` returns, in the call's context; `Failed` for an expected error."""
    with _restored(call, name):
        try:
            return await getattr(node, call.method)(*call.args, **call.kwargs)
        except VoiceHelperError as error:
            return Failed(error)


async def call_stream(node: Any, name: str, call: Call) -> AsyncGenerator[Any, None]:
    """What the generator method of `node` yields, likewise."""
    with _restored(call, name):
        try:
            async with aclosing(getattr(node, call.method)(*call.args, **call.kwargs)) as items:
                async for item in items:
                    yield item
        except VoiceHelperError as error:
            yield Failed(error)


def open_nodes(name: str, args: dict[str, Any], handles: dict[str, Handle]) -> Nodes:
    """Settings, logs and traces of a replica that is `name`, and the nodes it can reach."""
    settings = Settings(**args)
    # Serve puts a logger of its own before `sys.stderr`, whose level would swallow our lines.
    configure_logging(settings.telemetry.log_level, sys.__stderr__)
    configure_tracing(f"voicehelper-{name}", settings.telemetry.otlp_endpoint)
    return Nodes(settings, handles)


@contextmanager
def _restored(call: Call, name: str) -> Iterator[None]:
    with use_context(call.context), continue_trace(call.context.carrier, f"{name}.{call.method}"):
        yield
