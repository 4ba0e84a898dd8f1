"""Questions of a session on their way to answers: asked once, said as they are written, cut to what was heard."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from voicehelper.conversations import Ask, Asked, LiveEvent, error_of
from voicehelper.errors import ConversationBusy, NotFound, Unavailable, VoiceHelperError
from voicehelper.idempotency.model import WriteKey
from voicehelper.telemetry import get_logger
from voicehelper.voice import model
from voicehelper.voice.outputs import AnswerCut, Answering, ErrorNotice, Output
from voicehelper.voice.session_latency import Latencies
from voicehelper.voice.session_parts import Parts, Place, Prepare
from voicehelper.voice.speaker import Speaker
from voicehelper.voice.speaker_resume import where_to_go_on

log = get_logger(__name__)

_BUSY_S = 10.0
_RETRY_S = 0.2
_KEPT_TURNS = 8
_APOLOGIES = {
    "zh": "抱歉，我暂时无法回答，请稍后再试。",
    "en": "Sorry, I cannot answer right now. Please try again in a moment.",
}


class TextFeed:
    """An answer's text on its way to the speaker. One that is written anew in the middle (its writer died) goes on
    where the old one was."""

    def __init__(self) -> None:
        self.text = ""
        self._before: str | None = None
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, piece: str) -> None:
        """More of it."""
        self.text += piece
        if self._before is None:
            self._pieces.put_nowait(piece)
        else:
            self._go_on(ended=False)

    def begin_again(self) -> None:
        """The text comes once more, perhaps in other words."""
        if self.text:
            self._before, self.text = self._before or self.text, ""

    def end(self) -> None:
        """That was all."""
        if self._before is not None:
            self._go_on(ended=True)
        self._pieces.put_nowait(None)

    def _go_on(self, *, ended: bool) -> None:
        assert self._before is not None
        place = where_to_go_on(self._before, self.text, ended)
        if place is not None:
            self._before = None
            self._pieces.put_nowait(self.text[place:])

    async def pieces(self) -> AsyncIterator[str]:
        """As they come; for one reader."""
        while (piece := await self._pieces.get()) is not None:
            yield piece


@dataclass(slots=True)
class _Turn:
    number: int
    text: TextFeed = field(default_factory=TextFeed)
    asked: "asyncio.Task[Asked] | None" = None
    relay: "asyncio.Task[None] | None" = None


class Asking:
    """The questions of one session. One answer is being said at a time.

    Args:
        feed: takes events for the core.
        put: takes outputs.
        kept: returns when everything that happened so far is in the store.
    """

    def __init__(
        self,
        place: Place,
        parts: Parts,
        speaker: Speaker,
        latencies: Latencies,
        *,
        feed: Callable[[model.Event], None],
        put: Callable[[Output], None],
        kept: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self.messages: dict[int, UUID] = {}
        self.speech: dict[int, dict[str, Any]] = {}
        self._place = place
        self._answers = parts.answers
        self._run_ahead = parts.prepare
        self._speaker = speaker
        self._latencies = latencies
        self._feed = feed
        self._put = put
        self._kept = kept
        self._turn: _Turn | None = None
        self._cuts: set[asyncio.Task[None]] = set()
        self._preparing: asyncio.Task[None] | None = None

    # -- effects

    def ask(self, effect: model.Ask, fresh: bool = True) -> None:
        """Put the question, and say its answer. Not `fresh`: it was put before, in an earlier life of the session."""
        turn = self._turn = _Turn(effect.turn)
        if effect.spoken:
            self._speaker.say(effect.turn, turn.text.pieces(), effect.language)
        if fresh:
            self._latencies.asked(effect.turn)
        turn.asked = asyncio.create_task(self._ask(effect, fresh))
        turn.relay = asyncio.create_task(self._relay(effect, turn))

    def say(self, effect: model.Say) -> None:
        """Say a text that answers nothing."""
        turn = self._turn = _Turn(effect.turn)
        turn.text.put(effect.text)
        turn.text.end()
        self._speaker.say(effect.turn, turn.text.pieces(), effect.language)

    def prepare(self, effect: model.Prepare) -> None:
        """Run ahead."""
        if self._preparing is not None:
            self._preparing.cancel()
        if self._run_ahead is not None:
            self._preparing = asyncio.create_task(self._prepare(self._run_ahead, effect.text))

    def cut(self, number: int, grace_s: float) -> None:
        """The turn's answer ends: of its text only what was heard is kept. For `grace_s` the client may still say how
        far it played."""
        turn = self._turn
        if turn is None or turn.number != number:
            turn = _Turn(number)
        else:
            self._turn = None
        if turn.relay is not None:
            turn.relay.cancel()
        turn.text.end()
        self._start_cut(self._cut(turn, grace_s))

    def truncate(self, message_id: UUID, heard_ms: int) -> None:
        """The client says that it played only so much of an answer. Raises `NotFound` for one that is not ours."""
        number = next((turn for turn, known in self.messages.items() if known == message_id), None)
        if number is None:
            raise NotFound("No such answer in this session")
        rate = self._speaker.voice.info.sample_rate
        chars = self._speaker.timeline.chars_in(number, heard_ms * rate // 1000)
        self._start_cut(self._keep(number, message_id, chars))

    def question_of(self, number: int) -> bool:
        """Whether the turn's answer, as far as it is written, ends with a question."""
        turn = self._turn
        return turn is not None and turn.number == number and turn.text.text.rstrip().endswith(("?", "？"))

    async def settled(self, timeout: float) -> None:
        """Wait until what was interrupted is cut."""
        if self._cuts:
            await asyncio.wait(self._cuts, timeout=timeout)

    async def close(self) -> None:
        """End everything here; answers are written on, for whoever resumes."""
        turn, self._turn = self._turn, None
        parts = [self._preparing] if turn is None else [turn.relay, turn.asked, self._preparing]
        tasks = [task for task in parts if task is not None]
        for task in [*tasks, *self._cuts]:
            task.cancel()
        await asyncio.gather(*tasks, *self._cuts, return_exceptions=True)

    # -- work

    async def _ask(self, effect: model.Ask, fresh: bool) -> Asked:
        """The question, put once: its key is the turn's, whatever its text (it may be heard a little differently after
        a resume). The question that it goes on with is withdrawn, unless something of its answer was heard."""
        await self._kept()
        replaced = self.messages.get(effect.replaces)
        if replaced is not None and not fresh and effect.turn not in self.messages:
            # The process that was to cut it may have died before it did.
            self._start_cut(self._keep(effect.replaces, replaced, self._speaker.heard(effect.replaces).chars))
        await self.settled(_BUSY_S)
        place, loop = self._place, asyncio.get_running_loop()
        key = WriteKey.of(place.owner.tenant_id, place.owner.user_id, f"{place.session_id}:{effect.turn}", b"voice")
        speech = self.speech.get(effect.turn)
        metadata = {"speech": speech} if speech else {}
        question = Ask(effect.text, keep_running=True, metadata=metadata, withdraws=self.messages.get(effect.replaces))
        deadline = loop.time() + _BUSY_S
        while True:
            try:
                return await self._answers.ask(place.owner, place.conversation_id, question, key)
            except (ConversationBusy, Unavailable):
                if loop.time() > deadline:
                    raise
            await asyncio.sleep(_RETRY_S)

    async def _relay(self, effect: model.Ask, turn: _Turn) -> None:
        assert turn.asked is not None
        try:
            asked = await asyncio.shield(turn.asked)
            self._note(turn.number, asked.message_id)
            async with aclosing(asked.events) as events:
                async for event in events:
                    self._pass_on(effect, turn, event)
        except VoiceHelperError as error:
            self._put(ErrorNotice(error, effect.turn))
            self._fail(effect, turn, error)
        turn.text.end()
        if not effect.spoken:
            self._feed(model.AnswerSpoken(effect.turn, self._speaker.position))

    def _note(self, number: int, message_id: UUID) -> None:
        self.messages[number] = message_id
        for known in (self.messages, self.speech):
            while len(known) > _KEPT_TURNS:
                del known[next(iter(known))]

    def _pass_on(self, effect: model.Ask, turn: _Turn, event: LiveEvent) -> None:
        self._put(Answering(turn.number, event))
        if event.name == "message.created":
            turn.text.begin_again()
        elif event.name == "delta":
            self._latencies.first_token(turn.number)
            turn.text.put(orjson.loads(event.data)["text"])
        elif event.name == "status" and orjson.loads(event.data)["stage"] == "answering":
            self._latencies.answering(turn.number)
        elif event.name == "error":
            self._fail(effect, turn, error_of(event)[0])

    def _fail(self, effect: model.Ask, turn: _Turn, error: VoiceHelperError) -> None:
        """Silence would leave him wondering: where the answer is spoken, it ends with an apology."""
        if not effect.spoken:
            self._feed(model.AnswerFailed(effect.turn, error.code))
            return
        language = effect.language if effect.language in _APOLOGIES else "zh"
        turn.text.put(("\n" if turn.text.text else "") + _APOLOGIES[language])

    async def _prepare(self, run_ahead: Prepare, text: str) -> None:
        try:
            await run_ahead(self._place.owner, self._place.conversation_id, text)
        except VoiceHelperError as error:  # it would only have been quicker
            log.debug("voice.not_prepared", code=error.code)

    def _start_cut(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._cuts.add(task)
        task.add_done_callback(self._cuts.discard)

    async def _cut(self, turn: _Turn, grace_s: float) -> None:
        message_id = self.messages.get(turn.number)
        if message_id is None and turn.asked is not None:
            try:
                asked = await turn.asked  # it may be stored already: then it must not be answered on
            except VoiceHelperError:
                return
            await asked.events.aclose()
            self._note(turn.number, message_id := asked.message_id)
        if message_id is None:
            return
        await asyncio.sleep(grace_s)
        heard = self._speaker.heard(turn.number)
        if not heard.whole:
            await self._keep(turn.number, message_id, heard.chars)

    async def _keep(self, number: int, message_id: UUID, chars: int) -> None:
        place = self._place
        try:
            await self._answers.keep_heard(place.owner, place.conversation_id, message_id, chars)
        except VoiceHelperError as error:
            log.warning("voice.not_cut", message_id=str(message_id), code=error.code)
            return
        self._put(AnswerCut(number, message_id, chars))
