"""What Redis holds of conversations beside their context: the live logs of answers."""

from collections.abc import Sequence
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.stores.redis import RedisLink, tenant_key
from voicehelper.telemetry import get_logger

log = get_logger(__name__)


class RedisTraces:
    """Removes live logs (`stores.live_log`) of conversations that are deleted."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def forget(self, tenant_id: UUID, conversation_ids: Sequence[UUID]) -> None:
        """Remove them. With Redis away, they go with their time to live."""
        keys = [tenant_key(tenant_id, "live", conversation_id) for conversation_id in conversation_ids]
        if not keys:
            return
        try:
            await self._link.call(lambda client: client.unlink(*keys), timeout=10.0)
        except Unavailable:
            log.warning("traces.not_forgotten", conversations=len(keys))
