"""The router of a process: the catalogue, the ways to the models, and what all replicas know of them."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from deployments.budgets import budget_keeper
from deployments.catalogue import live_catalogue
from deployments.engines import redis_link
from deployments.experiments import experiments
from deployments.vllm import WithVllm
from deployments.wiring import Node, Nodes
from voicehelper.errors import ModelUnavailable
from voicehelper.models.attempts import Parts
from voicehelper.models.breaker import Rules
from voicehelper.models.breaker_events import LocalBreakers
from voicehelper.models.breakers import SharedBreakers
from voicehelper.models.health import Prober
from voicehelper.models.latencies import SharedLatencies
from voicehelper.models.ports import Backends
from voicehelper.models.routed import RoutedChat
from voicehelper.ports.chat import ChatEvent, ChatModel, ChatModelInfo, ChatRequest
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.breakers import BreakerChanges, RedisBreakers
from voicehelper.stores.latencies import RedisLatencies

if TYPE_CHECKING:
    from actors.chat.backends import VendorBackends


async def router(nodes: Nodes, chat: Node[ChatModel]) -> RoutedChat:
    """Routes among the models of the catalogue; `chat` is the instance's own."""
    local, catalogue = await nodes.get(chat), await live_catalogue(nodes)
    ways, breakers = await backends(nodes, chat), await _breakers(nodes)
    prober = Prober(lambda: catalogue.entries, ways, breakers, SystemClock(), nodes.settings.models.probe_s)
    nodes.run("model probes", prober.run())
    parts = Parts(ways, breakers, await _latencies(nodes), await budget_keeper(nodes), await experiments(nodes))
    return RoutedChat(catalogue, parts, local, nodes.settings.models)


async def backends(nodes: Nodes, chat: Node[ChatModel]) -> Backends:
    """The ways to the models of the catalogue; where the instance's own lives inside another process, not to that."""

    async def make() -> Backends:
        return WithVllm(await vendor_backends(nodes, chat), nodes.handles)

    return await nodes.shared("backends", make)


async def vendor_backends(nodes: Nodes, chat: Node[ChatModel]) -> "VendorBackends":
    """Those of `backends` that are vendors', embedders included."""

    async def make() -> "VendorBackends":
        from actors.chat.backends import VendorBackends  # noqa: PLC0415 - the SDKs take a second to import

        reachable = nodes.is_remote(chat) or nodes.is_here(chat)
        local = await nodes.get(chat) if reachable else _OutOfReach()
        vendors = VendorBackends(local, await live_catalogue(nodes))
        nodes.resources.push_async_callback(vendors.close)
        return vendors

    return await nodes.shared("vendors", make)


async def _breakers(nodes: Nodes) -> SharedBreakers:
    rules = Rules.of(nodes.settings.models)
    store = RedisBreakers(nodes.settings.redis_dsn(), rules)
    nodes.resources.push_async_callback(store.close)
    breakers = SharedBreakers(store, LocalBreakers(rules), BreakerChanges(await redis_link(nodes)))
    nodes.run("breakers", breakers.run())
    return breakers


async def _latencies(nodes: Nodes) -> SharedLatencies:
    store = RedisLatencies(nodes.settings.redis_dsn())
    nodes.resources.push_async_callback(store.close)
    latencies = SharedLatencies(store)
    nodes.run("latencies", latencies.run())
    return latencies


class _OutOfReach:
    """The instance's own model, seen from where it is not."""

    async def describe(self) -> ChatModelInfo:
        raise ModelUnavailable("The instance's own model is out of reach here")

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        raise ModelUnavailable("The instance's own model is out of reach here")
        yield  # a generator, as the port wants

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        raise ModelUnavailable("The instance's own model is out of reach here")
