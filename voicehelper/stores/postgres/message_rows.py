"""Rows of `messages` as `Message`."""

from typing import Any

import asyncpg
from pydantic import TypeAdapter

from voicehelper.conversations.model import Attachment, Message
from voicehelper.rag.events import Citation

MESSAGE = "id, conversation_id, seq, role, status, content, citations, metadata, attachments, created_at, completed_at"
"""Columns that `message_of` needs."""

_CITATIONS = TypeAdapter(tuple[Citation, ...])


def message_of(row: asyncpg.Record | dict[str, Any]) -> Message:
    """The message in a row of the columns `MESSAGE`, and `rating` and `alternatives` where they are there."""
    values: dict[str, Any] = dict(row)
    values["citations"] = _CITATIONS.validate_python(values["citations"])
    values["attachments"] = tuple(Attachment(**attachment) for attachment in values["attachments"])
    values["alternatives"] = tuple(values.get("alternatives", ()))
    return Message(**values)
