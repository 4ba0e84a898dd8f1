"""Outputs of a voice session as the frames of `/ws/voice`."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import orjson

from voicehelper.context import current_context
from voicehelper.conversations import error_of
from voicehelper.errors import VoiceHelperError, error_class
from voicehelper.gateway.problems import error_body
from voicehelper.voice import model, outputs
from voicehelper.voice.codecs import Encoder
from voicehelper.voice.outputs import Output
from voicehelper.wire.voice import ACKNOWLEDGEMENT, OPUS, SOUND_HEADER, SOUND_KIND

RESUMABLE = frozenset({"restart", "slow"})
"""Reasons after which the client should come back."""

_PACKET_S = 50  # Opus packets a second
_TOLD_OF_ANSWERS = {
    "message.created": "answer.started",
    "status": "answer.status",
    "delta": "answer.delta",
    "usage": "answer.usage",
    "message.completed": "answer.completed",
    "message.stopped": "answer.completed",
}
_SIMPLE: dict[type, str] = {
    model.StateChanged: "state",
    model.UserStarted: "speech.started",
    model.UserStopped: "speech.stopped",
    model.Partial: "transcript.partial",
    model.Final: "transcript.final",
    model.Dropped: "turn.dropped",
    outputs.SoundHeld: "audio.hold",
    outputs.SoundResumed: "audio.resume",
    outputs.SoundStopped: "audio.stop",
    outputs.AnswerSaid: "answer.said",
    outputs.AnswerCut: "answer.cut",
    outputs.ClauseSaid: "audio.clause",
    outputs.Latency: "latency",
    outputs.InputAcked: "input.ack",
}


def json_of(kind: str, **fields: Any) -> str:
    """A message."""
    return orjson.dumps({"type": kind, **fields}, default=str).decode()  # asyncpg has a UUID of its own


def error_message(error: VoiceHelperError, turn: int = 0, trace_id: str = "") -> str:
    """An `error` message, in the client's language."""
    body = error_body(error, current_context()).model_dump(mode="json")
    if trace_id:
        body["trace_id"] = trace_id
    return json_of("error", **body, turn=turn or None)


def message_of(output: Output) -> str:
    """The JSON of an output that is not a frame of sound; empty for what clients of this socket are not told."""
    kind = _SIMPLE.get(type(output))
    if kind is not None:
        return json_of(kind, **asdict(output))
    return _OTHERS[type(output)](output)


def _answering(output: outputs.Answering) -> str:
    event = output.event
    if event.name == "error":
        error, trace_id = error_of(event)
        return error_message(error, output.turn, trace_id)
    place = {"turn": output.turn, "id": str(event.mark), "message_id": str(event.message_id)}
    data = orjson.Fragment(event.data)
    if event.name == "citation":
        return json_of("answer.citation", **place, citation=data)
    kind = _TOLD_OF_ANSWERS.get(event.name)
    return json_of(kind, **place, **orjson.loads(event.data)) if kind else ""


def _failure(output: model.Failure) -> str:
    if output.what == "answer":  # the answer's own error was told already, in its words
        return ""
    return error_message(error_class(output.code)(details={"stage": output.what}), output.turn)


def _closed(output: outputs.Closed) -> str:
    return json_of("session.closed", reason=output.reason, resumable=output.reason in RESUMABLE)


_OTHERS: dict[type, Callable[[Any], str]] = {
    outputs.Answering: _answering,
    outputs.ErrorNotice: lambda output: error_message(output.error, output.turn),
    model.Failure: _failure,
    outputs.Closed: _closed,
    outputs.Resumed: lambda output: "",
}


class SoundFrames:
    """Frames of sound as binary messages of one connection.

    Args:
        encoder: of the connection.
        source_rate: the session's samples per second: positions count those.
        opus: whether the encoder makes packets of 20 ms.
    """

    def __init__(self, encoder: Encoder, source_rate: int, *, opus: bool) -> None:
        self._encode = encoder
        self._opus = opus
        self._packet = source_rate // _PACKET_S
        self._next = -1  # the sample after the last that went into the encoder
        self._at = 0  # the first sample that has not come out of it
        self._flags = 0
        self._generation = 0

    def take(self, frame: outputs.Frame) -> list[bytes]:
        """The messages that are ready."""
        told: list[bytes] = []
        flags = ACKNOWLEDGEMENT if frame.acknowledgement else 0
        if frame.sample != self._next or (flags, frame.generation) != (self._flags, self._generation):
            told = self.flush() if frame.generation == self._generation else []
            self._encode.reset()
            self._at, self._flags, self._generation = frame.sample, flags, frame.generation
        self._next = frame.sample + len(frame.pcm) // 2
        return told + self._messages(self._encode(frame.pcm))

    def flush(self) -> list[bytes]:
        """What is left, where the sound pauses."""
        if self._next < 0 or self._at >= self._next:
            return []
        return self._messages(self._encode.flush())

    def _messages(self, parts: list[bytes]) -> list[bytes]:
        told = []
        for part in parts:
            flags = self._flags | (OPUS if self._opus else 0)
            told.append(SOUND_HEADER.pack(SOUND_KIND, flags, self._generation % 65536, self._at) + part)
            self._at = self._at + self._packet if self._opus else self._next
        return told
