"""What the gateway serves, made of the nodes it can reach and of this process's engines."""

from functools import partial
from typing import Any

from deployments.answers import answer_service
from deployments.authentication import authentication_stack
from deployments.budgets import budget_desk
from deployments.catalogue import live_catalogue, models_desk
from deployments.conversations import conversation_directory, feedback, privacy, review, run_summaries
from deployments.embeddings import embeddings
from deployments.engines import database, objects, ping
from deployments.events import dead_letter_desk
from deployments.experiments import experiments_desk, judged_answers
from deployments.limits import request_rates
from deployments.models import backends
from deployments.nodes import CHAT, EMBEDDER, INDEXER, RAG, RETRIEVAL, ROUTER, STT, TTS
from deployments.voice import voice_calls
from deployments.wiring import Node, Nodes
from voicehelper.documents.inspection import IsolatedInspector, inspection_limits
from voicehelper.documents.isolation import IsolatedParser
from voicehelper.documents.pipeline import parse_limits
from voicehelper.gateway import Probe, Services
from voicehelper.idempotency import forget_expired
from voicehelper.identity import Accounts, Passwords, ensure_configured_admin
from voicehelper.identity.secrets import SecretBox, load_master_key
from voicehelper.knowledge.service import KnowledgeService
from voicehelper.ports.clock import SystemClock
from voicehelper.ports.speech import Recognition, SpeechToText, TextToSpeech, Utterance
from voicehelper.stores.authentication import AuthenticationStack
from voicehelper.stores.postgres.accounts import postgres_accounts
from voicehelper.stores.postgres.idempotency import PURPOSE, PostgresIdempotency
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.index_queue import PostgresObjectTrash
from voicehelper.stores.postgres.knowledge import PostgresKnowledge
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.scopes import PostgresScopes
from voicehelper.voice.dictation import Dictation
from voicehelper.voice.hot_words import RememberedHotWords

_INSPECTORS = 2  # uploads looked at at the same time; each takes milliseconds


async def gateway_services(nodes: Nodes) -> Services:
    """Everything behind the HTTP interface. Makes the first administrator where there is none.

    Raises `Unavailable` when the database stays away.
    """
    settings = nodes.settings
    pool = await database(nodes)
    tokens = await authentication_stack(nodes)
    if not nodes.is_remote(INDEXER):
        await nodes.get(INDEXER)
    accounts = await _accounts(nodes, pool, tokens)
    router, rag = await nodes.get(ROUTER), await nodes.get(RAG)
    answers = await answer_service(nodes)
    await run_summaries(nodes, answers)
    await judged_answers(nodes)
    stt, tts = await nodes.get(STT), await nodes.get(TTS)
    conversations = await conversation_directory(nodes)
    hot_words = RememberedHotWords(accounts.tenants.hot_words, SystemClock())
    return Services(
        http=settings.http,
        accounts=accounts,
        authenticator=tokens.authenticator,
        keys=tokens.keys,
        knowledge=await _knowledge(nodes, pool),
        scopes=PostgresScopes(pool),
        conversations=conversations,
        answers=answers,
        feedback=await feedback(nodes),
        review=await review(nodes),
        privacy=await privacy(nodes, accounts),
        retriever=await nodes.get(RETRIEVAL),
        dead_letters=await dead_letter_desk(nodes, accounts),
        probes=await _probes(nodes, pool),
        rates=await request_rates(nodes),
        idempotency=_idempotency(nodes, pool),
        tts=tts,
        dictation=Dictation(stt, settings.stt.longest_file_s, settings.stt.files),
        hot_words=hot_words,
        experiments=await experiments_desk(nodes, accounts),
        budgets=await budget_desk(nodes, accounts),
        models=await models_desk(nodes, accounts, await backends(nodes, CHAT)),
        voice=await voice_calls(nodes, answers, conversations, hot_words.of),
        router=router,
        catalogue=await live_catalogue(nodes),
        embeddings=await embeddings(nodes),
        answerer=rag,
    )


async def _knowledge(nodes: Nodes, pool: Pool) -> KnowledgeService:
    settings = nodes.settings
    parser = IsolatedParser(inspection_limits(parse_limits(settings.indexing)), _INSPECTORS)
    await nodes.resources.enter_async_context(parser)
    return KnowledgeService(
        PostgresKnowledge(pool),
        PostgresObjectTrash(pool),
        await objects(nodes),
        settings.http.max_upload_bytes,
        IsolatedInspector(parser),
    )


async def _accounts(nodes: Nodes, pool: Pool, tokens: AuthenticationStack) -> Accounts:
    settings, clock, passwords = nodes.settings, SystemClock(), Passwords()
    await ensure_configured_admin(settings, PostgresUsers(pool), passwords)
    accounts = postgres_accounts(
        pool,
        settings=settings.identity,
        clock=clock,
        issuer=tokens.issuer,
        passwords=passwords,
        master=load_master_key(settings),
    )
    nodes.run("accounts", accounts.keep_tidy(clock))
    return accounts


def _idempotency(nodes: Nodes, pool: Pool) -> PostgresIdempotency:
    store = PostgresIdempotency(pool, SecretBox(load_master_key(nodes.settings), PURPOSE))
    nodes.run("idempotency keys", forget_expired(store, SystemClock()))
    return store


async def _probes(nodes: Nodes, pool: Pool) -> tuple[Probe, ...]:
    """What `/ready` asks. Without a model or the object store the rest still works: answers say what is missing."""
    store = await objects(nodes)
    probes = [Probe("postgres", lambda: ping(pool)), Probe("objects", store.ping, required=False)]
    if _reachable(nodes, EMBEDDER):
        embedder = await nodes.get(EMBEDDER)
        probes.append(Probe("embedder", lambda: embedder.count_tokens(["?"]), required=False))
    if _reachable(nodes, CHAT):
        chat = await nodes.get(CHAT)
        probes.append(Probe("chat", lambda: chat.count_tokens(["?"]), required=False))
    if _reachable(nodes, STT) and nodes.settings.stt.backend != "off":
        probes.append(Probe("stt", partial(_listens, await nodes.get(STT)), required=False))
    if _reachable(nodes, TTS) and nodes.settings.tts.backend != "off":
        probes.append(Probe("tts", partial(_speaks, await nodes.get(TTS)), required=False))
    return tuple(probes)


async def _listens(stt: SpeechToText) -> None:
    """Goes to the model, which hears nothing then; one that is paid by the request is not asked."""
    if (await stt.describe()).partials:
        await stt.transcribe(Recognition(bytes(2), "probe"))


async def _speaks(tts: TextToSpeech) -> None:
    """Goes all the way to the model, which has nothing to say then."""
    async for _ in tts.synthesize(Utterance("")):
        pass


def _reachable(nodes: Nodes, node: Node[Any]) -> bool:
    """A model that lives inside another node is that node's affair; asking for it here would load it once more."""
    return nodes.is_remote(node) or nodes.is_here(node)
