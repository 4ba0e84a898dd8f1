"""What the user says, as items of the conversation: from the first sound to the transcript. Pure."""

from collections import deque
from dataclasses import dataclass

from voicehelper.gateway.realtime.items import Item, Items, item_id
from voicehelper.gateway.realtime.refusals import ServerEvent
from voicehelper.ports.speech import INPUT_RATE
from voicehelper.voice.machine_hearing import PRE_ROLL_MS
from voicehelper.voice.model import Dropped, Final, Partial, UserStarted, UserStopped

_PER_MS = INPUT_RATE // 1000
_MOST_TURNS = 100


@dataclass(slots=True)
class _Utterance:
    """Something being said. `told`: the client knows that it began. `sent`: characters of transcript deltas."""

    item: str
    start: int
    end: int
    told: bool = False
    sent: str = ""


class UserSpeech:
    """Gives the events for what the core hears.

    Args:
        items: the conversation.

    Attributes:
        transcribed: the client wants to read along.
        detected: we find where turns end, and tell.
    """

    def __init__(self, items: Items) -> None:
        self.transcribed = False
        self.detected = True
        self._items = items
        self._now: dict[int, _Utterance] = {}
        self._committed: deque[Item] = deque()
        self._by_turn: dict[int, Item] = {}

    def started(self, notice: UserStarted) -> list[ServerEvent]:
        """Somebody speaks; over us, only when it was sure that he does."""
        if notice.utterance in self._now:  # after a pause
            return []
        known = self._now[notice.utterance] = _Utterance(item_id(), notice.sample, notice.sample)
        return self._tell(known)

    def stopped(self, notice: UserStopped) -> None:
        """A pause; whether it is the end of the turn is seen later, and the client told then."""
        if notice.utterance in self._now:
            self._now[notice.utterance].end = notice.sample

    def partial(self, notice: Partial) -> list[ServerEvent]:
        """What will not change any more of the text so far."""
        known = self._now.get(notice.utterance)
        stable = notice.text[: notice.stable]
        if known is None or not self.transcribed or not stable.startswith(known.sent):
            return []
        delta, known.sent = stable[len(known.sent) :], stable
        return [_delta(known.item, delta)] if delta else []

    def commit(self) -> list[ServerEvent]:
        """The client ends the utterance; its text comes later."""
        known = next(reversed(self._now.values()), None)
        item = Item(known.item if known else item_id(), "user", "input_audio")
        self._committed.append(item)
        return self._add(item)

    def clear(self) -> None:
        """What was said and not committed is taken back."""
        self._now.clear()

    def final(self, notice: Final) -> tuple[bool, list[ServerEvent]]:
        """It is a turn. True where the client had committed it."""
        known = self._now.pop(notice.utterance, None)
        events: list[ServerEvent] = []
        committed = bool(self._committed)
        if committed:
            item = self._committed.popleft()
            events += _stop(known, notice.end) if known and known.told else []
        else:
            known = known or _Utterance(item_id(), notice.start, notice.end)
            item = Item(known.item, "user", "input_audio")
            events += self._tell(known)
            events += _stop(known, notice.end) if known.told else []
            events += self._add(item)
        item.text = notice.text
        events += self._transcript(item, known, notice.text, notice.end - notice.start)
        replaced = self._by_turn.pop(notice.replaces, None)
        if replaced is not None:  # its words are part of this one
            self._items.remove(replaced)
            events.append({"type": "conversation.item.deleted", "item_id": replaced.id})
        self._remember(notice.turn, item)
        return committed, events

    def dropped(self, notice: Dropped) -> list[ServerEvent]:
        """It is none."""
        known = self._now.pop(notice.utterance, None)
        events = _stop(known, known.end) if known and known.told else []
        if self._committed:  # the client says that it was one: then it is an empty one
            item = self._committed.popleft()
            item.text = notice.text
            events += self._transcript(item, known, notice.text, 0)
        return events

    def failed(self, details: dict[str, str]) -> list[ServerEvent]:
        """It could not be written down."""
        known = next(reversed(self._now.values()), None)
        item = self._committed.popleft().id if self._committed else known.item if known else None
        if item is None:
            return []
        kind = "conversation.item.input_audio_transcription.failed"
        return [{"type": kind, "item_id": item, "content_index": 0, "error": details}]

    def _tell(self, known: _Utterance) -> list[ServerEvent]:
        if known.told or not self.detected:
            return []
        known.told = True
        start = max(0, known.start // _PER_MS - PRE_ROLL_MS)
        return [{"type": "input_audio_buffer.speech_started", "audio_start_ms": start, "item_id": known.item}]

    def _add(self, item: Item) -> list[ServerEvent]:
        committed = {
            "type": "input_audio_buffer.committed",
            "previous_item_id": self._items.last_id,
            "item_id": item.id,
        }
        return [committed, self._items.add(item), self._items.done(item)]

    def _transcript(self, item: Item, known: _Utterance | None, text: str, samples: int) -> list[ServerEvent]:
        if not self.transcribed:
            return []
        sent = known.sent if known and text.startswith(known.sent) else None
        rest = [_delta(item.id, text[len(sent) :])] if sent is not None and len(text) > len(sent) else []
        kind = "conversation.item.input_audio_transcription.completed"
        usage = {"type": "duration", "seconds": round(samples / INPUT_RATE, 3)}
        done = {"type": kind, "item_id": item.id, "content_index": 0, "transcript": text, "usage": usage}
        return [*rest, done]

    def _remember(self, turn: int, item: Item) -> None:
        self._by_turn[turn] = item
        while len(self._by_turn) > _MOST_TURNS:
            del self._by_turn[next(iter(self._by_turn))]


def _delta(item: str, text: str) -> ServerEvent:
    kind = "conversation.item.input_audio_transcription.delta"
    return {"type": kind, "item_id": item, "content_index": 0, "delta": text}


def _stop(known: _Utterance, end: int) -> list[ServerEvent]:
    kind = "input_audio_buffer.speech_stopped"
    return [{"type": kind, "audio_end_ms": max(end, known.end) // _PER_MS, "item_id": known.item}]
