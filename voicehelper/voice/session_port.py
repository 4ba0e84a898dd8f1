"""A voice session and the service that opens them, as transports see them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from voicehelper.config import VoiceSettings
from voicehelper.conversations import Owner
from voicehelper.voice.commands import Command, SessionRequest, SpeechChoices
from voicehelper.voice.model import TurnOptions
from voicehelper.voice.outputs import Output


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """Facts about a session.

    Attributes:
        resume_token: opaque, a secret; whoever has it and the owner's credential can resume the session on any replica.
        output_rate: samples per second of everything that is said.
        resume_s: for how long after a lost connection.
    """

    id: UUID
    conversation_id: UUID
    resume_token: str
    output_rate: int
    turn: TurnOptions
    speech: SpeechChoices
    resume_s: float


class Session(Protocol):
    """One call. A transport calls `audio` and `send`, reads `output` to its end (in a task of its own), and then
    `lost` if the connection broke before `Closed`."""

    @property
    def info(self) -> SessionInfo:
        """As it is now."""
        ...

    async def audio(self, pcm: bytes) -> None:
        """What was recorded next: whole samples at `INPUT_RATE`, 20 to 200 ms at a time."""
        ...

    async def send(self, command: Command) -> None:
        """Carry out `command`. Raises `InvalidInput`; nothing happens then."""
        ...

    def output(self) -> AsyncIterator[Output]:
        """Everything for the client, up to `Closed`. Read by one reader."""
        ...

    async def lost(self) -> None:
        """The connection is gone; the session waits for its resumption."""
        ...


class Calls(Protocol):
    """Opens and resumes sessions."""

    @property
    def settings(self) -> VoiceSettings:
        """Of voice sessions."""
        ...

    def options(self) -> TurnOptions:
        """Turn taking where a session asks for nothing else."""
        ...

    async def open(self, owner: Owner, request: SessionRequest) -> Session:
        """A new session, in a new conversation unless one is named.

        Raises `NotFound` (conversation, knowledge base), `Overloaded` (this replica is full), `RateLimited` (this user
        has too many), `ModelUnavailable` (no speech here), `Unavailable`.
        """
        ...

    async def resume(self, owner: Owner, resume_token: str, played: int) -> Session:
        """The session of the token, which ends wherever it is held now; `played` as in `PlayedTo`. Its first output
        is `Resumed`.

        Raises `NotFound` when there is no such session of this owner's, or no longer; `Overloaded`, `Unavailable`.
        """
        ...
