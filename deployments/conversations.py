"""Conversations in a gateway replica: directory, context, feedback, review, privacy, summaries."""

from functools import partial

from deployments.engines import database, redis_link
from deployments.events import run_consumer
from deployments.nodes import ROUTER
from deployments.wiring import Nodes
from voicehelper.conversations import AnswerService, ConversationDirectory
from voicehelper.conversations.context import CachedContextWindow
from voicehelper.conversations.privacy import Privacy
from voicehelper.conversations.review import ConversationReview
from voicehelper.conversations.summaries import Summaries
from voicehelper.events.catalogue import ConversationAnswerCompleted, fact_of
from voicehelper.identity import Accounts
from voicehelper.identity.acts import Acts
from voicehelper.ports.clock import SystemClock
from voicehelper.ports.events import Event
from voicehelper.stores.context_cache import RedisContextCache
from voicehelper.stores.conversation_traces import RedisTraces
from voicehelper.stores.postgres.audit import PostgresAuditLog
from voicehelper.stores.postgres.context import PostgresContext
from voicehelper.stores.postgres.conversations import PostgresConversations
from voicehelper.stores.postgres.feedback import PostgresFeedback
from voicehelper.stores.postgres.guard import request_transaction
from voicehelper.stores.postgres.privacy import PostgresPrivacy
from voicehelper.stores.postgres.review import PostgresReview
from voicehelper.stores.postgres.scopes import PostgresScopes

_GROUP = "summaries"


async def context_window(nodes: Nodes) -> CachedContextWindow:
    """What a question is asked in front of."""
    settings = nodes.settings.conversations
    cache = RedisContextCache(await redis_link(nodes), settings.context_ttl_s)
    return CachedContextWindow(PostgresContext(await database(nodes)), cache, settings)


async def conversation_directory(nodes: Nodes) -> ConversationDirectory:
    """A user's conversations."""
    pool = await database(nodes)
    return ConversationDirectory(PostgresConversations(pool), PostgresScopes(pool), await context_window(nodes))


async def feedback(nodes: Nodes) -> PostgresFeedback:
    """Thumbs and words on answers."""
    return PostgresFeedback(await database(nodes))


async def review(nodes: Nodes) -> ConversationReview:
    """Everybody's conversations, for operators."""
    pool = await database(nodes)
    return ConversationReview(PostgresReview(pool), PostgresAuditLog(pool))


async def privacy(nodes: Nodes, accounts: Accounts) -> Privacy:
    """A user's data, exported and erased."""
    pool, identity = await database(nodes), nodes.settings.identity
    window, traces = await context_window(nodes), RedisTraces(await redis_link(nodes))
    return Privacy(
        PostgresPrivacy(pool, max(identity.access_token_s, identity.visitor_token_s)),
        await conversation_directory(nodes),
        accounts.users,
        Acts(accounts.audit, partial(request_transaction, pool), SystemClock()),
        forget=(window.forget, traces.forget),
    )


async def run_summaries(nodes: Nodes, answers: AnswerService) -> None:
    """Have this replica take part in summarising."""
    settings = nodes.settings.conversations
    if not settings.summaries:
        return
    summaries = Summaries(
        PostgresContext(await database(nodes)),
        RedisContextCache(await redis_link(nodes), settings.context_ttl_s),
        await nodes.get(ROUTER),
        settings,
        SystemClock(),
        busy=lambda: answers.writing > 0,
    )
    await run_consumer(nodes, _GROUP, partial(summarise, summaries), {ConversationAnswerCompleted.type})


async def summarise(summaries: Summaries, event: Event) -> None:
    """Handles an event of the group."""
    fact = fact_of(event)
    if isinstance(fact, ConversationAnswerCompleted):
        await summaries.update(event.tenant_id, fact.conversation_id, fact.seq)
