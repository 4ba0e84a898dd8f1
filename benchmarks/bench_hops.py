"""What a hop costs: the same echo port inline, behind a deployment handle, and the parts of our adapter.

    python -m benchmarks.bench_hops [--calls 100] [--deltas 200]

Starts its own Ray on this machine and ends it. Prints microseconds: median and 95th percentile.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import ray
from ray import serve

from benchmarks.report import quantiles, table
from deployments.remote import Handle, remote
from deployments.replica import NodeReplica
from deployments.wiring import Node, Nodes
from voicehelper.ports.chat import ChatDelta

_ROUNDS = 5


class Echo(Protocol):
    """Gives back what it gets."""

    async def once(self, text: str) -> str:
        """`text`."""
        ...

    def many(self, text: str, times: int) -> AsyncIterator[ChatDelta]:
        """`text`, `times` times."""
        ...


class EchoNode:
    """The port, in process."""

    async def once(self, text: str) -> str:
        """`text`."""
        return text

    async def many(self, text: str, times: int) -> AsyncIterator[ChatDelta]:
        """Each with a turn of the event loop between, as a model would."""
        for _ in range(times):
            await asyncio.sleep(0)
            yield ChatDelta(text)


async def _build(_nodes: Nodes) -> Echo:
    return EchoNode()


ECHO: Node[Echo] = Node("echo", Echo, _build)  # type: ignore[type-abstract]


class BareEcho:
    """A deployment without our adapter: the floor."""

    async def once(self, text: str) -> str:
        """`text`."""
        return text

    async def many(self, text: str, times: int) -> AsyncIterator[str]:
        """As `EchoNode`."""
        for _ in range(times):
            await asyncio.sleep(0)
            yield text


class Probe:
    """Measures from within a replica, where our callers are."""

    def __init__(self, echo: Handle, bare: Handle) -> None:
        self.echo: Echo = remote(Echo, echo)  # type: ignore[type-abstract]
        self.bare = bare
        self.bare_stream: Any = bare.options(stream=True)

    async def measure(self, calls: int, deltas: int) -> dict[str, list[float]]:
        """Microseconds by what was measured."""
        inline = EchoNode()

        async def bare_stream() -> None:
            async for _ in self.bare_stream.many.remote("字", deltas):
                pass

        async def stream(node: Echo) -> None:
            async for _ in node.many("字", deltas):
                pass

        few = max(5, calls // 20)
        results: dict[str, list[float]] = {}
        for _ in range(_ROUNDS):  # in turns, so that a busy machine is busy for all alike
            for name, timed in (
                ("unary, inline", _timed(lambda: inline.once("x"), calls)),
                ("unary, bare handle", _timed(lambda: self.bare.once.remote("x"), calls)),
                ("unary, adapter", _timed(lambda: self.echo.once("x"), calls)),
                ("stream per delta, inline", _timed(lambda: stream(inline), few, deltas)),
                ("stream per delta, bare handle", _timed(bare_stream, few, deltas)),
                ("stream per delta, adapter", _timed(lambda: stream(self.echo), few, deltas)),
            ):
                results.setdefault(name, []).extend(await timed)
        return results


async def _timed(call: Callable[[], Awaitable[Any]], times: int, per: int = 1) -> list[float]:
    for _ in range(max(2, times // 10)):
        await call()
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        await call()
        spent.append((time.perf_counter() - started) / per * 1e6)
    return spent


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--deltas", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vh", ignore_cleanup_errors=True) as folder:
        ray.init(address="local", num_cpus=2, include_dashboard=False, _temp_dir=folder, log_to_driver=False)
        serve.start(proxy_location="Disabled")
        options: dict[str, Any] = {"ray_actor_options": {"num_cpus": 0.1}, "max_ongoing_requests": 100}
        deploy: Any = partial(serve.deployment, **options)
        echo = deploy(NodeReplica, name="echo").bind(ECHO, {}, {})
        bare = deploy(BareEcho, name="bare").bind()
        probe: Any = serve.run(deploy(Probe, name="probe").bind(echo, bare), route_prefix=None)
        results = probe.measure.remote(args.calls, args.deltas).result()
        ray.shutdown()
    print(table(["microseconds", "p50 / p95"], [[name, quantiles(values, 1)] for name, values in results.items()]))


if __name__ == "__main__":
    main()
