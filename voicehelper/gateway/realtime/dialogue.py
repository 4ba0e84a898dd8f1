"""What the client sends, as commands for the voice session and events for the client. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from voicehelper.gateway.realtime.answers import Answers
from voicehelper.gateway.realtime.configuration import Configuration, Facts, refuse_tools, text_only
from voicehelper.gateway.realtime.items import Item, Items, item_id
from voicehelper.gateway.realtime.refusals import Refusal, ServerEvent
from voicehelper.gateway.realtime.speech import UserSpeech
from voicehelper.voice import commands
from voicehelper.voice.commands import Command
from voicehelper.wire import realtime as wire

_SHORTEST_COMMIT_MS: Final = 100


@dataclass(slots=True)
class Reply:
    """What follows from an event: commands for the session, then events for the client."""

    commands: list[Command] = field(default_factory=list)
    events: list[ServerEvent] = field(default_factory=list)


class Dialogue:
    """One connection's side of the protocol: its configuration, its items, what waits for an answer.

    Args:
        items: the conversation.
        speech: what the user says.
        answers: what is answered.
        facts: about the session.
    """

    def __init__(self, items: Items, speech: UserSpeech, answers: Answers, facts: Facts, config: Configuration) -> None:
        self.facts = facts
        self.config = config
        self.buffered_ms = 0.0
        self._items, self._speech, self._answers = items, speech, answers
        self._typed: list[Item] = []

    def take(self, event: wire.ClientEvent) -> Reply:
        """What follows from `event` (of `input_audio_buffer.append` nothing: sound has its own way). Raises
        `Refusal`."""
        try:
            return self._takers[type(event)](self, event)
        except Refusal as refusal:
            refusal.event_id = event.event_id
            raise

    def session(self, kind: str) -> ServerEvent:
        """`session.created` or `session.updated`."""
        return {"type": kind, "session": self.config.shown(self.facts)}

    def _update(self, event: wire.SessionUpdate) -> Reply:
        self.put(self.config.changed(event.session))
        return Reply([self.config.command(self.facts.turn)])

    def put(self, config: Configuration) -> None:
        """`config` is in force from now on."""
        self.config = self._answers.config = config
        self._speech.transcribed = config.transcribed
        self._speech.detected = config.detection is not None

    def _commit(self, event: wire.BufferCommit) -> Reply:
        if self.buffered_ms < _SHORTEST_COMMIT_MS:
            message = (
                f"The input audio buffer holds {self.buffered_ms:.0f} ms of sound; {_SHORTEST_COMMIT_MS} are needed."
            )
            raise Refusal("input_audio_buffer_commit_empty", message)
        self.buffered_ms = 0.0
        if self.config.detection is None or not self.config.detection.create_response:
            self._answers.waiting += 1
        return Reply([commands.Commit()], self._speech.commit())

    def _clear(self, event: wire.BufferClear) -> Reply:
        self.buffered_ms = 0.0
        self._speech.clear()
        return Reply([commands.Clear()], [{"type": "input_audio_buffer.cleared"}])

    def _clear_output(self, event: wire.OutputClear) -> Reply:
        raise Refusal("invalid_value", "For WebRTC and SIP only; over a WebSocket, cancel the response.", "type")

    def _create_item(self, event: wire.ItemCreate) -> Reply:
        wanted = event.item
        text = _text_of(wanted)
        self._items.check_new(wanted.id, event.previous_item_id)
        item = Item(wanted.id or item_id(), "user", "input_text", text)
        self._typed.append(item)
        return Reply([], [self._items.add(item), self._items.done(item)])

    def _retrieve(self, event: wire.ItemRetrieve) -> Reply:
        item = self._items.get(event.item_id)
        return Reply([], [{"type": "conversation.item.retrieved", "item": item.shown()}])

    def _delete(self, event: wire.ItemDelete) -> Reply:
        item = self._items.get(event.item_id)
        if item not in self._typed:
            raise Refusal("unsupported_operation", "Only a text that was not answered yet can be deleted.", "item_id")
        self._typed.remove(item)
        self._items.remove(item)
        return Reply([], [{"type": "conversation.item.deleted", "item_id": item.id}])

    def _truncate(self, event: wire.ItemTruncate) -> Reply:
        wanted, events = self._answers.truncate(self._items.get(event.item_id), event.content_index, event.audio_end_ms)
        truncated = {
            "type": "conversation.item.truncated",
            "item_id": event.item_id,
            "content_index": event.content_index,
            "audio_end_ms": event.audio_end_ms,
        }
        return Reply(wanted, [*events, truncated])

    def _create_response(self, event: wire.ResponseCreate) -> Reply:
        wanted = event.response or wire.ResponseParams()
        _check(wanted)
        config = self._answers.config_for(wanted)
        self._answers.check_free()
        asked: list[Command] = []
        if self._typed:
            text = "\n".join(item.text or "" for item in self._typed)
            asked.append(commands.TypeText(text, answer=False, spoken=not config.text_only))
        elif not self._answers.waiting:
            raise Refusal("nothing_to_answer", "Nothing was said or written since the last response.")
        asked.append(commands.WantResponse())
        self._typed.clear()
        return Reply(asked, self._answers.wanted(config, wanted.metadata))

    def _cancel(self, event: wire.ResponseCancel) -> Reply:
        return Reply([commands.Interrupt()], self._answers.cancel(event.response_id))

    _takers: Final[dict[type, Callable[..., Reply]]] = {
        wire.SessionUpdate: _update,
        wire.BufferCommit: _commit,
        wire.BufferClear: _clear,
        wire.OutputClear: _clear_output,
        wire.ItemCreate: _create_item,
        wire.ItemRetrieve: _retrieve,
        wire.ItemDelete: _delete,
        wire.ItemTruncate: _truncate,
        wire.ResponseCreate: _create_response,
        wire.ResponseCancel: _cancel,
    }


def _text_of(wanted: wire.Item) -> str:
    """What the user wrote. Raises `Refusal` for every other kind of item."""
    if wanted.type != "message":
        message = f"Items of type '{wanted.type}' are not supported: tools of the client are not."
        raise Refusal("unsupported_value", message, "item.type")
    if wanted.role is None:
        raise Refusal("missing_required_parameter", "Missing required parameter: 'item.role'.", "item.role")
    if wanted.role != "user":
        message = "Only messages of the user can be added: what we say comes from the tenant's knowledge bases."
        raise Refusal("unsupported_value", message, "item.role")
    parts = []
    for place, part in enumerate(wanted.content or []):
        if part.type != "input_text":
            message = "Text only; sound goes through input_audio_buffer.append."
            raise Refusal("unsupported_value", message, f"item.content[{place}].type")
        if part.text is None:
            path = f"item.content[{place}].text"
            raise Refusal("missing_required_parameter", f"Missing required parameter: '{path}'.", path)
        parts.append(part.text)
    text = "\n".join(parts).strip()
    if not text:
        raise Refusal("invalid_value", "The message is empty.", "item.content")
    if len(text) > wire.LONGEST_TEXT:
        raise Refusal("string_above_max_length", f"At most {wire.LONGEST_TEXT} characters.", "item.content")
    return text


def _check(wanted: wire.ResponseParams) -> None:
    """Raises `Refusal` for what a single answer cannot be given here."""
    refuse_tools(wanted.tools, "response")
    text_only(wanted.output_modalities, "response")
    if wanted.conversation not in (None, "auto"):
        raise Refusal("unsupported_value", "Every response belongs to the conversation.", "response.conversation")
    harmless = {"max_output_tokens": "inf", "instructions": "", "tool_choice": "none"}
    for name in ("input", "prompt", "reasoning", "parallel_tool_calls", *harmless):
        if getattr(wanted, name) not in (None, harmless.get(name)):
            path = f"response.{name}"
            raise Refusal("unsupported_parameter", f"'{path}' is not supported.", path)
    output = wanted.audio.output if wanted.audio else None
    for name in ("voice", "speed"):
        if output is not None and getattr(output, name) is not None:
            path = f"response.audio.output.{name}"
            raise Refusal("unsupported_parameter", f"'{path}' is set for the session, by session.update.", path)
