"""Embedding by name of the model, for the OpenAI-compatible API."""

from deployments.budgets import budget_keeper
from deployments.catalogue import live_catalogue
from deployments.models import vendor_backends
from deployments.nodes import CHAT, EMBEDDER
from deployments.wiring import Nodes
from voicehelper.models.embeddings import Embeddings
from voicehelper.ports.embedder import Embedder


async def embeddings(nodes: Nodes) -> Embeddings:
    """The instance's own model where this process can reach it without loading it once more, and the catalogue's."""
    own: Embedder | None = None
    if nodes.is_remote(EMBEDDER) or nodes.is_here(EMBEDDER):
        own = await nodes.get(EMBEDDER)
    catalogue, vendors = await live_catalogue(nodes), await vendor_backends(nodes, CHAT)
    budgets = await budget_keeper(nodes)
    return Embeddings(own, nodes.settings.embedder.model, catalogue, vendors, budgets)
