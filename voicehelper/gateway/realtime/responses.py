"""One answer on its way to the client, as the protocol's response: its output items, and the events in their order."""

import base64
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from voicehelper.gateway.realtime.configuration import Configuration, Facts, shown_format
from voicehelper.gateway.realtime.items import Item, Items, item_id
from voicehelper.gateway.realtime.refusals import ServerEvent
from voicehelper.ids import new_id

Status = Literal["completed", "cancelled", "failed", "incomplete"]


@dataclass(slots=True)
class Piece:
    """An output item.

    Attributes:
        filler: a word that fills silence.
        parts: what it says.
        spans: its sound: first output sample, and the one after the last.
    """

    item: Item
    filler: bool
    parts: list[str] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)

    @property
    def samples(self) -> int:
        """How much sound was sent."""
        return sum(end - start for start, end in self.spans)

    def add(self, start: int, samples: int) -> None:
        """Sound from output sample `start` on."""
        end = start + samples
        if self.spans and self.spans[-1][1] == start:
            start = self.spans.pop()[0]
        self.spans.append((start, end))

    def cut(self, sample: int) -> None:
        """No sound from output sample `sample` on was played."""
        self.spans = [(start, min(end, sample)) for start, end in self.spans if start < sample]


class Response:
    """Begun by `created`, ended by `finish`; in between `say` and `sound`, each giving the events to send.

    A word that fills silence is an output item of its own: it is no part of the answer.

    Args:
        items: the conversation, to which its output is added.
        config: in force for this response.
        metadata: the client's own, given back to it.

    Attributes:
        turn: ours; None as long as it is not known.
        message_id: the answer, once there is one.
        sent: all of its sound is on its way.
        failure: why there is no (whole) answer.
    """

    def __init__(
        self, items: Items, config: Configuration, facts: Facts, metadata: dict[str, str] | None = None
    ) -> None:
        self.id = f"resp_{new_id().hex}"
        self.turn: int | None = None
        self.message_id: UUID | None = None
        self.usage: dict[str, Any] | None = None
        self.failure: dict[str, str] | None = None
        self.citations: list[Any] = []
        self.text_only = config.text_only
        self.sent = self.ended = False
        self._pieces: list[Piece] = []
        self._open: Piece | None = None
        self._config, self._facts, self._metadata = config, facts, metadata
        self._items = items

    def created(self) -> ServerEvent:
        """It begins."""
        return {"type": "response.created", "response": self._shown("in_progress", None)}

    def say(self, words: str, filler: bool = False) -> list[ServerEvent]:
        """Its words go on."""
        piece, events = self._piece(filler)
        piece.parts.append(words)
        kind = "response.output_text.delta" if self.text_only else "response.output_audio_transcript.delta"
        return [*events, {"type": kind, **self._place(piece), "delta": words}]

    def sound(self, encoded: bytes, start: int, samples: int, filler: bool) -> list[ServerEvent]:
        """Its sound goes on: output samples from `start` on, in the client's format."""
        piece, events = self._piece(filler)
        piece.add(start, samples)
        if not encoded:  # the resampler has it still
            return events
        delta = base64.b64encode(encoded).decode()
        return [*events, {"type": "response.output_audio.delta", **self._place(piece), "delta": delta}]

    def unsay(self, sample: int) -> None:
        """What was sent of the sound from output sample `sample` on was never played, and comes again."""
        for piece in self._pieces:
            piece.cut(sample)

    def finish(
        self, status: Status, reason: str | None = None, error: dict[str, str] | None = None
    ) -> list[ServerEvent]:
        """It ends; what is open is closed."""
        self.ended = True
        events = self._close(status == "completed")
        details: dict[str, Any] = {"type": status}
        details |= {"reason": reason} if reason else {}
        details |= {"error": error} if error else {}
        shown = self._shown(status, None if status == "completed" else details)
        return [*events, {"type": "response.done", "response": shown}]

    @property
    def format(self) -> str:
        """In which its sound is sent."""
        return self._config.output_format

    def shorten(self, chars: int) -> None:
        """Only the first `chars` characters of the answer were heard."""
        for piece in self._pieces:
            if not piece.filler and piece.item.text is not None:
                piece.item.text = piece.item.text[:chars]
                chars -= len(piece.item.text)

    def find(self, item_name: str) -> Piece | None:
        """One of its output items."""
        return next((piece for piece in self._pieces if piece.item.id == item_name), None)

    def samples_before(self, piece: Piece) -> int:
        """How much of the answer's own sound lies before `piece`."""
        before = self._pieces[: self._pieces.index(piece)]
        return sum(known.samples for known in before if not known.filler)

    def _piece(self, filler: bool) -> tuple[Piece, list[ServerEvent]]:
        """The item in work, opened where the one before is of the other kind."""
        if self._open is not None and self._open.filler == filler:
            return self._open, []
        events = self._close(True)
        first = not filler and self.message_id is not None and all(known.filler for known in self._pieces)
        name = f"item_{self.message_id.hex}" if first and self.message_id is not None else item_id()
        kind = "output_text" if self.text_only else "output_audio"
        piece = self._open = Piece(Item(name, "assistant", kind, status="in_progress"), filler)
        self._pieces.append(piece)
        added = self._items.add(piece.item)
        part = {"type": "text", "text": ""} if self.text_only else {"type": "audio", "transcript": ""}
        events += [
            {"type": "response.output_item.added", **self._output(piece), "item": piece.item.shown()},
            added,
            {"type": "response.content_part.added", **self._place(piece), "part": part},
        ]
        return piece, events

    def _close(self, complete: bool) -> list[ServerEvent]:
        piece, self._open = self._open, None
        if piece is None:
            return []
        item, text = piece.item, "".join(piece.parts)
        item.text, item.status = text, "completed" if complete else "incomplete"
        item.citations = [] if piece.filler else self.citations
        place = self._place(piece)
        words = {"text": text} if self.text_only else {"transcript": text}
        said = "response.output_text.done" if self.text_only else "response.output_audio_transcript.done"
        return [
            *([] if self.text_only else [{"type": "response.output_audio.done", **place}]),
            {"type": said, **place, **words},
            {
                "type": "response.content_part.done",
                **place,
                "part": {"type": "text" if self.text_only else "audio", **words},
            },
            self._items.done(item),
            {"type": "response.output_item.done", **self._output(piece), "item": item.shown()},
        ]

    def _output(self, piece: Piece) -> dict[str, Any]:
        return {"response_id": self.id, "output_index": self._pieces.index(piece)}

    def _place(self, piece: Piece) -> dict[str, Any]:
        return {**self._output(piece), "item_id": piece.item.id, "content_index": 0}

    def _shown(self, status: str, details: dict[str, Any] | None) -> dict[str, Any]:
        output = {"format": shown_format(self._config.output_format), "voice": self._config.voice}
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [piece.item.shown() for piece in self._pieces],
            "conversation_id": self._facts.conversation_id,
            "output_modalities": ["text"] if self.text_only else ["audio"],
            "max_output_tokens": "inf",
            "audio": {"output": output},
            "usage": self.usage,
            "metadata": self._metadata,
        }
