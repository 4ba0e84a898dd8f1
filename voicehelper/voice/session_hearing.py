"""What a session has written down and judged: tasks that cannot pile up, and whose results come back as events."""

import asyncio
from collections.abc import Callable

from voicehelper.errors import Overloaded, Unavailable, VoiceHelperError
from voicehelper.ports.speech import Recognition, Transcript
from voicehelper.telemetry import get_logger, stage
from voicehelper.voice.commands import SpeechChoices
from voicehelper.voice.ear import Ear
from voicehelper.voice.model import Event, JudgeTurn, RecognitionFailed, Recognized, Transcribe, TurnJudged
from voicehelper.voice.session_latency import Latencies
from voicehelper.voice.session_parts import Parts, Place
from voicehelper.voice.vocabularies import Vocabulary

log = get_logger(__name__)

_PATIENCE_S = 20.0
"""How long a final waits for a recogniser that restarts or is busy: what he said is not asked for twice."""

_RETRY_S = 0.25


class Hearing:
    """Has utterances of one session written down. At most one partial is at work, and the latest wanted waits; a final
    makes earlier work on its utterance pointless.

    Args:
        feed: takes the results.
        broken: told of tasks that have ended, in whatever way.
    """

    def __init__(
        self,
        place: Place,
        parts: Parts,
        ear: Ear,
        latencies: Latencies,
        *,
        feed: Callable[[Event], None],
        broken: "Callable[[asyncio.Task[None]], None]",
    ) -> None:
        self.choices = SpeechChoices()
        self._stream = str(place.session_id)
        self._hot_words = place.hot_words
        self._vocabularies = parts.vocabularies
        self._tenant_id = place.owner.tenant_id
        self._vocabulary()  # it may have to be made
        self._stt = parts.stt
        self._turns = parts.turns
        self._ear = ear
        self._feed = feed
        self._broken = broken
        self._latencies = latencies
        self._partial: asyncio.Task[None] | None = None
        self._waiting: Transcribe | None = None
        self._finals: dict[int, asyncio.Task[None]] = {}
        self._judging: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()

    def moved(self) -> None:
        """The ear heard more."""
        self._heard.set()

    def transcribe(self, effect: Transcribe) -> None:
        """Begin to write down, or remember to."""
        if effect.final:
            self._drop_partials()
            self._begin_final(effect)
        elif self._partial is None or self._partial.done():
            self._partial = asyncio.create_task(self._write_partials(effect))
            self._partial.add_done_callback(self._broken)
        else:
            self._waiting = effect

    def judge(self, effect: JudgeTurn) -> None:
        """Listen whether it sounds finished; what was asked before is of no interest any more."""
        if self._judging is not None:
            self._judging.cancel()
        self._judging = asyncio.create_task(self._judge(effect))
        self._judging.add_done_callback(self._broken)

    async def close(self) -> None:
        """End everything."""
        tasks = [task for task in (self._partial, self._judging, *self._finals.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin_final(self, effect: Transcribe) -> None:
        before = self._finals.get(effect.utterance)
        if before is not None:
            before.cancel()
        task = self._finals[effect.utterance] = asyncio.create_task(self._write_final(effect))

        def forget(ended: "asyncio.Task[None]") -> None:
            if self._finals.get(effect.utterance) is ended:
                del self._finals[effect.utterance]

        task.add_done_callback(forget)
        task.add_done_callback(self._broken)

    def _drop_partials(self) -> None:
        self._waiting = None
        if self._partial is not None:
            self._partial.cancel()
            self._partial = None

    async def _write_partials(self, effect: Transcribe) -> None:
        wanted: Transcribe | None = effect
        while wanted is not None:
            try:
                self._heard_as(wanted, await self._recognize(wanted))
            except VoiceHelperError as error:
                self._feed(RecognitionFailed(wanted.utterance, error.code, False))
            wanted, self._waiting = self._waiting, None

    async def _write_final(self, effect: Transcribe) -> None:
        loop = asyncio.get_running_loop()
        deadline, began = loop.time() + _PATIENCE_S, loop.time()
        while True:
            try:
                with stage("voice.asr"):
                    heard = await self._recognize(effect)
                self._latencies.recognized(effect.end, loop.time() - began)
                self._heard_as(effect, heard)
                return
            except VoiceHelperError as error:
                if not isinstance(error, Unavailable | Overloaded) or loop.time() > deadline:
                    log.warning("voice.not_recognized", code=error.code)
                    self._feed(RecognitionFailed(effect.utterance, error.code, True))
                    return
            await asyncio.sleep(_RETRY_S)

    async def _recognize(self, effect: Transcribe) -> Transcript:
        await self._reach(effect.end)
        # Partials in a stream of their own: there a later request makes an earlier one pointless, finals too.
        stream = self._stream + (":final" if effect.final else "")
        choices = self.choices
        sound = self._ear.utterance(effect.start, effect.end)
        words = choices.hot_words + self._hot_words + self._vocabulary().expected
        request = Recognition(sound, stream, effect.final, choices.language, words)
        return await self._stt.transcribe(request)

    def _heard_as(self, effect: Transcribe, heard: Transcript) -> None:
        if not heard.superseded:
            text = self._vocabulary().alikes.correct(heard.text)
            place = (effect.utterance, text, effect.end)
            self._feed(Recognized(*place, heard.language, effect.final, heard.confidence))

    def _vocabulary(self) -> Vocabulary:
        return Vocabulary() if self._vocabularies is None else self._vocabularies.of(self._tenant_id)

    async def _reach(self, sample: int) -> None:
        """After a resume, what is to be written down may not have been sent again yet."""
        while self._ear.position < sample:
            self._heard.clear()
            await self._heard.wait()

    async def _judge(self, effect: JudgeTurn) -> None:
        await self._reach(effect.end)
        try:
            probability = await self._turns.finished(self._ear.audio(effect.start, effect.end))
        except VoiceHelperError as error:  # words and silence decide without it
            log.debug("voice.not_judged", code=error.code)
            return
        self._feed(TurnJudged(effect.utterance, effect.end, probability))
