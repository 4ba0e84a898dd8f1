"""The router of a process: the catalogue, the ways to the models, and what all replicas know of them."""

from deployments.catalogue import live_catalogue
from deployments.vllm import WithVllm
from deployments.wiring import Node, Nodes
from voicehelper.errors import ModelUnavailable
from voicehelper.models.attempts import Parts
from voicehelper.models.model import LOCAL, ModelEntry
from voicehelper.models.null import NoBreakers, NoBudgets, NoExperiments, NoLatencies
from voicehelper.models.routed import RoutedChat
from voicehelper.ports.chat import ChatModel


async def router(nodes: Nodes, chat: Node[ChatModel]) -> RoutedChat:
    """Routes among the models of the catalogue; `chat` is the instance's own."""
    local = await nodes.get(chat)
    backends = WithVllm(_OwnModel(local), nodes.handles)
    parts = Parts(backends, NoBreakers(), NoLatencies(), NoBudgets(), NoExperiments())
    return RoutedChat(await live_catalogue(nodes), parts, local, nodes.settings.models)


class _OwnModel:
    """The instance's own model, and no other."""

    def __init__(self, local: ChatModel) -> None:
        self._local = local

    def chat(self, entry: ModelEntry) -> ChatModel:
        if entry.provider == LOCAL:
            return self._local
        raise ModelUnavailable("This provider is not installed here")
