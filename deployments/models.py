"""The router of a process: the catalogue, the ways to the models, and what all replicas know of them."""

from collections.abc import AsyncIterator, Sequence

from deployments.catalogue import live_catalogue
from deployments.vllm import WithVllm
from deployments.wiring import Node, Nodes
from voicehelper.errors import ModelUnavailable
from voicehelper.models.attempts import Parts
from voicehelper.models.null import NoBreakers, NoBudgets, NoExperiments, NoLatencies
from voicehelper.models.ports import Backends
from voicehelper.models.routed import RoutedChat
from voicehelper.ports.chat import ChatEvent, ChatModel, ChatModelInfo, ChatRequest


async def router(nodes: Nodes, chat: Node[ChatModel]) -> RoutedChat:
    """Routes among the models of the catalogue; `chat` is the instance's own."""
    local = await nodes.get(chat)
    parts = Parts(await backends(nodes, chat), NoBreakers(), NoLatencies(), NoBudgets(), NoExperiments())
    return RoutedChat(await live_catalogue(nodes), parts, local, nodes.settings.models)


async def backends(nodes: Nodes, chat: Node[ChatModel]) -> Backends:
    """The ways to the models of the catalogue; where the instance's own lives inside another process, not to that."""

    async def make() -> Backends:
        from actors.chat.backends import VendorBackends  # noqa: PLC0415 - the SDKs take a second to import

        reachable = nodes.is_remote(chat) or nodes.is_here(chat)
        local = await nodes.get(chat) if reachable else _OutOfReach()
        vendors = VendorBackends(local, await live_catalogue(nodes))
        nodes.resources.push_async_callback(vendors.close)
        return WithVllm(vendors, nodes.handles)

    return await nodes.shared("backends", make)


class _OutOfReach:
    """The instance's own model, seen from where it is not."""

    async def describe(self) -> ChatModelInfo:
        raise ModelUnavailable("The instance's own model is out of reach here")

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        raise ModelUnavailable("The instance's own model is out of reach here")
        yield  # a generator, as the port wants

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        raise ModelUnavailable("The instance's own model is out of reach here")
