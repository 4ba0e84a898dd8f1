"""The nodes of the chain and what each is made of, in the order in which they need each other.

Model libraries are loaded only in the process that builds the model, hence the imports within functions.
"""

from typing import Any, Protocol

from deployments.engines import database, keyword_follower, objects, redis_link, wakeups
from deployments.events import relay
from deployments.models import router
from deployments.reader import IsolatedReader
from deployments.wiring import Node, Nodes
from voicehelper.documents.isolation import IsolatedParser
from voicehelper.documents.pipeline import parse_limits
from voicehelper.embedded.models.errors import ModelNotPulled
from voicehelper.errors import ModelUnavailable
from voicehelper.knowledge.housekeeping import Housekeeper
from voicehelper.knowledge.worker import IndexWorker
from voicehelper.ports.chat import ChatModel
from voicehelper.ports.embedder import Embedder
from voicehelper.ports.speech import SpeechToText, TextToSpeech
from voicehelper.rag.answerer import Answerer
from voicehelper.rag.port import QuestionAnswerer
from voicehelper.rag.prompt import stable_prefix
from voicehelper.rag.remembered import RememberingAnswerer
from voicehelper.retrieval.hybrid import HybridRetriever
from voicehelper.retrieval.model import Retriever
from voicehelper.stores.keyword_files import keyword_folder
from voicehelper.stores.postgres.index_queue import PostgresIndexQueue, PostgresObjectTrash
from voicehelper.stores.postgres.passages import PostgresPassages
from voicehelper.stores.postgres.revisions import PostgresRevisions
from voicehelper.stores.postgres.vectors import PgVectorIndex
from voicehelper.stores.remembered import RedisAnswerMemory
from voicehelper.stores.tantivy import TantivyKeywordIndex
from voicehelper.telemetry import get_logger

_log = get_logger(__name__)
_STAND_IN_AFTER_S = 15.0  # longer than an indexer takes to come back


class Indexer(Protocol):
    """Works on its own; nobody calls it."""


async def _build_embedder(nodes: Nodes) -> Embedder:
    from actors.embedder import build_embedder  # noqa: PLC0415

    return build_embedder(nodes.settings)


async def _build_chat(nodes: Nodes) -> ChatModel:
    from actors.chat.registry import build_chat_model  # noqa: PLC0415

    return build_chat_model(nodes.settings)


async def _build_router(nodes: Nodes) -> ChatModel:
    return await router(nodes, CHAT)


async def _build_stt(nodes: Nodes) -> SpeechToText:
    from actors.stt.off import NoSpeechToText  # noqa: PLC0415
    from actors.stt.registry import build_speech_to_text  # noqa: PLC0415

    try:
        return build_speech_to_text(nodes.settings)
    except ModelNotPulled as missing:  # without ears, text still works
        _log.warning("stt.missing", error=missing.message)
        return NoSpeechToText("Speech recognition is not installed here")


async def _build_tts(nodes: Nodes) -> TextToSpeech:
    from actors.tts.registry import NoTextToSpeech, build_text_to_speech  # noqa: PLC0415

    try:
        return build_text_to_speech(nodes.settings)
    except ModelNotPulled as missing:  # without a voice, text still works
        _log.warning("tts.missing", error=missing.message)
        return NoTextToSpeech("Speech synthesis is not installed here")


async def _build_retrieval(nodes: Nodes) -> Retriever:
    if not nodes.is_here(INDEXER):
        # An indexer on this machine keeps its index; on a machine without one, this process does.
        nodes.run("keyword follower", (await keyword_follower(nodes, _STAND_IN_AFTER_S)).run())
    pool = await database(nodes)
    return HybridRetriever(
        await nodes.get(EMBEDDER),
        PgVectorIndex(pool),
        TantivyKeywordIndex(keyword_folder(nodes.settings)),
        PostgresPassages(pool),
        settings=nodes.settings.retrieval,
    )


async def _build_rag(nodes: Nodes) -> QuestionAnswerer:
    settings, chat = nodes.settings, await nodes.get(ROUTER)
    own = not settings.models.default_model  # another one is paid for what it reads
    answerer = Answerer(await nodes.get(RETRIEVAL), chat, settings.rag, reads_ahead=own)
    nodes.try_once("prompt warm-up", answerer.warm_up(settings.chat.parallel))
    if settings.rag.remember == "off":
        return answerer
    memory = RedisAnswerMemory(await redis_link(nodes), settings.rag.remember_s)
    manner = (
        f"{stable_prefix()}{settings.rag}{settings.chat.backend}{settings.chat.model}{settings.models.default_model}"
    )
    revisions = PostgresRevisions(await database(nodes))
    return RememberingAnswerer(answerer, memory, revisions, settings.rag.remember, manner)


async def _build_indexer(nodes: Nodes) -> Indexer:
    pool, listener, store = await database(nodes), await wakeups(nodes), await objects(nodes)
    settings, embedder = nodes.settings.indexing, await nodes.get(EMBEDDER)
    queue, trash = PostgresIndexQueue(pool, listener), PostgresObjectTrash(pool)
    background = (
        await keyword_follower(nodes),
        await relay(nodes),
        Housekeeper(queue=queue, trash=trash, objects=store, max_attempts=settings.max_attempts),
    )
    parser = await nodes.resources.enter_async_context(IsolatedParser(parse_limits(settings), settings.workers))
    worker = IndexWorker(
        queue=queue,
        objects=store,
        reader=IsolatedReader(parser, embedder, settings),
        embedder=embedder,
        settings=settings,
        background=background,
    )
    nodes.run("indexer", worker.run())
    return _Working()


class _Working:
    """The indexer, seen from outside: a background task that `Nodes.check` watches."""


EMBEDDER: Node[Embedder] = Node(
    "embedder",
    Embedder,  # type: ignore[type-abstract]
    _build_embedder,
    unavailable=ModelUnavailable,
    constant=frozenset({"describe"}),
)
CHAT: Node[ChatModel] = Node(
    "chat",
    ChatModel,  # type: ignore[type-abstract]
    _build_chat,
    unavailable=ModelUnavailable,
    constant=frozenset({"describe"}),
)
ROUTER: Node[ChatModel] = Node(
    "router",
    ChatModel,  # type: ignore[type-abstract]
    _build_router,
    unavailable=ModelUnavailable,
    constant=frozenset({"describe"}),
)
STT: Node[SpeechToText] = Node(
    "stt",
    SpeechToText,  # type: ignore[type-abstract]
    _build_stt,
    unavailable=ModelUnavailable,
    constant=frozenset({"describe"}),
)
TTS: Node[TextToSpeech] = Node(
    "tts",
    TextToSpeech,  # type: ignore[type-abstract]
    _build_tts,
    unavailable=ModelUnavailable,
    constant=frozenset({"describe"}),
)
RETRIEVAL: Node[Retriever] = Node("retrieval", Retriever, _build_retrieval)  # type: ignore[type-abstract]
RAG: Node[QuestionAnswerer] = Node("rag", QuestionAnswerer, _build_rag)  # type: ignore[type-abstract]
INDEXER: Node[Indexer] = Node("indexer", Indexer, _build_indexer)  # type: ignore[type-abstract]

NODES: tuple[Node[Any], ...] = (EMBEDDER, CHAT, ROUTER, STT, TTS, RETRIEVAL, RAG, INDEXER)
