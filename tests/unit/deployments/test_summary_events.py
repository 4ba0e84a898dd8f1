"""The events from which summaries are made."""

from typing import Any
from uuid import UUID

from deployments.conversations import summarise
from voicehelper.events.catalogue import ConversationAnswerCompleted, ConversationCreated
from voicehelper.events.fact import new_event
from voicehelper.ids import new_id

TENANT, CONVERSATION = new_id(), new_id()


class FakeSummaries:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[UUID, UUID, int]] = []

    async def update(self, tenant_id: UUID, conversation_id: UUID, answer_seq: int) -> bool:
        self.told.append((tenant_id, conversation_id, answer_seq))
        return True


async def test_a_completed_answer_leads_to_its_conversation() -> None:
    summaries: Any = FakeSummaries()
    ids = {"conversation_id": CONVERSATION, "user_id": new_id()}
    completed = ConversationAnswerCompleted(**ids, message_id=new_id(), answer_id=new_id(), seq=28)
    await summarise(summaries, new_event(TENANT, completed))
    await summarise(summaries, new_event(TENANT, ConversationCreated(**ids)))
    assert summaries.told == [(TENANT, CONVERSATION, 28)]
