"""A call: carries out what the session's core wants, and tells it what happened. Everything that waits is a task; the
steps between are plain function calls, so that nothing can come between an event and its effects."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from voicehelper.errors import InvalidInput, RateLimited
from voicehelper.rag.language import language_of
from voicehelper.telemetry import get_logger, metrics
from voicehelper.voice import commands, model
from voicehelper.voice.acknowledgements import Acknowledgements
from voicehelper.voice.ear import Ear, EarOptions
from voicehelper.voice.journal import Entry
from voicehelper.voice.limits import Pace
from voicehelper.voice.outputs import (
    Closed,
    ErrorNotice,
    InputAcked,
    Output,
    Resumed,
    SoundHeld,
    SoundResumed,
    SoundStopped,
)
from voicehelper.voice.session_asking import Asking
from voicehelper.voice.session_core import Core
from voicehelper.voice.session_hearing import Hearing
from voicehelper.voice.session_latency import Latencies
from voicehelper.voice.session_outbox import Outbox
from voicehelper.voice.session_parts import Parts, Place
from voicehelper.voice.session_port import SessionInfo
from voicehelper.voice.session_record import Record
from voicehelper.voice.session_snapshot import OVERLAP, Snapshot
from voicehelper.voice.session_sound import SoundOut
from voicehelper.voice.session_voice import check_voice, manner_of, voice_for
from voicehelper.voice.speaker import Speaker, SpeakingVoice
from voicehelper.voice.state import needed_from
from voicehelper.voice.store import Fenced, Hold, Json

log = get_logger(__name__)

BEAT_S = 10.0
"""How often a session is kept though nothing happens."""

_TICK_S = 0.1
_SILENT_CLIENT_S = 3.0
_LATE_REPORT_S = 0.25
_SETTLE_S = 3.0


class VoiceSession:
    """See `session_port.Session`. Made and found by `calls.VoiceCalls`.

    Args:
        place: which, whose, where.
        parts: what it works with.
        voice: makes its sound.
        hold: the right to keep it.
        snapshot: where it begins, or goes on.
        resume_token: of the session.
        gone: called once, when this object is of no more use.
        resumed: the client has played so far; None for a new session.
    """

    def __init__(
        self,
        place: Place,
        parts: Parts,
        voice: SpeakingVoice,
        hold: Hold,
        snapshot: Snapshot,
        *,
        resume_token: str,
        gone: Callable[["VoiceSession"], None],
        resumed: int | None = None,
    ) -> None:
        settings, loop = parts.settings, asyncio.get_running_loop()
        self.place = place
        self._parts = parts
        self._token = resume_token
        self._choices = snapshot.choices
        self._gone = gone
        self._loop = loop
        self._final = snapshot.final
        self._outbox = Outbox()
        self._latencies = Latencies(loop.time)
        self._pace = Pace(loop.time(), resumed=resumed is not None)
        start = snapshot.input_from if resumed is not None else 0
        self._ear = Ear(parts.vad.listen(), EarOptions(threshold=settings.vad_threshold), start)
        self._record = Record(parts.store, hold, self._snapshot, snapshot.seq + 1, self._fenced)
        self._core = Core(
            snapshot.state,
            snapshot.clock_ms,
            snapshot.seq,
            note=self._note,
            carry_out=self._carry_out,
            heard=lambda: self._ear.position,
        )
        sound = SoundOut(
            self._latencies,
            feed=self._core.feed,
            put=self._outbox.put,
            changed=self._record.changed,
            kept=self._record.kept,
            asks=self._ends_with_question,
        )
        self._playing = sound.playing
        self._speaker = Speaker(voice, sound, lead_s=settings.lead_s)
        self._hearing = Hearing(place, parts, self._ear, self._latencies, feed=self._core.feed, broken=self._done)
        self._asking = Asking(
            place,
            parts,
            self._speaker,
            self._latencies,
            feed=self._core.feed,
            put=self._outbox.put,
            kept=self._record.kept,
        )
        self._hearing.choices = snapshot.choices
        self._asking.messages.update(snapshot.messages)
        self._asking.speech.update(snapshot.speech)
        self._acknowledgement = Acknowledgements()
        self._reported_at = 0.0
        self._resuming = False
        self._ending: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # -- for calls

    def begin(self, greeting: str) -> None:
        """The first event of a new session."""
        self._start_background()
        self._core.feed(model.Opened(greeting, self._choices.language))

    def go_on(self, snapshot: Snapshot, played: int) -> None:
        """The session is taken up again."""
        self._start_background()
        self._speaker.restore(snapshot.clauses, played, snapshot.generation)
        self._outbox.put(Resumed(self._ear.position, played, self._speaker.generation))
        if self._final is not None:
            self._outbox.put(self._final)
        turn = self._core.state.turn
        self._resuming = True
        self._core.feed(model.ConnectionResumed(played, self._ear.position))
        self._outbox.put(model.StateChanged(self._core.state.state))
        if turn is not None and turn.spoken and turn.end > played:
            # All of its sound had been made: what was not played of it is made once more.
            self._say_rest(turn.number, turn.text, turn.language, asked=turn.asks)
        self._resuming = False

    def suspend(self, reason: str, code: int) -> "asyncio.Task[None]":
        """Let the session go, for another process or connection to take it up; done when it is kept."""
        return self._finish(Closed(reason, code), "")

    # -- the transport's side

    @property
    def info(self) -> SessionInfo:
        """See `Session`."""
        return SessionInfo(
            self.place.session_id,
            self.place.conversation_id,
            self._token,
            self._speaker.voice.info.sample_rate,
            self._core.state.options,
            self._choices,
            self._parts.settings.resume_s,
        )

    async def audio(self, pcm: bytes) -> None:
        """See `Session`. Waits where sound comes faster than in real time. Raises `InvalidInput`."""
        if len(pcm) % 2:
            raise InvalidInput("A frame of sound is whole samples of two bytes")
        try:
            wait = self._pace.take(len(pcm) // 2, self._loop.time())
        except RateLimited as error:
            self._outbox.put(ErrorNotice(error))
            self._finish(Closed("flood", 1008), "flood")
            return
        for event in self._ear.hear(pcm):
            self._core.feed(replace(event, heard=self._ear.position))
        self._latencies.arrived(self._ear.position)
        self._hearing.moved()
        if wait:
            await asyncio.sleep(wait)

    async def send(self, command: commands.Command) -> None:
        """See `Session`."""
        _COMMANDS[type(command)](self, command)

    def output(self) -> AsyncIterator[Output]:
        """See `Session`."""
        return self._outbox.read()

    async def lost(self) -> None:
        """See `Session`."""
        if self._ending is not None:
            return
        self._core.feed(model.ConnectionLost())
        self._speaker.hold()
        try:
            await self._record.kept()
        except Fenced:
            return

    # -- commands

    def _played(self, command: commands.PlayedTo) -> None:
        sample = min(command.sample, self._speaker.position)
        self._reported_at = self._loop.time()
        self._speaker.played(sample)
        if sample > self._core.state.played:
            self._core.feed(model.Played(sample))

    def _configure(self, command: commands.Configure) -> None:
        options = _changed(self._core.state.options, command.turn)
        _check_options(options)
        choices = _changed(self._choices, command.speech)
        check_voice(choices, self._speaker.voice.info)
        self._choices = self._hearing.choices = choices
        if command.speech:
            voice = self._speaker.voice
            kept = "" if {"language", "voice"} & set(command.speech) else voice.manner.voice
            voice.manner = manner_of(choices, voice.info, self._parts.voice, kept)
            self._record.changed()
        if options != self._core.state.options:
            self._core.feed(model.Configured(options))

    # -- effects

    def _carry_out(self, effect: model.Effect) -> None:
        _EFFECTS[type(effect)](self, effect)

    def _ends_with_question(self, turn: int) -> bool:
        return self._asking.question_of(turn)

    def _ask(self, effect: model.Ask) -> None:
        language = effect.language or self._choices.language
        self._settle_voice(language or language_of(effect.text))
        if self._final is not None and self._final.turn == effect.turn:
            duration = (self._final.end - self._final.start) // 16
            self._asking.speech[effect.turn] = {"language": language, "duration_ms": max(duration, 0)}
        self._asking.ask(replace(effect, language=language), fresh=not self._resuming)

    def _say(self, effect: model.Say) -> None:
        self._settle_voice(effect.language or language_of(effect.text))
        self._asking.say(effect)

    def _settle_voice(self, language: str) -> None:
        """Nobody chose a language: the first that is spoken decides whose voice it is, for the whole call."""
        voice = self._speaker.voice
        if not voice.manner.voice:
            voice.manner = replace(voice.manner, voice=voice_for(language, voice.info, self._parts.voice))

    def _say_rest(self, turn: int, text: str, language: str, *, asked: bool) -> None:
        if asked:
            self._ask(model.Ask(turn, text, language))
        else:
            self._say(model.Say(turn, text, language))

    def _acknowledge(self, effect: model.Acknowledge) -> None:
        turn = self._core.state.turn
        if turn is not None:
            language = turn.language or self._choices.language
            phrase, language = self._acknowledgement(turn.text, language, effect.count)
            self._speaker.acknowledge(effect.turn, phrase, language)

    def _hold(self, _: model.HoldSound) -> None:
        self._speaker.hold()
        self._outbox.put(SoundHeld(self._speaker.position))

    def _resume(self, _: model.ResumeSound) -> None:
        self._speaker.resume()
        self._playing.set()
        self._outbox.put(SoundResumed())

    def _stop(self, effect: model.StopSound) -> None:
        sample = self._speaker.stop()
        self._outbox.put(SoundStopped(sample, self._speaker.generation, effect.turn, effect.reason))
        reports = self._reported_at > 0 and effect.reason in ("interrupted", "asked")
        self._asking.cut(effect.turn, _LATE_REPORT_S if reports else 0.0)
        self._record.changed()

    def _ack(self, effect: model.AckInput) -> None:
        self._run(self._ack_when_kept(effect.sample))

    async def _ack_when_kept(self, sample: int) -> None:
        await self._record.kept()
        self._outbox.put(InputAcked(sample))

    def _tell(self, effect: model.Tell) -> None:
        notice = effect.notice
        if isinstance(notice, model.Final):
            self._final = notice
            self._latencies.turn(notice.turn, notice.end)
        self._outbox.put(notice)

    def _end(self, effect: model.End) -> None:
        self._finish(Closed(effect.reason), effect.reason)

    # -- background

    def _start_background(self) -> None:
        metrics.VOICE_SESSIONS.inc()
        self._run(self._follow_play())
        self._run(self._beat())

    def _run(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None or isinstance(error, Fenced):
            return
        log.error("voice.session_broken", session_id=str(self.place.session_id), exc_info=error)
        self._finish(Closed("error", 1011), "error")

    async def _follow_play(self) -> None:
        """Tell the core how far the sound was probably played, where the client does not."""
        while True:
            await self._playing.wait()
            await asyncio.sleep(_TICK_S)
            silent = self._loop.time() - self._reported_at
            if silent > _SILENT_CLIENT_S:
                self._speaker.heard(0)  # has it estimate
                sample = self._speaker.timeline.played
                if self._reported_at and not self._speaker.busy:
                    sample = self._speaker.position  # it reported once, and reports no more
                if sample > self._core.state.played:
                    self._core.feed(model.Played(sample))
            if not self._speaker.busy and self._core.state.played >= self._speaker.position:
                self._playing.clear()

    async def _beat(self) -> None:
        """Keep the session though nothing happens, and free the client of what he need not remember."""
        ends_at = self._loop.time() + self._parts.settings.longest_s - self._core.now_ms / 1000
        while self._loop.time() < ends_at:
            await asyncio.sleep(min(BEAT_S, max(ends_at - self._loop.time(), 0.01)))
            heard = self._ear.position
            self._record.changed()
            await self._record.kept()
            if needed_from(self._core.state) is None and not self._ear.speaking:
                self._outbox.put(InputAcked(max(heard - OVERLAP, 0)))
        self._core.feed(model.CloseRequested("longest"))

    # -- keeping and ending

    def _note(self, entry: Entry) -> None:
        self._record.note(entry.to_json())

    def _snapshot(self) -> Json:
        return Snapshot(
            self._core.state,
            self._core.now_ms,
            self._core.seq,
            self._ear.position,
            self._choices,
            tuple(self._speaker.timeline.clauses),
            self._speaker.generation,
            dict(self._asking.messages),
            dict(self._asking.speech),
            self._final,
            self._speaker.voice.manner.voice,
        ).to_json()

    def _fenced(self) -> None:
        """Somebody else holds the session by now."""
        self._finish(Closed("taken", 4409), "")

    def _finish(self, closed: Closed, ended: str) -> "asyncio.Task[None]":
        if self._ending is None:
            self._ending = self._loop.create_task(self._wind_up(closed, ended))
        return self._ending

    async def _wind_up(self, closed: Closed, ended: str) -> None:
        """`ended`: why the session is over; empty where it goes on elsewhere."""
        self._core.close()
        for task in list(self._tasks):
            task.cancel()
        if ended:
            await self._asking.settled(_SETTLE_S)
        await self._hearing.close()
        await self._record.close(ended)
        await self._asking.close()
        await self._speaker.aclose()
        self._outbox.put(closed)
        metrics.VOICE_SESSIONS.dec()
        metrics.VOICE_ENDED.labels(closed.reason if closed.reason in _REASONS else "other").inc()
        self._gone(self)


_REASONS = frozenset({"client", "idle", "longest", "lost", "restart", "taken", "slow", "flood", "error"})


def _changed(value: Any, changes: dict[str, Any]) -> Any:
    try:
        return replace(value, **changes)
    except TypeError as error:
        raise InvalidInput("Unknown setting of a voice session") from error


def _check_options(options: model.TurnOptions) -> None:
    if options.min_silence_ms > options.max_silence_ms:
        raise InvalidInput("min_silence_ms is longer than max_silence_ms")


_COMMANDS: dict[type, Callable[[VoiceSession, Any], None]] = {
    commands.TypeText: lambda self, it: self._core.feed(model.TextTyped(it.text, it.answer, it.spoken)),
    commands.Commit: lambda self, _: self._core.feed(model.InputCommitted(self._ear.position)),
    commands.Clear: lambda self, _: self._core.feed(model.InputCleared(self._ear.position)),
    commands.Interrupt: lambda self, _: self._core.feed(model.Interrupted()),
    commands.WantResponse: lambda self, _: self._core.feed(model.ResponseWanted()),
    commands.Truncate: lambda self, it: self._asking.truncate(it.message_id, it.heard_ms),
    commands.PlayedTo: VoiceSession._played,
    commands.Configure: VoiceSession._configure,
    commands.Close: lambda self, it: self._core.feed(model.CloseRequested(it.reason)),
}

_EFFECTS: dict[type, Callable[[VoiceSession, Any], None]] = {
    model.Transcribe: lambda self, it: self._hearing.transcribe(it),
    model.JudgeTurn: lambda self, it: self._hearing.judge(it),
    model.Prepare: lambda self, it: self._asking.prepare(it),
    model.Ask: VoiceSession._ask,
    model.Say: VoiceSession._say,
    model.Acknowledge: VoiceSession._acknowledge,
    model.HoldSound: VoiceSession._hold,
    model.ResumeSound: VoiceSession._resume,
    model.StopSound: VoiceSession._stop,
    model.AckInput: VoiceSession._ack,
    model.SetTimer: lambda self, it: self._core.timer(it),
    model.ClearTimer: lambda self, it: self._core.timer(it),
    model.Tell: VoiceSession._tell,
    model.End: VoiceSession._end,
}
