"""The stream of a response: events that name what begins, grows and ends."""

from dataclasses import dataclass, field
from typing import Any

from voicehelper.context import current_context
from voicehelper.errors import VoiceHelperError
from voicehelper.gateway.openai import response_objects as objects
from voicehelper.gateway.openai.events import Event, Grounded
from voicehelper.gateway.openai.frames import dumps, new_id
from voicehelper.gateway.problems import error_body
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatToolDelta
from voicehelper.wire.openai_responses import ResponseCreate


@dataclass(slots=True)
class _Item:
    """An item of the output while it grows: a text, or a call (`call_id` is set)."""

    id: str
    place: int
    call_id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    open: bool = True

    def shown(self, status: str, grounded: Grounded | None) -> objects.Json:
        """As it stands."""
        text = "".join(self.pieces)
        if self.call_id:
            return objects.function_call(self.id, status, self.call_id, self.name, text)
        return objects.message(self.id, status, [objects.output_text(text, grounded)])


class ResponseFrames:
    """Events of one response, numbered."""

    def __init__(self, body: ResponseCreate) -> None:
        self._response = objects.begun(body)
        self._number = -1
        self._items: list[_Item] = []
        self._calls: dict[int, _Item] = {}
        self._text: _Item | None = None
        self._grounded: Grounded | None = None

    def opening(self) -> bytes:
        """Created, and at work."""
        return self._event("response.created", response=self._response) + self._event(
            "response.in_progress", response=self._response
        )

    def piece(self, event: Event) -> bytes:
        """A piece of the text or of a call's arguments, after the beginning of its item."""
        if type(event) is ChatDelta:
            return self._say(event.text)
        if type(event) is ChatToolDelta:
            return self._ask(event)
        if type(event) is Grounded:
            self._grounded = event
        return b""

    def ending(self, done: ChatDone) -> bytes:
        """The end of what is open, and of the response."""
        opened = self._open_text() if not self._items else b""
        closed = b"".join([self._close(item) for item in self._items if item.open])
        output = [item.shown("completed", self._grounded) for item in self._items]
        response = objects.ended(self._response, output, done, self._grounded)
        return opened + closed + self._event(f"response.{response['status']}", response=response)

    def failed(self, error: VoiceHelperError) -> bytes:
        """The end of a response that broke."""
        text = error_body(error, current_context()).message
        output = [item.shown("incomplete", None) for item in self._items]
        return self._event("response.failed", response=objects.failed(self._response, output, error, text))

    def _say(self, text: str) -> bytes:
        opened = self._open_text() if self._text is None else b""
        item = self._text
        assert item is not None
        item.pieces.append(text)
        return opened + self._event(
            "response.output_text.delta",
            item_id=item.id,
            output_index=item.place,
            content_index=0,
            delta=text,
            logprobs=[],
        )

    def _open_text(self) -> bytes:
        item = self._text = self._item("msg_")
        part = objects.output_text("")
        return self._event(
            "response.output_item.added", output_index=item.place, item=objects.message(item.id, "in_progress", [])
        ) + self._event(
            "response.content_part.added", item_id=item.id, output_index=item.place, content_index=0, part=part
        )

    def _ask(self, event: ChatToolDelta) -> bytes:
        item, opened = self._calls.get(event.index), b""
        if item is None:
            if self._text is not None:
                opened = self._close(self._text)
                self._text = None
            item = self._calls[event.index] = self._item("fc_", event.id or new_id("call_"), event.name)
            begun = item.shown("in_progress", None)
            opened += self._event("response.output_item.added", output_index=item.place, item=begun)
        if not event.arguments:
            return opened
        item.pieces.append(event.arguments)
        return opened + self._event(
            "response.function_call_arguments.delta",
            item_id=item.id,
            output_index=item.place,
            delta=event.arguments,
        )

    def _item(self, prefix: str, call_id: str = "", name: str = "") -> _Item:
        item = _Item(new_id(prefix), len(self._items), call_id, name)
        self._items.append(item)
        return item

    def _close(self, item: _Item) -> bytes:
        item.open = False
        ended = self._close_call(item) if item.call_id else self._close_text(item)
        shown = item.shown("completed", self._grounded)
        return ended + self._event("response.output_item.done", output_index=item.place, item=shown)

    def _close_call(self, item: _Item) -> bytes:
        return self._event(
            "response.function_call_arguments.done",
            item_id=item.id,
            output_index=item.place,
            name=item.name,
            arguments="".join(item.pieces),
        )

    def _close_text(self, item: _Item) -> bytes:
        text, where = "".join(item.pieces), {"item_id": item.id, "output_index": item.place, "content_index": 0}
        added = [
            self._event("response.output_text.annotation.added", annotation=each, annotation_index=place, **where)
            for place, each in enumerate(objects.annotations(self._grounded))
        ]
        return (
            b"".join(added)
            + self._event("response.output_text.done", text=text, logprobs=[], **where)
            + self._event("response.content_part.done", part=objects.output_text(text, self._grounded), **where)
        )

    def _event(self, kind: str, **facts: Any) -> bytes:
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (
            kind.encode(),
            dumps({"type": kind, "sequence_number": self._number, **facts}),
        )
