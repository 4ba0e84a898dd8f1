"""What the session says, as responses of the protocol. Pure, but for `clock`."""

from collections import deque
from dataclasses import replace
from typing import Any, Final

import orjson

from voicehelper.conversations import error_of
from voicehelper.gateway.realtime.configuration import Configuration, Facts, with_output
from voicehelper.gateway.realtime.formats import encoder_of
from voicehelper.gateway.realtime.items import Item, Items
from voicehelper.gateway.realtime.playback import Playback, samples_of
from voicehelper.gateway.realtime.refusals import Refusal, ServerEvent, failure_details
from voicehelper.gateway.realtime.responses import Response
from voicehelper.voice import commands
from voicehelper.voice.commands import Command
from voicehelper.voice.outputs import AnswerCut, Answering, AnswerSaid, ClauseSaid, Frame, SoundStopped
from voicehelper.wire.realtime import ResponseParams

_RECENT: Final = 8
_TOLERANCE_MS: Final = 50  # between a client's count of what it played and ours


class Answers:
    """Makes responses of what the session says, and knows what of it the client probably played.

    Args:
        items: the conversation.
        config: in force.
        facts: about the session.
        playback: the sound on its way.

    Attributes:
        waiting: turns of the user that wait for `response.create`.
    """

    def __init__(self, items: Items, config: Configuration, facts: Facts, playback: Playback) -> None:
        self.config = config
        self.waiting = 0
        self._items, self._facts, self._playback = items, facts, playback
        self._now: Response | None = None
        self._recent: deque[Response] = deque(maxlen=_RECENT)
        self._ended_turns: deque[int] = deque(maxlen=_RECENT)
        self._format = config.output_format
        self._encoder = encoder_of(self._format, playback.rate)

    # -- what the client asks for

    def config_for(self, wanted: ResponseParams) -> Configuration:
        """The configuration of one response."""
        config = self.config
        if wanted.output_modalities is not None:
            config = replace(config, text_only=wanted.output_modalities == ["text"])
        if wanted.audio is not None and wanted.audio.output is not None:
            config = with_output(config, wanted.audio.output)
        return config

    def check_free(self) -> None:
        """Raises `Refusal` while a response is being made; one that is only being played is no obstacle."""
        now = self._now
        if now is not None and not now.sent:
            message = f"Conversation already has an active response in progress: {now.id}. Wait until it is finished."
            raise Refusal("conversation_already_has_active_response", message)

    def wanted(self, config: Configuration, metadata: dict[str, str] | None) -> list[ServerEvent]:
        """A response begins because the client asked for it; its turn is known later."""
        self.waiting = 0
        return [*self.settle(), *self._begin(Response(self._items, config, self._facts, metadata))]

    def cancel(self, response_id: str | None) -> list[ServerEvent]:
        """The client ends the response. Raises `Refusal`."""
        now = self._now
        if now is None or response_id not in (None, now.id):
            raise Refusal("response_cancel_not_active", "Cancellation failed: no active response found")
        return self._finish(now, "cancelled", "client_cancelled")

    def truncate(self, item: Item, index: int, end_ms: int) -> tuple[list[Command], list[ServerEvent]]:
        """The client played only `end_ms` of an answer's item. Raises `Refusal`."""
        if item.role != "assistant":
            raise Refusal("invalid_value", "Only model output audio messages can be truncated", "item_id")
        if index != 0 or item.kind != "output_audio":
            raise Refusal("invalid_value", "There is no sound at this place.", "content_index")
        for response in self._recent:
            piece = response.find(item.id)
            if piece is not None:
                break
        else:
            raise Refusal("item_truncate_too_late", "The answer is too long ago.", "item_id")
        length = piece.samples * 1000 // self._playback.rate
        if end_ms > length + _TOLERANCE_MS:
            message = f"Audio content of {length}ms is already shorter than {end_ms}ms"
            raise Refusal("invalid_value", message, "audio_end_ms")
        events = self._finish(response, "cancelled", "turn_detected") if response is self._now else []
        asked: list[Command] = [commands.Interrupt()] if events else []
        if response.message_id is not None and not piece.filler:
            heard = response.samples_before(piece) * 1000 // self._playback.rate + end_ms
            asked.append(commands.Truncate(response.message_id, heard))
        return asked, events

    # -- what the session says

    def turned(self, committed: bool) -> None:
        """The user said something. What he committed himself is counted already."""
        detection = self.config.detection
        if not committed and (detection is None or not detection.create_response):
            self.waiting += 1

    def answering(self, output: Answering) -> list[ServerEvent]:
        """Something of the answer's text."""
        response, events = self._of(output.turn)
        if response is None:
            return []
        data: dict[str, Any] = orjson.loads(output.event.data)
        response.message_id = output.event.message_id
        match output.event.name:
            case "delta" if response.text_only:
                events += response.say(data["text"])
            case "citation":
                response.citations.append(data)
            case "usage":
                response.usage = _usage(data)
            case "error":
                response.failure = failure_details(error_of(output.event)[0])
            case "message.completed" if response.text_only:
                events += self._finish(response, "completed")
        return events

    def clause(self, output: ClauseSaid) -> list[ServerEvent]:
        """What the next sound says."""
        response, events = self._of(output.turn)
        if response is not None and not response.text_only:
            events += response.say(output.text or output.spoken, output.acknowledgement)
        return events

    def frame(self, frame: Frame) -> list[ServerEvent]:
        """Sound."""
        response = self._now
        if response is None or response.text_only or not self._playback.sent(frame):
            return []
        return self._send(response, frame)

    def said(self, output: AnswerSaid) -> list[ServerEvent]:
        """All of the answer's sound is sent. Where it may still be held and go on, it ends when it was played."""
        now = self._now
        if now is None or now.turn != output.turn or now.text_only:
            return []
        now.sent = True
        return [] if self.config.interruptible and self._playback.sounding else self.settle()

    def settle(self) -> list[ServerEvent]:
        """What was sent was played: the response is complete."""
        now = self._now
        if now is None or not now.sent:
            return []
        if now.failure is not None:  # what sounded was an apology
            return self._finish(now, "failed", error=now.failure)
        return self._finish(now, "completed")

    def resumed(self) -> list[ServerEvent]:
        """The sound goes on from where the client was."""
        again, response = self._playback.resumed(), self._now
        if response is None or not again:
            return []
        response.unsay(again[0].sample)
        return [event for frame in again for event in self._send(response, frame)]

    def stopped(self, output: SoundStopped) -> list[ServerEvent]:
        """The sound is over."""
        self._playback.stopped(output)
        self._encoder.reset()
        now = self._now
        if now is None or output.reason == "failed" or (output.turn and now.turn not in (None, output.turn)):
            return []
        reason = "client_cancelled" if output.reason in {"asked", "closed"} else "turn_detected"
        return self._finish(now, "cancelled", reason)

    def cut(self, output: AnswerCut) -> None:
        """So much of an answer was heard."""
        for response in self._recent:
            if response.message_id == output.message_id:
                response.shorten(output.chars)

    def failed(self, details: dict[str, str]) -> list[ServerEvent]:
        """No (more) answer comes."""
        if self._now is None:
            return [{"type": "error", "error": {**details, "param": None, "event_id": None}}]
        return self._finish(self._now, "failed", error=details)

    # -- within

    def _of(self, turn: int) -> tuple[Response | None, list[ServerEvent]]:
        """The response of a turn, begun where it is a new one; None where it has ended."""
        now = self._now
        if now is not None and now.turn is None:
            now.turn = turn
        if now is not None and now.turn == turn:
            return now, []
        if turn in self._ended_turns:
            return None, []
        events = self.settle()
        if self._now is not None:
            events += self._finish(self._now, "cancelled", "turn_detected")
        response = Response(self._items, self.config, self._facts)
        response.turn = turn
        return response, [*events, *self._begin(response)]

    def _begin(self, response: Response) -> list[ServerEvent]:
        self._now = response
        self._recent.append(response)
        return [response.created()]

    def _finish(self, response: Response, status: Any, reason: str | None = None, **more: Any) -> list[ServerEvent]:
        if response.ended:
            return []
        events: list[ServerEvent] = []
        if status == "completed" and (rest := b"".join(self._encoder.flush())):
            events += response.sound(rest, self._playback.end, 0, False)
        if response is self._now:
            self._now = None
        if response.turn is not None:
            self._ended_turns.append(response.turn)
        return [*events, *response.finish(status, reason, **more)]

    def _send(self, response: Response, frame: Frame) -> list[ServerEvent]:
        if self._format != response.format:
            self._format = response.format
            self._encoder = encoder_of(self._format, self._playback.rate)
        encoded = b"".join(self._encoder(frame.pcm))
        return response.sound(encoded, frame.sample, samples_of(frame), frame.acknowledgement)


def _usage(data: dict[str, Any]) -> dict[str, Any]:
    read, written = data["prompt_tokens"], data["completion_tokens"]
    return {
        "total_tokens": read + written,
        "input_tokens": read,
        "output_tokens": written,
        "input_token_details": {"text_tokens": read, "audio_tokens": 0, "cached_tokens": data["cached_tokens"]},
        "output_token_details": {"text_tokens": written, "audio_tokens": 0},
    }
