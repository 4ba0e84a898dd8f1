"""Dead letters."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from voicehelper.wire.common import View

LetterStateName = Literal["dead", "replaying", "replayed"]


class DeadLetterView(View):
    """An event that a group of consumers could not handle."""

    id: UUID
    consumer: str = Field(description="The group", examples=["summaries"])
    state: LetterStateName = Field(
        description="`replaying` from the request until the group has handled it (`replayed`) or failed again (`dead`)"
    )
    event_id: UUID
    type: str = Field(description="See docs/events.md", examples=["conversation.answer_completed"])
    version: int
    key: str = Field(description="Events of one key are handled in order")
    payload: dict[str, Any] = Field(description="Ids and numbers, see docs/events.md")
    occurred_at: datetime
    attempts: int = Field(description="How often the group tried, last time")
    error: str = Field(description="Of the last attempt")
    failed_at: datetime
    replayed_at: datetime | None = None
