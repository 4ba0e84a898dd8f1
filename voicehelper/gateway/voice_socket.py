"""The WebSocket of `/ws/voice`: a session's sound and events for one client."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pydantic
from starlette.websockets import WebSocket, WebSocketDisconnect

from voicehelper.conversations import Owner
from voicehelper.errors import Forbidden, InvalidInput, TokenExpired, Unauthenticated, Unavailable, VoiceHelperError
from voicehelper.gateway.credentials import chosen_subprotocol
from voicehelper.gateway.inbox import Allowance, Flooded, Inbox
from voicehelper.gateway.voice_opening import Opening, configure_of, facts_of
from voicehelper.gateway.voice_views import RESUMABLE, SoundFrames, error_message, json_of, message_of
from voicehelper.identity import Principal
from voicehelper.telemetry import get_logger
from voicehelper.voice import commands
from voicehelper.voice.codecs import input_decoder, output_encoder
from voicehelper.voice.outputs import AnswerSaid, Closed, Frame, Resumed, SoundHeld
from voicehelper.voice.session_port import Calls, Session
from voicehelper.wire import voice as wire

log = get_logger(__name__)

TRY_AGAIN_LATER = 1013
POLICY_VIOLATION = 1008

_LONGEST_TEXT = 64 * 1024
_LONGEST_SOUND = 400_000
_FIRST_S = 30.0
_FIRST_MESSAGES = 20
_MESSAGES_PER_S = 100.0
_MESSAGES_BURST = 400.0
_MOST_ERRORS = 100
_LAST_S = 1.0
_BEGINNINGS = (wire.SessionStart, wire.SessionResume)
_MOST_WAITING = 6000
"""Messages; who resumes sends a minute of sound at once, in packets of 20 ms."""

Check = Callable[[str | None], Awaitable[Principal]]
"""Raises when the token is no longer good. Given another token, checks that from now on, if it is the same user's."""


class VoiceSocket:
    """Opens or resumes a session by the client's first message, and serves it until either side ends.

    Args:
        socket: not accepted yet.
        calls: where sessions are.
        owner, principal: who calls.
        check: of his token; asked again and again.
    """

    check_s = 0.5
    doubt_s = 15.0
    send_s = 10.0

    def __init__(self, socket: WebSocket, calls: Calls, principal: Principal, check: Check) -> None:
        self._socket = socket
        self._check = check
        self._opening = Opening(calls, Owner(principal.tenant_id, principal.user_id), principal)
        self._inbox = Inbox(socket.receive, _MOST_WAITING)
        self._sending = asyncio.Lock()
        now = asyncio.get_running_loop().time()
        self._messages = Allowance(_MESSAGES_BURST, _MESSAGES_PER_S, now)
        self._sounds = Allowance(_MOST_WAITING, _MESSAGES_PER_S, now)
        self._errors = 0
        self._closed = False

    async def run(self) -> None:
        """Serve. Raises what opening the session and `check` raise; whoever renders errors closes the socket then."""
        await self._socket.accept(chosen_subprotocol(self._socket.scope))
        filling = asyncio.create_task(self._inbox.fill())
        try:
            await self._talk(await self._begin(), filling)
        except WebSocketDisconnect:
            return
        except Flooded:
            await self._close(POLICY_VIOLATION, "Too much, or too much that means nothing")
        except TimeoutError:
            await self._close(TRY_AGAIN_LATER, "Too slow")
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)

    async def _talk(self, first: dict[str, Any], filling: asyncio.Task[None]) -> None:
        session = self._opening.session
        assert session is not None
        try:
            await self._opened(session, first)
            await self._serve(session, filling)
        except Flooded:
            await session.send(commands.Close("flood"))
            raise
        except (Unauthenticated, Forbidden) as error:
            if not isinstance(error, TokenExpired):  # revoked, not merely old: then nobody may go on with it either
                await session.send(commands.Close("revoked"))
            raise
        finally:
            await session.lost()

    # -- the beginning

    async def _begin(self) -> dict[str, Any]:
        """The message that began a session."""
        try:
            async with asyncio.timeout(_FIRST_S):
                return await self._beginning()
        except TimeoutError:
            raise InvalidInput("Nothing was said") from None
        except VoiceHelperError as error:
            await self._refuse(error)
            raise

    async def _beginning(self) -> dict[str, Any]:
        for _ in range(_FIRST_MESSAGES):
            message = dict(await self._inbox.next())
            try:
                if await self._first(message):
                    return message
            except InvalidInput as error:
                await self._refuse(error)
        raise InvalidInput("Nothing that begins a session came", {"messages": _FIRST_MESSAGES})

    async def _first(self, message: dict[str, Any]) -> bool:
        """Whether there is a session now."""
        if message.get("bytes") is not None:
            await self._opening.start(wire.SessionStart(type="session.start"))
            return True
        asked = parse(message.get("text") or "")
        if isinstance(asked, wire.Ping):
            await self._send(json_of("pong", id=asked.id))
            return False
        if isinstance(asked, wire.SessionResume):
            await self._opening.resume(asked)
        else:
            start = asked if isinstance(asked, wire.SessionStart) else wire.SessionStart(type="session.start")
            await self._opening.start(start)
        return True

    async def _opened(self, session: Session, first: dict[str, Any]) -> None:
        opening, rate = self._opening, session.info.output_rate
        self._decode = input_decoder(opening.input.encoding, opening.input.sample_rate)
        opus = opening.output.encoding == "opus"
        self._frames = SoundFrames(output_encoder(opening.output.encoding, rate), rate, opus=opus)
        if not opening.resuming:
            await self._send(json_of("session.created", **facts_of(opening)))
        if first.get("bytes") is not None or not isinstance(parse(first["text"]), _BEGINNINGS):
            await self._hear(session, first)  # it came without a beginning, and counts all the same

    # -- both directions

    async def _serve(self, session: Session, filling: asyncio.Task[None]) -> None:
        receiving = asyncio.create_task(self._receive_all(session))
        parts = [receiving, asyncio.create_task(self._send_outputs(session)), asyncio.create_task(self._watch())]
        try:
            done, _ = await asyncio.wait([*parts, filling], return_when=asyncio.FIRST_COMPLETED)
            if done == {filling}:  # what he said last may have been to hang up
                await asyncio.wait(parts, timeout=_LAST_S, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def _send_outputs(self, session: Session) -> None:
        async for output in session.output():
            if isinstance(output, Frame):
                for part in self._frames.take(output):
                    await self._send(part)
                continue
            if isinstance(output, SoundHeld | AnswerSaid):
                for part in self._frames.flush():
                    await self._send(part)
            if isinstance(output, Resumed):
                await self._send(json_of("session.resumed", **facts_of(self._opening), **_place(output)))
            elif text := message_of(output):
                await self._send(text)
            if isinstance(output, Closed):
                await self._close(output.code, output.reason)
                return

    async def _receive_all(self, session: Session) -> None:
        """Who sends more messages than anybody needs is read more slowly, until he has sent more than can wait."""
        while self._errors <= _MOST_ERRORS:
            message = dict(await self._inbox.next())
            allowance = self._messages if message.get("bytes") is None else self._sounds
            await asyncio.sleep(allowance.take(1.0, asyncio.get_running_loop().time()))
            await self._hear(session, message)
        raise Flooded

    async def _hear(self, session: Session, message: dict[str, Any]) -> None:
        try:
            if message.get("bytes") is not None:
                await self._sound(session, message["bytes"])
            else:
                await self._take(session, message)
            self._errors = max(0, self._errors - 1)
        except VoiceHelperError as error:
            self._errors += 2
            await self._refuse(error)

    async def _sound(self, session: Session, data: bytes) -> None:
        if len(data) > _LONGEST_SOUND:
            raise InvalidInput("A frame of sound is too long", {"longest_bytes": _LONGEST_SOUND})
        if self._opening.input.encoding == "pcm16" and len(data) % 2:
            raise InvalidInput("A frame of PCM is whole samples of two bytes")
        pcm = self._decode(data)
        if pcm:
            await session.audio(pcm)

    async def _take(self, session: Session, message: dict[str, Any]) -> None:
        asked = parse(message.get("text") or "")
        match asked:
            case wire.SessionStart() | wire.SessionResume():
                raise InvalidInput("The session has begun already")
            case wire.SessionUpdate():
                await self._update(session, asked)
            case wire.Ping():
                await self._send(json_of("pong", id=asked.id))
            case _:
                await session.send(_command(asked))

    async def _update(self, session: Session, asked: wire.SessionUpdate) -> None:
        if asked.token is not None:
            await self._check(asked.token)
        await session.send(configure_of(asked))
        await self._send(json_of("session.updated", **facts_of(self._opening)))

    async def _watch(self) -> None:
        """Where for a moment nobody can tell whether the token is still good, the call goes on."""
        loop = asyncio.get_running_loop()
        good_at = loop.time()
        while True:
            await asyncio.sleep(self.check_s)
            try:
                await self._check(None)
                good_at = loop.time()
            except Unavailable:
                if loop.time() - good_at > self.doubt_s:
                    raise

    async def _refuse(self, error: VoiceHelperError) -> None:
        await self._send(error_message(error))

    async def _send(self, data: str | bytes) -> None:
        async with asyncio.timeout(self.send_s), self._sending:
            if self._closed:
                return
            if isinstance(data, str):
                await self._socket.send_text(data)
            else:
                await self._socket.send_bytes(data)

    async def _close(self, code: int, reason: str) -> None:
        with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
            async with asyncio.timeout(1.0), self._sending:
                self._closed = True
                await self._socket.close(code, reason)


def parse(text: str) -> wire.ClientMessage:
    """A client's message. Raises `InvalidInput`, which does not repeat what was sent."""
    if len(text) > _LONGEST_TEXT:
        raise InvalidInput("The message is too long", {"longest": _LONGEST_TEXT})
    try:
        return wire.CLIENT_MESSAGE.validate_json(text)
    except pydantic.ValidationError as error:
        problems = [
            {"field": ".".join(str(part) for part in found["loc"])[:100], "problem": found["msg"][:200]}
            for found in error.errors(include_input=False, include_context=False, include_url=False)[:10]
        ]
        raise InvalidInput("Not a message of this protocol", {"fields": problems}) from None


def _place(output: Resumed) -> dict[str, int]:
    return {"input_from": output.input_from, "output_from": output.output_from, "generation": output.generation}


def _command(asked: Any) -> commands.Command:
    return _COMMANDS[type(asked)](asked)


_COMMANDS: dict[type, Callable[[Any], commands.Command]] = {
    wire.Played: lambda asked: commands.PlayedTo(asked.sample),
    wire.InputCommit: lambda _: commands.Commit(),
    wire.InputClear: lambda _: commands.Clear(),
    wire.ResponseCreate: lambda _: commands.WantResponse(),
    wire.TypedText: lambda asked: commands.TypeText(asked.text),
    wire.Interrupt: lambda _: commands.Interrupt(),
    wire.SessionClose: lambda _: commands.Close(),
}

__all__ = ["RESUMABLE", "VoiceSocket", "parse"]
