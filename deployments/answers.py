"""Answering in a gateway replica: where turns, events and context lie."""

from deployments.conversations import context_window
from deployments.engines import database, redis_link
from deployments.nodes import RAG
from deployments.wiring import Nodes
from voicehelper.conversations import AnswerService, ConversationDirectory
from voicehelper.conversations.ahead import QuestionsAhead
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.live_log import RedisLiveLog
from voicehelper.stores.postgres.scopes import PostgresScopes
from voicehelper.stores.postgres.turns import PostgresTurns


async def answer_service(nodes: Nodes) -> AnswerService:
    """Its lifespan is the gateway's. Raises `Unavailable` when the database stays away."""
    settings = nodes.settings.conversations
    pool, link = await database(nodes), await redis_link(nodes)
    return AnswerService(
        PostgresTurns(pool, settings.lease_s / 2),
        await nodes.get(RAG),
        PostgresScopes(pool),
        await context_window(nodes),
        SystemClock(),
        log=RedisLiveLog(link, settings.log_ttl_s),
        answer_timeout_s=nodes.settings.http.answer_timeout_s,
        lease_s=settings.lease_s,
        saga_s=settings.saga_timeout_s,
        vanish_grace_s=settings.vanish_grace_s,
    )


async def questions_ahead(nodes: Nodes, conversations: ConversationDirectory) -> QuestionsAhead:
    """What is done for a question while it is still being spoken."""
    pool = await database(nodes)
    window, answerer = await context_window(nodes), await nodes.get(RAG)
    return QuestionsAhead(conversations, PostgresTurns(pool), PostgresScopes(pool), window, answerer)
