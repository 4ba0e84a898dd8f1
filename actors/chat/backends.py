"""The models of the catalogue, ready to be called."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import openai

from actors.chat.openai_compatible import OpenAICompatibleChat
from actors.chat.providers import EntryOptions, Provider, Wire, options_of, provider_of, shape_of
from actors.chat.remote import RemoteChat
from actors.chat.upstream import CONNECT_S, Upstream, http_client
from actors.embedding.remote import RemoteEmbedder, prefixes_of
from actors.reranker.remote import RemoteReranker, cohere_body, dashscope_body
from voicehelper.errors import ModelUnavailable
from voicehelper.models.model import LOCAL, ModelEntry
from voicehelper.models.ports import Secrets
from voicehelper.ports.chat import ChatEvent, ChatModel, ChatModelInfo, ChatRequest
from voicehelper.ports.embedder import Embedder
from voicehelper.ports.reranker import Reranker

_MOST_EMBEDDED = 8192
_TENANTS_OWN = "own"  # in metrics: tenants' names of models have no end


def _openai(*args: Any, **kwargs: Any) -> RemoteChat:
    return OpenAICompatibleChat(*args, **kwargs)


def _anthropic(*args: Any, **kwargs: Any) -> RemoteChat:
    from actors.chat.anthropic_messages import AnthropicChat  # noqa: PLC0415 - a second to import

    return AnthropicChat(*args, **kwargs)


_CHATS: dict[Wire, Callable[..., RemoteChat]] = {"openai": _openai, "anthropic": _anthropic}


class VendorBackends:
    """Implements `Backends`, and gives embedders and rerankers of the catalogue likewise.

    A model is made at first use and again when its entry's version changed. The connections belong to this object, not
    to the models: one that was superseded is just forgotten, and its running streams end in peace.

    Args:
        local: the instance's own model, for entries of the provider `local`.
        secrets: opens the entries' keys.
    """

    def __init__(self, local: ChatModel, secrets: Secrets) -> None:
        self._local = _OwnModel(local)
        self._secrets = secrets
        self._chats: dict[UUID, tuple[int, RemoteChat]] = {}
        self._embedders: dict[UUID, tuple[int, RemoteEmbedder]] = {}
        self._rerankers: dict[UUID, tuple[int, RemoteReranker]] = {}
        self._http: dict[str, httpx2.AsyncClient] = {}

    def chat(self, entry: ModelEntry) -> ChatModel:
        """See `Backends`."""
        if entry.provider == LOCAL:
            return self._local
        known = self._chats.get(entry.id)
        if known is None or known[0] != entry.version:
            self._chats[entry.id] = known = (entry.version, self._make_chat(entry))
        return known[1]

    def embedder(self, entry: ModelEntry) -> Embedder:
        """The embedding model behind `entry`. Raises `ModelUnavailable` as `chat`."""
        known = self._embedders.get(entry.id)
        if known is None or known[0] != entry.version:
            self._embedders[entry.id] = known = (entry.version, self._make_embedder(entry))
        return known[1]

    def reranker(self, entry: ModelEntry) -> Reranker:
        """The reranker behind `entry`. Raises `ModelUnavailable` as `chat`."""
        known = self._rerankers.get(entry.id)
        if known is None or known[0] != entry.version:
            self._rerankers[entry.id] = known = (entry.version, self._make_reranker(entry))
        return known[1]

    async def close(self) -> None:
        """Close all connections. Running streams break."""
        clients, self._http = list(self._http.values()), {}
        for client in clients:
            await client.aclose()

    def _make_chat(self, entry: ModelEntry) -> RemoteChat:
        provider, options = provider_of(entry), options_of(entry)
        base_url = _base_url(entry, provider)
        model = options.adapter or _remote(entry)
        return _CHATS[provider.wire](
            base_url,
            self._key(entry, provider),
            model=model,
            context_tokens=entry.context_tokens,
            parallel=entry.limits.parallel,
            queue=options.queue,
            silence_s=options.silence_s,
            shape=shape_of(provider, model, options),
            fixed=True,
            metered=model if entry.tenant_id is None else _TENANTS_OWN,
            http=self._connections(base_url),
        )

    def _make_embedder(self, entry: ModelEntry) -> RemoteEmbedder:
        provider, options = provider_of(entry), options_of(entry)
        model = _remote(entry)
        query, passage = prefixes_of(model)
        return RemoteEmbedder(
            self._endpoint(entry, provider, options, "/embeddings"),
            model,
            name=f"{provider.name}/{model}",
            dimensions=options.dimensions,
            metered=model if entry.tenant_id is None else _TENANTS_OWN,
            max_tokens=options.max_tokens or min(entry.context_tokens, _MOST_EMBEDDED),
            batch=options.batch or provider.embed_batch,
            prefixes=(options.query_prefix or query, options.passage_prefix or passage),
            base64_floats=provider.base64_vectors,
        )

    def _make_reranker(self, entry: ModelEntry) -> RemoteReranker:
        provider, options = provider_of(entry), options_of(entry)
        model = _remote(entry)
        where = options.rerank_url or next(url for pattern, url in provider.rerank if pattern.match(model))
        body = dashscope_body if where.endswith("/text-rerank") else cohere_body
        return RemoteReranker(self._endpoint(entry, provider, options, where), model, body)

    def _endpoint(self, entry: ModelEntry, provider: Provider, options: EntryOptions, where: str) -> Upstream:
        if provider.wire != "openai":
            raise ModelUnavailable("The provider has no such models", {"model": entry.name})
        base_url = _base_url(entry, provider)
        client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=self._key(entry, provider) or "none",
            max_retries=0,
            timeout=openai.Timeout(options.silence_s, connect=CONNECT_S),
            http_client=self._connections(base_url),
        )
        return Upstream(client.post, where, options.headers, provider.busy_words)

    def _key(self, entry: ModelEntry, provider: Provider) -> str:
        key = self._secrets.key_of(entry)
        if provider.needs_key and not key:
            raise ModelUnavailable("The model has no key to its provider", {"model": entry.name})
        return key

    def _connections(self, base_url: str) -> httpx2.AsyncClient:
        scheme = base_url.partition(":")[0]
        if scheme not in self._http:
            self._http[scheme] = http_client(base_url)
        return self._http[scheme]


def _remote(entry: ModelEntry) -> str:
    return entry.remote or entry.name


def _base_url(entry: ModelEntry, provider: Provider) -> str:
    url = (entry.base_url or provider.base_url).rstrip("/")
    try:
        if httpx2.URL(url).host:
            return url
    except httpx2.InvalidURL:
        pass
    raise ModelUnavailable("The model has no address", {"model": entry.name})


class _OwnModel:
    """The instance's own model, which is asked by no name."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    async def describe(self) -> ChatModelInfo:
        return await self._model.describe()

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        return self._model.stream(replace(request, model="") if request.model else request)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return await self._model.count_tokens(texts)
