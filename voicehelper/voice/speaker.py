"""A session's mouth: text in, sound out, at the client's pace; to be held, stopped and continued at any sample.

Everything about one session's sound is here and in `timeline`; what it is told to say, when it is told to stop, and
where its frames go are the session's affair. Not thread-safe; time is the event loop's.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any, Literal, Protocol, TypeVar

from voicehelper.errors import VoiceHelperError
from voicehelper.telemetry import get_logger
from voicehelper.voice.outputs import Frame
from voicehelper.voice.speaker_pace import Playhead
from voicehelper.voice.speaker_telling import Telling, Told
from voicehelper.voice.speaker_voice import SAMPLE, Manner, Sound, SpeakingVoice
from voicehelper.voice.timeline import Clause, Heard, Timeline, restored

log = get_logger(__name__)

T = TypeVar("T")

_LEAST_WAIT_S = 0.02


class Sink(Protocol):
    """Where a speaker's work goes. Each call is awaited before the next; none is begun after `Speaker.stop`."""

    async def frame(self, frame: Frame) -> None:
        """Sound for the client."""
        ...

    async def clause(self, clause: Clause) -> None:
        """What the next frames say; its first frame leaves when this returns."""
        ...

    async def sounding(self, turn: int, sample: int) -> None:
        """The first sound of the turn's answer is ready, or the first after a pause. Acknowledgements do not count."""
        ...

    async def paused(self, turn: int, end: int) -> None:
        """All sound of the turn's answer, up to `end`, is probably played; more is to come, but is not made yet."""
        ...

    async def spoken(self, turn: int, end: int) -> None:
        """All sound of the turn's answer was given to `frame`; it ends at `end`."""
        ...

    async def unspoken(self, turn: int, error: VoiceHelperError) -> None:
        """No (more) sound of the turn comes: its text or the synthesiser broke off."""
        ...


class Speaker:
    """Says answers of one session.

    Args:
        voice: makes sounds. May be replaced by a session that changes its voice.
        sink: takes them.
        lead_s: how far ahead of play they are sent.
        frame_ms: length of a frame; a multiple of 20 up to 100.
    """

    def __init__(self, voice: SpeakingVoice, sink: Sink, *, lead_s: float = 1.0, frame_ms: int = 60) -> None:
        self.voice = voice
        self.timeline = Timeline(voice.info.sample_rate)
        self.generation = 0
        self._sink = sink
        rate = voice.info.sample_rate
        self._frame = rate * frame_ms // 1000
        self._lead = int(rate * lead_s)
        self._head = Playhead(rate)
        self._sent = 0
        self._gate = asyncio.Event()
        self._gate.set()
        self._line = asyncio.Lock()  # one clause at a time
        self._telling: asyncio.Task[None] | None = None
        self._filling: asyncio.Task[None] | None = None
        self._begun: int | None = None  # the turn of whose answer something was sent
        self._told: Literal["", "sounding", "paused"] = ""  # what the sink knows of it
        self._sending: tuple[int, Sound] | None = None
        self._before: dict[int, tuple[str, list[Clause]]] = {}

    @property
    def position(self) -> int:
        """The sample that is sent next."""
        return self._sent

    @property
    def busy(self) -> bool:
        """Whether a turn is being said, or sound was sent that is probably not played yet."""
        telling = self._telling is not None and not self._telling.done()
        return telling or self.sounding

    @property
    def sounding(self) -> bool:
        """Whether the client probably plays something now."""
        return self._head.at(_now()) < self._sent

    # -- what to say

    def say(self, turn: int, text: AsyncIterator[str], language: str = "") -> None:
        """Begin to say the turn's answer as it is written; what was said before, and not to its end, stops.

        After `restore`, clauses of the same turn that were not heard to their end are said first, the one in play from
        the sample where it was; then what of `text` was not said.
        """
        if self._telling is not None and not self._telling.done():
            self.stop()
        said, again = self._before.pop(turn, ("", []))
        self._begun, self._told = turn if said else None, ""
        telling = Telling(self.voice, text, language, said, again)
        self._telling = self._start(self._tell(turn, telling))

    def acknowledge(self, turn: int, phrase: str, language: str = "") -> None:
        """Say `phrase` while the turn's answer, or more of it, is waited for, unless something sounds by the time it is
        made."""
        if not self._silent(turn) or (self._filling is not None and not self._filling.done()):
            return
        self._filling = self._start(self._fill(turn, phrase, language))

    # -- control: all of these work at once

    def hold(self) -> None:
        """No frame leaves until `resume`; the client is expected to pause."""
        self._gate.clear()
        self._head.hold(_now())

    def resume(self) -> None:
        """Go on."""
        self._gate.set()
        self._head.resume(_now())

    def stop(self) -> int:
        """Say nothing more; the sample at which the next sound, of the next generation, begins."""
        self._note_played()
        for task in (self._telling, self._filling):
            if task is not None:
                task.cancel()
        if self._sending is not None:
            start, sound = self._sending
            if sound.done:
                self.timeline.measured(start, sound.samples)
        self._telling = self._filling = self._sending = self._begun = None
        self._line = asyncio.Lock()
        self._before.clear()
        self.generation += 1
        self.timeline.cut(self._sent)
        self._head.jump(self._sent, _now())
        self._gate.set()
        return self._sent

    def played(self, sample: int) -> None:
        """The client has played everything before `sample`."""
        if sample <= self._sent:
            self.timeline.report(sample)
            self._head.report(sample, _now())

    def heard(self, turn: int) -> Heard:
        """What of the turn's answer was played, by the client's reports; without any, by the clock."""
        self._note_played()
        return self.timeline.heard(turn)

    def restore(self, clauses: Iterable[Clause], played: int, generation: int | None = None) -> None:
        """Go on with a session that was elsewhere: `clauses` as its sink got them, `played` as its client says.

        Nothing is said until `say`. `generation` at least that of the last stop.
        """
        known = list(clauses)
        self.timeline = restored(self.voice.info.sample_rate, known, played)
        self.generation = max([generation or 0, *(clause.generation for clause in known)])
        self._sent = played
        self._head.jump(played, _now())
        current = [clause for clause in self.timeline.clauses if clause.generation == self.generation]
        for turn in {clause.turn for clause in current}:
            of_turn = [clause for clause in current if clause.turn == turn and not clause.acknowledgement]
            if of_turn:
                said = "".join(clause.text for clause in of_turn)
                self._before[turn] = (said, self.timeline.unheard(turn, played))

    async def aclose(self) -> None:
        """End everything."""
        tasks = [task for task in (self._telling, self._filling) if task is not None]
        self.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- work

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    async def _tell(self, turn: int, telling: Telling) -> None:
        generation = self.generation
        try:
            async with asyncio.TaskGroup() as group:
                parts = [group.create_task(telling.read()), group.create_task(telling.make())]
                while (told := await self._noting_silence(turn, telling.next())) is not None:
                    error = await self._say(turn, told, generation)
                    if error is not None:
                        telling.error = error
                        break
                for part in parts:
                    part.cancel()
        except ExceptionGroup as broken:  # a mistake of ours, or of a port: the session must not wait for ever
            log.error("voice.broken", error=type(broken.exceptions[0]).__name__, exc_info=broken)
            telling.error = VoiceHelperError()
        self._check(generation)
        if telling.error is not None:
            await self._sink.unspoken(turn, telling.error)
            return
        self.timeline.whole(turn, telling.chars)
        await self._sink.spoken(turn, self._sent)

    async def _say(self, turn: int, told: Told, generation: int) -> VoiceHelperError | None:
        """Send a clause; the error that broke it off."""
        if told.before is None:  # meanwhile the silence may be filled
            await self._noting_silence(turn, told.sound.reach(1))
        async with self._line:
            start, offset = self._sent, 0
            if told.before is not None and told.before.start < self._sent:
                offset = await self._offset(told.before, told.sound)
                start = self._sent - offset
            if not await told.sound.reach(offset + 1):
                return told.sound.error
            self._check(generation)
            clause = self._clause(turn, told, start)
            self.timeline.add(clause)
            await self._sink.clause(clause)
            if self._begun != turn or self._told != "sounding":
                self._check(generation)
                self._begun, self._told = turn, "sounding"
                await self._sink.sounding(turn, self._sent)
            await self._send(told.sound, start, offset, False, generation)
            return told.sound.error

    async def _noting_silence(self, turn: int, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives. Where all is played before it does, in the middle of an answer, the sink is told."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task}, timeout=0)
            while not task.done() and self._begun == turn and self.sounding:
                await asyncio.wait({task}, timeout=self._head.wait(self._sent, 0, _now()) + _LEAST_WAIT_S)
            if not task.done() and self._begun == turn and self._told != "paused":
                self._told = "paused"
                await self._sink.paused(turn, self._sent)
            return await task
        finally:
            task.cancel()

    def _silent(self, turn: int) -> bool:
        """Whether nothing sounds, and nothing of the turn's answer is ready to."""
        return not self.sounding and (self._begun != turn or self._told == "paused")

    async def _offset(self, before: Clause, sound: Sound) -> int:
        """How much of a clause that is made again was played already."""
        played = self._sent - before.start
        if self.voice.info.deterministic or before.samples is None:
            return played
        await sound.whole()
        return int(min(played / before.samples, 1.0) * sound.samples)

    async def _fill(self, turn: int, phrase: str, language: str) -> None:
        generation, sound = self.generation, Sound()
        await self.voice.make(phrase, language, sound, frequent=True)
        async with self._line:
            if not sound.pcm or not self._silent(turn) or generation != self.generation:
                return
            told = Told("", 0, 0, phrase, language, sound)
            clause = self._clause(turn, told, self._sent, acknowledgement=True)
            self.timeline.add(clause)
            await self._sink.clause(clause)
            await self._send(sound, self._sent, 0, True, generation)

    def _clause(self, turn: int, told: Told, start: int, acknowledgement: bool = False) -> Clause:
        return Clause(
            turn,
            start,
            told.sound.samples if told.sound.done else None,
            told.text,
            told.chars_from,
            told.chars_to,
            told.spoken,
            told.language,
            self.generation,
            acknowledgement,
        )

    async def _send(self, sound: Sound, start: int, offset: int, acknowledgement: bool, generation: int) -> None:
        self._sending = (start, sound)
        while await sound.reach(offset + self._frame) or sound.samples > offset:
            size = min(self._frame, sound.samples - offset)
            await self._until_due(size)
            self._check(generation)
            pcm = bytes(sound.pcm[offset * SAMPLE : (offset + size) * SAMPLE])
            frame = Frame(self._sent, pcm, generation, acknowledgement)
            offset += size
            self._sent += size
            self._head.sent(self._sent, _now())
            await self._sink.frame(frame)
        self._check(generation)
        self.timeline.measured(start, sound.samples)
        self._sending = None

    async def _until_due(self, size: int) -> None:
        while True:
            await self._gate.wait()
            wait = self._head.wait(self._sent + size, self._lead, _now())
            if wait <= 0:
                return
            await asyncio.sleep(max(wait, _LEAST_WAIT_S))

    def _check(self, generation: int) -> None:
        """A stop may come while something is awaited that does not notice the cancellation."""
        if generation != self.generation:
            raise asyncio.CancelledError

    def _note_played(self) -> None:
        if not self._head.reports:
            self.timeline.report(self._head.at(_now()))


def _now() -> float:
    return asyncio.get_running_loop().time()


__all__ = ["Manner", "Sink", "Speaker", "SpeakingVoice"]
