"""The WebSocket of `/v1/realtime`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from voicehelper.errors import Unavailable, VoiceHelperError
from voicehelper.gateway.inbox import Allowance, Flooded, Inbox
from voicehelper.gateway.realtime.dialogue import Dialogue
from voicehelper.gateway.realtime.intake import Intake
from voicehelper.gateway.realtime.parsing import parse
from voicehelper.gateway.realtime.refusals import Refusal, ServerEvent, error_event, failure_event
from voicehelper.gateway.realtime.telling import Teller
from voicehelper.ids import new_id
from voicehelper.voice.commands import Close, Command
from voicehelper.voice.outputs import Closed
from voicehelper.voice.session_port import Session
from voicehelper.wire.realtime import (
    BufferAppend,
    BufferClear,
    BufferCommit,
    ClientEvent,
    ResponseCreate,
    SessionUpdate,
)

POLICY_VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013

_EVENT_BURST, _EVENT_RATE = 1000.0, 300.0
_MOST_BAD = 100
_WORDS: Final = {
    "idle": "Nothing was said for too long.",
    "longest": "The session has reached its longest duration.",
}


class Connection:
    """Serves one client until he leaves, his token ends, or he does not keep up.

    What comes faster than anybody speaks or types is taken more slowly, and whoever sends on all the same is sent away:
    nothing grows here.

    Args:
        socket: accepted.
        session: the call.
        dialogue, teller: the protocol, both ways.
        check: raises when the token is no longer good; asked again and again.
    """

    check_s = 0.5
    send_s = 10.0

    def __init__(
        self,
        socket: WebSocket,
        session: Session,
        dialogue: Dialogue,
        teller: Teller,
        check: Callable[[], Awaitable[object]],
    ) -> None:
        self._socket, self._session = socket, session
        self._dialogue, self._teller, self._check = dialogue, teller, check
        now = asyncio.get_running_loop().time()
        self._intake = Intake(dialogue.config.input_format)
        self._events = Allowance(_EVENT_BURST, _EVENT_RATE, now)
        self._inbox = Inbox(socket.receive)
        self._bad = 0
        self._sending = asyncio.Lock()
        self._closed = False

    async def run(self) -> None:
        """Serve. Raises what `check` and the session raise; whoever renders errors closes the socket then."""
        await self._send([self._dialogue.session("session.created")])
        works = (self._inbox.fill, self._receive, self._output, self._watch)
        parts = [asyncio.create_task(work()) for work in works]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        except TimeoutError:
            await self._hang_up(TRY_AGAIN_LATER, "Too slow")
        except WebSocketDisconnect:
            return
        except Flooded:
            await self._send_away("rate_limit_exceeded", "More comes than anybody says.")
        except VoiceHelperError as error:
            with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
                await self._send([failure_event(error)])
            raise
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            await self._session.send(Close())

    # -- from the client

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        while self._bad <= _MOST_BAD:
            message = await self._inbox.next()
            try:
                await self._take(message.get("text"))
                self._bad = 0
            except Refusal as refusal:
                self._bad += 1
                await self._send([refusal.event(), *self._updated(refusal)])
            await asyncio.sleep(self._events.take(1.0, loop.time()))
        await self._send_away("too_many_errors", "Too many events in a row that mean nothing.")

    async def _take(self, text: str | None) -> None:
        if text is None:
            raise Refusal("invalid_event", "Events are JSON in text frames; sound goes into them as Base64.")
        event = parse(text)
        try:
            if isinstance(event, BufferAppend):
                await self._hear(event)
            elif isinstance(event, SessionUpdate):
                await self._update(event)
            else:
                await self._carry_out(event)
        except VoiceHelperError as error:
            await self._send([failure_event(error, event.event_id)])

    async def _hear(self, event: BufferAppend) -> None:
        try:
            sound = self._intake.sound(event.audio)
        except Refusal as refusal:
            refusal.event_id = event.event_id
            raise
        for piece in self._intake.pieces(sound):
            self._dialogue.buffered_ms += len(piece) / 32
            await self._session.audio(piece)  # waits where sound comes faster than anybody speaks
            await asyncio.sleep(0)

    async def _update(self, event: SessionUpdate) -> None:
        before = self._dialogue.config
        try:
            await self._command(self._dialogue.take(event).commands)
        except Refusal as refusal:
            refusal.of_update = True
            raise
        except VoiceHelperError as error:
            self._dialogue.put(before)
            await self._send([failure_event(error, event.event_id)])
        self._intake.change(self._dialogue.config.input_format)
        await self._send([self._dialogue.session("session.updated")])

    def _updated(self, refusal: Refusal) -> list[ServerEvent]:
        """An update is answered whatever becomes of it, with what is in force: many wait for that."""
        return [self._dialogue.session("session.updated")] if refusal.of_update else []

    async def _carry_out(self, event: ClientEvent) -> None:
        reply = self._dialogue.take(event)
        if isinstance(event, BufferCommit) and (rest := self._intake.rest()):
            await self._session.audio(rest)
        elif isinstance(event, BufferClear):
            self._intake.clear()
        await self._send(reply.events)
        try:
            await self._command(reply.commands)
        except VoiceHelperError as error:
            if isinstance(event, ResponseCreate):
                await self._send(self._teller.not_answered(error))
            raise

    async def _command(self, commands: Iterable[Command]) -> None:
        for command in commands:
            await self._session.send(command)

    # -- to the client

    async def _output(self) -> None:
        async for output in self._session.output():
            if isinstance(output, Closed):
                await self._end(output)
                return
            await self._send(self._teller.tell(output))

    async def _end(self, output: Closed) -> None:
        if output.reason in _WORDS:
            event = error_event("invalid_request_error", "session_expired", _WORDS[output.reason])
            await self._send([event])
        await self._hang_up(output.code, output.reason)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.check_s)
            with suppress(Unavailable):  # who cannot be asked for a moment has not said no
                await self._check()

    async def _send(self, events: Iterable[ServerEvent]) -> None:
        """All of them, in a row."""
        frames = [orjson.dumps({"event_id": f"event_{new_id().hex}", **event}).decode() for event in events]
        if not frames:
            return
        async with asyncio.timeout(self.send_s), self._sending:
            for frame in frames:
                if not self._closed:
                    await self._socket.send_text(frame)

    async def _send_away(self, code: str, words: str) -> None:
        with suppress(TimeoutError, WebSocketDisconnect):
            await self._send([error_event("invalid_request_error", code, words)])
        await self._hang_up(POLICY_VIOLATION, words)

    async def _hang_up(self, code: int, reason: str) -> None:
        with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
            async with asyncio.timeout(1.0), self._sending:
                if not self._closed:
                    self._closed = True
                    await self._socket.close(code, reason)
