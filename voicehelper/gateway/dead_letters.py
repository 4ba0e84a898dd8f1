"""Dead letters, as the routes see them."""

from dataclasses import dataclass
from uuid import UUID

from voicehelper.events.letters import DeadLetter, DeadLetterArchive
from voicehelper.identity.acts import Acts, act_of
from voicehelper.identity.model import Principal


@dataclass(frozen=True)
class DeadLetterDesk:
    """Who has what replayed is written down in the same transaction."""

    archive: DeadLetterArchive
    acts: Acts

    async def replay(self, by: Principal, letter_id: UUID) -> DeadLetter:
        """See `DeadLetterArchive.replay`."""
        async with self.acts.unit(by.tenant_id):
            letter = await self.archive.replay(by.tenant_id, letter_id)
            facts = {"consumer": letter.consumer, "event_id": str(letter.event.id), "type": letter.event.type}
            await self.acts.audit.record(act_of(by, "dead_letter.replayed", "dead_letter", letter_id, **facts))
        return letter
