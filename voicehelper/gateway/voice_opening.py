"""From a client's first message to a session, and what he is told of it."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from voicehelper.conversations import Owner
from voicehelper.errors import InvalidInput, NotFound
from voicehelper.identity import Principal
from voicehelper.voice import commands
from voicehelper.voice.model import TurnOptions
from voicehelper.voice.session_port import Calls, Session
from voicehelper.wire import voice as wire

_SPEECH = ("language", "voice", "style", "speed", "hot_words")
_TURN = (
    "automatic",
    "answers",
    "interruptible",
    "min_silence_ms",
    "max_silence_ms",
    "unfinished_ms",
    "dead_air_ms",
    "idle_ms",
)


class Opening:
    """What a connection agreed on."""

    def __init__(self, calls: Calls, owner: Owner, principal: Principal) -> None:
        self._calls = calls
        self._owner = owner
        self._principal = principal
        self.session: Session | None = None
        self.input = wire.InputFormat()
        self.output = wire.OutputFormat()
        self.resuming = False

    async def start(self, asked: wire.SessionStart) -> None:
        """A new session. Raises as `Calls.open` does, and `InvalidInput`."""
        self.input, self.output = asked.input, asked.output
        request = commands.SessionRequest(
            self._conversation(asked.conversation_id),
            tuple(asked.knowledge_bases),
            commands.SpeechChoices(**_given(asked, _SPEECH)),
            self._turn(asked.turn_detection),
            asked.greeting.strip(),
        )
        self.session = await self._calls.open(self._owner, request)

    async def resume(self, asked: wire.SessionResume) -> None:
        """The session of the token. Raises as `Calls.resume` does."""
        self.resuming = True
        self.input, self.output = asked.input, asked.output
        self.session = await self._calls.resume(self._owner, asked.resume_token, asked.played)

    def _conversation(self, asked: UUID | None) -> UUID | None:
        """A visitor talks in his own conversation."""
        if self._principal.kind != "visitor":
            return asked
        own = self._principal.conversation_id
        if own is None or asked not in (None, own):
            raise NotFound("No such conversation")
        return own

    def _turn(self, asked: wire.TurnDetection | None) -> TurnOptions | None:
        if asked is None:
            return None
        options = replace(self._calls.options(), **_given(asked, _TURN))
        if options.min_silence_ms > options.max_silence_ms:
            raise InvalidInput("min_silence_ms is longer than max_silence_ms")
        return options


def configure_of(asked: wire.SessionUpdate) -> commands.Configure:
    """What is to change."""
    turn = {} if asked.turn_detection is None else _given(asked.turn_detection, _TURN)
    return commands.Configure(turn, _given(asked, _SPEECH))


def facts_of(opening: Opening) -> dict[str, Any]:
    """What the client is told of the session, as `wire.voice.SessionFacts`."""
    assert opening.session is not None
    info = opening.session.info
    speech = info.speech
    return {
        "session_id": str(info.id),
        "conversation_id": str(info.conversation_id),
        "resume_token": info.resume_token,
        "resume_s": info.resume_s,
        "input": opening.input.model_dump(),
        "output": {"encoding": opening.output.encoding, "sample_rate": info.output_rate},
        "language": speech.language,
        "voice": speech.voice,
        "style": speech.style,
        "speed": speech.speed,
        "turn_detection": {name: getattr(info.turn, name) for name in _TURN},
    }


def _given(asked: Any, names: tuple[str, ...]) -> dict[str, Any]:
    given = {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
