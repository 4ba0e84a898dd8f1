"""Anthropic's Messages format: the events of an answer as chunks."""

from collections.abc import Mapping
from typing import Any

import orjson

from actors.chat.wire import Chunk
from voicehelper.errors import ModelUnavailable
from voicehelper.ports.chat import ChatToolDelta, ChatUsage, FinishReason

_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class EventReader:
    """Reads the events of one message; keeps what later ones refer to.

    Args:
        by_tool: the tool's arguments are the answer's text.
    """

    def __init__(self, by_tool: bool = False) -> None:
        self.over = False
        self._by_tool = by_tool
        self._tools: dict[int, int] = {}  # place among the blocks -> place among the tool calls
        self._without_arguments: set[int] = set()
        self._usage: dict[str, Any] = {}

    def read(self, payload: bytes) -> Chunk:
        """One event. Raises `ModelUnavailable` when it is none."""
        try:
            event = orjson.loads(payload)
            return _READERS.get(event["type"], _nothing)(self, event)
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise ModelUnavailable("The model server sent something that is not a message") from error

    def _start(self, event: Mapping[str, Any]) -> Chunk:
        return self._used(event["message"].get("usage") or {})

    def _block(self, event: Mapping[str, Any]) -> Chunk:
        block = event["content_block"]
        if block["type"] != "tool_use":
            return Chunk(text=block.get("text") or "", progress=block["type"] != "text")
        self._tools[event["index"]] = index = len(self._tools)
        self._without_arguments.add(index)
        return Chunk() if self._by_tool else Chunk(tools=(ChatToolDelta(index, block["id"], block["name"]),))

    def _delta(self, event: Mapping[str, Any]) -> Chunk:
        delta = event["delta"]
        if delta["type"] == "text_delta":
            return Chunk(text=delta["text"])
        if delta["type"] != "input_json_delta":
            return Chunk(progress=True)  # thinking, its signature, citations
        arguments = delta["partial_json"]
        if not arguments:
            return Chunk()
        index = self._tools[event["index"]]
        self._without_arguments.discard(index)
        return Chunk(text=arguments) if self._by_tool else Chunk(tools=(ChatToolDelta(index, arguments=arguments),))

    def _block_end(self, event: Mapping[str, Any]) -> Chunk:
        """A call without arguments has none in the stream; others' are always JSON."""
        index = self._tools.get(event["index"], -1)
        if index not in self._without_arguments:
            return Chunk()
        self._without_arguments.discard(index)
        return Chunk(text="{}") if self._by_tool else Chunk(tools=(ChatToolDelta(index, arguments="{}"),))

    def _message_delta(self, event: Mapping[str, Any]) -> Chunk:
        chunk = self._used(event.get("usage") or {})
        reason = event["delta"].get("stop_reason")
        if reason:
            finish = _FINISH.get(reason, "stop")
            chunk.finish = "stop" if self._by_tool and finish == "tool_calls" else finish
            chunk.raw_finish = reason
        return chunk

    def _end(self, _event: Mapping[str, Any]) -> Chunk:
        self.over = True
        return Chunk()

    def _error(self, event: Mapping[str, Any]) -> Chunk:
        return Chunk(error=event["error"])

    def _used(self, usage: Mapping[str, Any]) -> Chunk:
        """Counts are of the whole message so far; what an event leaves out stays as it was."""
        self._usage |= {name: value for name, value in usage.items() if value is not None}
        known = self._usage.get
        cached = known("cache_read_input_tokens", 0)
        prompt = known("input_tokens", 0) + known("cache_creation_input_tokens", 0) + cached
        thinking = known("output_tokens_details", {}).get("thinking_tokens") or 0
        return Chunk(usage=ChatUsage(prompt, known("output_tokens", 0), cached, thinking))


def _nothing(_reader: EventReader, _event: Mapping[str, Any]) -> Chunk:
    return Chunk(progress=True)


_READERS = {
    "message_start": EventReader._start,
    "content_block_start": EventReader._block,
    "content_block_delta": EventReader._delta,
    "content_block_stop": EventReader._block_end,
    "message_delta": EventReader._message_delta,
    "message_stop": EventReader._end,
    "error": EventReader._error,
}
