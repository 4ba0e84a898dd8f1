"""Who has which variant, as another replica was told by the database: `vh:{tenant}:variant:{experiment}:{subject}`."""

from typing import cast
from uuid import UUID

import orjson

from voicehelper.models.experiments.model import Chosen
from voicehelper.stores.redis import RedisLink, tenant_key

_PATIENCE_S = 0.2


class RedisAssignments:
    """`models.experiments.store.AssignmentCache`; a value is [variant, at, until, revision] in JSON."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def get(self, tenant_id: UUID, experiment_id: UUID, subject: bytes) -> Chosen | None:
        """See `AssignmentCache`."""
        key = _key(tenant_id, experiment_id, subject)
        found = cast(bytes | None, await self._link.call(lambda client: client.get(key), _PATIENCE_S))
        return Chosen(*orjson.loads(found)) if found else None

    async def put(self, tenant_id: UUID, experiment_id: UUID, subject: bytes, chosen: Chosen, now: float) -> None:
        """See `AssignmentCache`."""
        key, left_ms = _key(tenant_id, experiment_id, subject), int((chosen.until - now) * 1000)
        value = orjson.dumps([chosen.variant, chosen.at, chosen.until, chosen.revision])
        if left_ms > 0:
            await self._link.call(lambda client: client.set(key, value, px=left_ms), _PATIENCE_S)


def _key(tenant_id: UUID, experiment_id: UUID, subject: bytes) -> str:
    return tenant_key(tenant_id, "variant", experiment_id, subject.hex())
