"""What becomes of a spoken answer that was interrupted: it is cut to what was heard of it. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from voicehelper.conversations.model import Message
from voicehelper.conversations.turns import ASKED, StoredTurn, Trail


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of an answer's text was heard, and when it was interrupted."""

    chars: int
    at: datetime | None = None


def cut_to(stored: StoredTurn, heard: Heard) -> StoredTurn | None:
    """The turn with an answer of at most `heard.chars` characters, without what it cites beyond them; its metadata say
    under `heard` how many of how many are left. None where nothing is to be cut or noted.

    It counts as one attempt more: whatever was remembered of the whole answer is no longer looked at.
    """
    turn, answer = stored.turn, stored.turn.answer
    whole = heard.chars >= len(answer.content) and (answer.status != "stopped" or "heard" in answer.metadata)
    if whole or not stored.ended:
        return None
    content = answer.content[: max(heard.chars, 0)]
    shorter = replace(
        answer,
        content=content,
        citations=tuple(citation for citation in answer.citations if citation.end <= len(content)),
        metadata=_metadata(answer, len(content), heard.at),
    )
    trail = None if stored.trail is None else _trail(stored.trail, len(content))
    return replace(stored, turn=replace(turn, answer=shorter, attempt=turn.attempt + 1), trail=trail)


def _metadata(answer: Message, chars: int, at: datetime | None) -> dict[str, Any]:
    before = answer.metadata.get("heard", {})
    noted: dict[str, Any] = {"chars": chars, "of": before.get("of", len(answer.content))}
    if at is not None:
        noted["interrupted_at"] = at.isoformat()
    # Whoever interrupted it is there: it is not to be taken up anew as one whose asker had left.
    stopped = {"reason": ASKED} if answer.status == "stopped" else {}
    return {**answer.metadata, **stopped, "heard": noted}


def _trail(trail: Trail, chars: int) -> Trail:
    """The trail of the first `chars` characters; stages that came after them are left out."""
    kept: list[int | str] = []
    for step in trail:
        if isinstance(step, str):
            kept.append(step)
        elif chars > 0:
            kept.append(min(step, chars))
            chars -= step
        if chars <= 0:
            break
    return tuple(kept)
