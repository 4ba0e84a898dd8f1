"""Answers given before in Redis: JSON under `vh:{tenant}:answer:{digest}`."""

from dataclasses import asdict
from typing import cast
from uuid import UUID

import orjson

from voicehelper.rag.events import Citation
from voicehelper.rag.remembered import RememberedAnswer
from voicehelper.stores.redis import RedisLink, tenant_key


class RedisAnswerMemory:
    """`AnswerMemory` for all replicas that share a server.

    Args:
        link: to the server.
        ttl_s: life of an answer after it was written.
    """

    def __init__(self, link: RedisLink, ttl_s: int) -> None:
        self._link = link
        self._ttl_s = ttl_s

    async def get(self, tenant_id: UUID, digest: str) -> RememberedAnswer | None:
        """See `AnswerMemory`."""
        name = tenant_key(tenant_id, "answer", digest)
        found = cast(bytes | None, await self._link.call(lambda client: client.get(name)))
        if found is None:
            return None
        plain = orjson.loads(found)
        return RememberedAnswer(**{**plain, "citations": tuple(map(_citation, plain["citations"]))})

    async def put(self, tenant_id: UUID, digest: str, answer: RememberedAnswer) -> None:
        """See `AnswerMemory`."""
        name, value = tenant_key(tenant_id, "answer", digest), orjson.dumps(asdict(answer), default=str)
        await self._link.call(lambda client: client.set(name, value, ex=self._ttl_s))


def _citation(plain: dict[str, object]) -> Citation:
    ids = {name: UUID(str(plain[name])) for name in ("chunk_id", "document_id")}
    return Citation(**{**plain, **ids, "heading": tuple(cast(list[str], plain["heading"]))})  # type: ignore[arg-type]
