"""What parent and parser process say to each other: length-prefixed JSON, never pickle (the child reads files of
strangers, so its answers are not trusted to build objects)."""

import json
import struct
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from voicehelper.documents.failures import failure
from voicehelper.documents.model import Block, FailureReason, ParsedDocument, ParseLimits

REQUEST = struct.Struct(">IQ")  # bytes of the JSON head, bytes of the file after it
REPLY = struct.Struct(">Q")
READY = b"R"
_INSPECTED = b'{"inspected": true}'
_REPLY_BYTES_PER_CHAR = 16
_REPLY_BYTES_EXTRA = 2**20


class Task(StrEnum):
    """What is asked of the child."""

    PARSE = "parse"
    INSPECT = "inspect"


def max_reply_bytes(limits: ParseLimits) -> int:
    """No honest reply is longer."""
    return limits.max_text_chars * _REPLY_BYTES_PER_CHAR + _REPLY_BYTES_EXTRA


def request_head(task: Task, name: str, content_type: str, path: str, limits: ParseLimits) -> bytes:
    """`path` names the file where its bytes do not follow."""
    head = {"task": task, "name": name, "content_type": content_type, "path": path, "limits": asdict(limits)}
    return json.dumps(head).encode()


def encode_document(parsed: ParsedDocument) -> bytes:
    """A reply that carries a document."""
    blocks = [[block.text, block.level, block.page] for block in parsed.blocks]
    body = {"title": parsed.title, "page_count": parsed.page_count, "blocks": blocks}
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def encode_inspected() -> bytes:
    """A reply that says: nothing found against the file."""
    return _INSPECTED


def encode_failure(reason: FailureReason, message: str = "") -> bytes:
    """A reply that carries a failure."""
    return json.dumps({"reason": reason.value, "message": message}).encode()


def decode_inspected(body: bytes) -> None:
    """Raises the `UnprocessableDocument` a reply to an inspection carries, or CRASH for nonsense."""
    try:
        if not _answer(body)["inspected"]:
            raise failure(FailureReason.CRASH)
    except (ValueError, KeyError, TypeError) as error:
        raise failure(FailureReason.CRASH) from error


def decode_document(body: bytes) -> ParsedDocument:
    """The document of a reply; raises the `UnprocessableDocument` it carries, or CRASH for nonsense."""
    try:
        reply = _answer(body)
        pages = reply["page_count"]
        blocks = tuple(Block(str(text), int(level), _page(page)) for text, level, page in reply["blocks"])
        return ParsedDocument(blocks, str(reply["title"]), _page(pages))
    except (ValueError, KeyError, TypeError) as error:
        raise failure(FailureReason.CRASH) from error


def _answer(body: bytes) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(body)
    if "reason" in reply:
        raise failure(FailureReason(reply["reason"]), str(reply.get("message", "")))
    return reply


def _page(value: Any) -> int | None:
    return None if value is None else int(value)
