"""A session's surroundings, made up: for tests and for measuring what a session itself costs."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import orjson

from voicehelper.config import VoiceSettings
from voicehelper.conversations import Ask, Asked, Conversation, LiveEvent, Mark, Owner
from voicehelper.errors import NotFound
from voicehelper.idempotency.model import WriteKey
from voicehelper.ids import new_id
from voicehelper.ports.speech import FakeSpeechToText, FakeTextToSpeech, FakeVoiceActivity, NullTurnDetector
from voicehelper.voice.session_parts import Parts
from voicehelper.voice.store import FakeSessionStore


@dataclass
class FakeAnswer:
    """An answer as it is kept."""

    message_id: UUID
    question: str
    text: str
    status: str = "streaming"
    metadata: dict[str, object] = field(default_factory=dict)


class FakeAnswers:
    """Answers `texts` in turn, `first_s` until the first piece and `piece_s` between the others; `error` is raised
    instead, if set. One question per key, however often it is asked. Keeps answers, and what was run ahead."""

    def __init__(
        self,
        texts: Sequence[str] = ("好的，请看说明书。",),
        first_s: float = 0.0,
        piece_s: float = 0.0,
        pieces: int = 4,
    ) -> None:
        self.texts = list(texts)
        self.first_s = first_s
        self.piece_s = piece_s
        self.pieces = pieces
        self.error: Exception | None = None
        self.answers: list[FakeAnswer] = []
        self.prepared: list[str] = []
        self._asked = 0
        self._keys: dict[bytes, FakeAnswer] = {}

    async def ask(self, owner: Owner, conversation_id: UUID, ask: Ask, key: WriteKey | None = None) -> Asked:
        """See `AnswerService.ask`."""
        if self.error is not None:
            raise self.error
        known = self._keys.get(key.key_hash) if key else None
        if known is None:
            text = self.texts[self._asked % len(self.texts)]
            self._asked += 1
            self.answers = [one for one in self.answers if one.message_id != ask.withdraws or one.text]
            known = FakeAnswer(new_id(), ask.content, text, metadata=dict(ask.metadata))
            self.answers.append(known)
            if key:
                self._keys[key.key_hash] = known
            return Asked(known.message_id, False, self._events(known))
        return Asked(known.message_id, True, self._events(known))

    async def keep_heard(self, owner: Owner, conversation_id: UUID, message_id: UUID, chars: int) -> object:
        """See `AnswerService.keep_heard`."""
        answer = next((known for known in self.answers if known.message_id == message_id), None)
        if answer is None:
            raise NotFound("No such answer")
        answer.text, answer.status = answer.text[:chars], "stopped"
        return answer

    async def prepare(self, owner: Owner, conversation_id: UUID, text: str) -> None:
        """Notes it."""
        self.prepared.append(text)

    async def _events(self, answer: FakeAnswer) -> AsyncGenerator[LiveEvent, None]:
        number = 0

        def event(name: str, **data: object) -> LiveEvent:
            nonlocal number
            number += 1
            return LiveEvent(answer.message_id, Mark(1, number), name, orjson.dumps(data).decode())

        yield event("message.created", question=self._message(answer, "user"), answer=self._message(answer))
        yield event("status", stage="answering")
        await asyncio.sleep(self.first_s)
        size = max(1, -(-len(answer.text) // self.pieces))
        for start in range(0, len(answer.text), size):
            if start:
                await asyncio.sleep(self.piece_s)
            yield event("delta", text=answer.text[start : start + size])
        if answer.status == "streaming":
            answer.status = "completed"
        yield event("message.completed", message=self._message(answer))

    @staticmethod
    def _message(answer: FakeAnswer, role: str = "assistant") -> dict[str, object]:
        return {
            "id": str(answer.message_id if role == "assistant" else new_id()),
            "conversation_id": str(UUID(int=1)),
            "seq": 2 if role == "assistant" else 1,
            "role": role,
            "status": answer.status if role == "assistant" else "completed",
            "content": answer.text if role == "assistant" else answer.question,
            "created_at": datetime.now(UTC).isoformat(),
            "metadata": {},
        }


class FakeConversations:
    """Everybody's, in memory."""

    def __init__(self) -> None:
        self.known: dict[UUID, Conversation] = {}

    async def create(self, owner: Owner, title: str, references: list[str]) -> Conversation:
        """See `ConversationDirectory.create`."""
        now = datetime.now(UTC)
        made = Conversation(new_id(), title, (), now, now, owner.user_id)
        self.known[made.id] = made
        return made

    async def get(self, owner: Owner, conversation_id: UUID) -> Conversation:
        """See `ConversationDirectory.get`."""
        found = self.known.get(conversation_id)
        if found is None or found.user_id != owner.user_id:
            raise NotFound("No such conversation")
        return found


def fake_parts(
    *,
    stt: FakeSpeechToText | None = None,
    tts: FakeTextToSpeech | None = None,
    answers: FakeAnswers | None = None,
    store: FakeSessionStore | None = None,
    settings: VoiceSettings | None = None,
) -> Parts:
    """A session's parts without a model or an engine."""
    answers = answers or FakeAnswers()
    return Parts(
        stt or FakeSpeechToText(),
        tts or FakeTextToSpeech(),
        FakeVoiceActivity(),
        NullTurnDetector(),
        answers,
        store or FakeSessionStore(),
        settings or VoiceSettings(),
        prepare=answers.prepare,
    )
