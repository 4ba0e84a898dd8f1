"""When API keys were last used: noted at most once a minute each, written in the background."""

from contextlib import suppress
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.identity.lru import Lru
from voicehelper.identity.standing import PrincipalRepository
from voicehelper.ports.clock import Clock

_EVERY_S = 60.0
_WRITE_S = 5.0
_REMEMBERED = 10_000


class KeyUses:
    """Collects uses; `run` writes them."""

    def __init__(self, repository: PrincipalRepository, clock: Clock) -> None:
        self._repository = repository
        self._clock = clock
        self._noted: Lru[UUID, float] = Lru(_REMEMBERED)
        self._pending: dict[UUID, float] = {}

    def note(self, key_id: UUID, now: float) -> None:
        """The key was used at `now` (Unix time)."""
        noted = self._noted.get(key_id)
        if noted is None or now - noted >= _EVERY_S:
            self._noted.put(key_id, now)
            self._pending[key_id] = now

    async def write(self) -> None:
        """Store what was noted since. Raises `Unavailable`; nothing noted is lost then."""
        if not self._pending:
            return
        uses, self._pending = self._pending, {}
        try:
            await self._repository.note_key_uses(uses)
        except Unavailable:
            self._pending = {**uses, **self._pending}
            raise

    async def run(self) -> None:
        """Write now and then, for ever; while the database is away, later."""
        while True:
            await self._clock.sleep(_WRITE_S)
            with suppress(Unavailable):
                await self.write()
