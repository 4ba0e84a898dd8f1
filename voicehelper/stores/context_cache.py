"""Context windows in Redis: a hash per conversation with `seq`, `attempt`, `turns`, `summary`, `summary_seq`."""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, cast
from uuid import UUID

import orjson
from redis.asyncio import Redis

from voicehelper.conversations.context import SeenTurn, Window
from voicehelper.stores.redis import RedisLink, tenant_key

_BURIED = 2**53
"""The `seq` of a deleted conversation: beyond any other, so that nothing is written over it."""

_BURY_S = 1800  # longer than any answer runs

# ARGV: time to live, whether the window must be there already, seq, then fields and values.
_STORE = """
local seq = redis.call('HGET', KEYS[1], 'seq')
if seq and tonumber(seq) > tonumber(ARGV[3]) then return 0 end
if ARGV[2] == '1' and not seq then return 0 end
redis.call('HSET', KEYS[1], 'seq', ARGV[3], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1"""
# ARGV: buried seq, summary, summary_seq.
_SUMMARISE = """
local found = redis.call('HMGET', KEYS[1], 'seq', 'summary_seq')
if not found[1] or tonumber(found[1]) >= tonumber(ARGV[1]) then return 0 end
if tonumber(found[2] or 0) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'summary', ARGV[2], 'summary_seq', ARGV[3])
return 1"""


class RedisContextCache:
    """`ContextCache` on hashes `vh:{tenant}:context:{conversation}`.

    Args:
        link: to the server.
        ttl_s: life of a window after its last use for a question.
    """

    def __init__(self, link: RedisLink, ttl_s: int) -> None:
        self._link = link
        self._ttl_s = ttl_s

    async def get(self, tenant_id: UUID, conversation_id: UUID) -> Window | None:
        """See `ContextCache`."""
        key = _key(tenant_id, conversation_id)
        found = await self._link.call(lambda client: _fields(client, key))
        if found[0] is None or found[1] is None:
            return None
        turns = tuple(SeenTurn(*turn) for turn in orjson.loads(found[1]))
        return Window(int(found[0]), turns, (found[2] or b"").decode(), int(found[3] or 0), int(found[4] or 0))

    async def put(self, tenant_id: UUID, conversation_id: UUID, window: Window) -> None:
        """See `ContextCache`."""
        summary = ("summary", window.summary, "summary_seq", str(window.summary_seq))
        await self._store(tenant_id, conversation_id, window, False, *summary)

    async def advance(self, tenant_id: UUID, conversation_id: UUID, window: Window) -> None:
        """See `ContextCache`."""
        await self._store(tenant_id, conversation_id, window, True)

    async def summarise(self, tenant_id: UUID, conversation_id: UUID, summary: str, summary_seq: int) -> None:
        """See `ContextCache`."""
        await self._eval(_SUMMARISE, _key(tenant_id, conversation_id), str(_BURIED), summary, str(summary_seq))

    async def bury(self, tenant_id: UUID, conversation_ids: Sequence[UUID]) -> None:
        """See `ContextCache`."""

        async def write(client: Redis) -> None:
            async with client.pipeline(transaction=False) as pipe:
                for conversation_id in conversation_ids:
                    key = _key(tenant_id, conversation_id)
                    pipe.delete(key)
                    pipe.hset(key, "seq", str(_BURIED))
                    pipe.expire(key, max(_BURY_S, self._ttl_s))
                await pipe.execute()

        await self._link.call(write, timeout=10.0)

    async def _store(self, tenant_id: UUID, conversation_id: UUID, window: Window, there: bool, *more: str) -> None:
        turns = orjson.dumps([astuple(turn) for turn in window.turns]).decode()
        fields = ("turns", turns, "attempt", str(window.attempt), *more)
        arguments = (str(self._ttl_s), str(int(there)), str(window.seq), *fields)
        await self._eval(_STORE, _key(tenant_id, conversation_id), *arguments)

    async def _eval(self, script: str, key: str, *arguments: str) -> None:
        await self._link.call(lambda client: cast(Any, client.eval(script, 1, key, *arguments)))


async def _fields(client: Redis, key: str) -> list[bytes | None]:
    return list(await cast(Any, client.hmget(key, ["seq", "turns", "summary", "summary_seq", "attempt"])))


def _key(tenant_id: UUID, conversation_id: UUID) -> str:
    return tenant_key(tenant_id, "context", conversation_id)
