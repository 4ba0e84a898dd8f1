"""What a session is made of, and what it needs of the rest of the platform."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from voicehelper.config import VoiceSettings
from voicehelper.conversations import Ask, Asked, Owner
from voicehelper.idempotency.model import WriteKey
from voicehelper.ports.speech import SpeechToText, TextToSpeech, TurnDetector, VoiceActivityDetector
from voicehelper.voice.spoken_cache import SpokenCache
from voicehelper.voice.store import SessionStore
from voicehelper.voice.vocabularies import Vocabularies


class Answers(Protocol):
    """Of `conversations.AnswerService`, what a call needs."""

    async def ask(self, owner: Owner, conversation_id: UUID, ask: Ask, key: WriteKey | None = None) -> Asked:
        """See `AnswerService.ask`."""
        ...

    async def keep_heard(self, owner: Owner, conversation_id: UUID, message_id: UUID, chars: int) -> object:
        """See `AnswerService.keep_heard`."""
        ...


Prepare = Callable[[Owner, UUID, str], Awaitable[None]]
"""Run ahead for what will probably be the question in a conversation."""

TenantWords = Callable[[UUID], Awaitable[tuple[str, ...]]]
"""Names and terms that a tenant's callers say."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Shared by all sessions of a process. `voice`: of sessions that choose none (the setting `tts.voice`); empty for
    one of their language."""

    stt: SpeechToText
    tts: TextToSpeech
    vad: VoiceActivityDetector
    turns: TurnDetector
    answers: Answers
    store: SessionStore
    settings: VoiceSettings
    cache: SpokenCache | None = None
    hot_words: TenantWords | None = None
    prepare: Prepare | None = None
    vocabularies: Vocabularies | None = None
    voice: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Which session, whose, and in which conversation. `hot_words`: of the tenant."""

    session_id: UUID
    owner: Owner
    conversation_id: UUID
    hot_words: tuple[str, ...] = ()
