"""Opens voice sessions, finds them again, and ends them with the process."""

import asyncio
from dataclasses import asdict, replace
from hmac import compare_digest
from typing import Protocol
from uuid import UUID

from voicehelper.config import VoiceSettings
from voicehelper.conversations import Conversation, Owner
from voicehelper.errors import NotFound, Overloaded, Unavailable, VoiceHelperError
from voicehelper.identity.opaque_tokens import TokenForm
from voicehelper.ids import new_id
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger
from voicehelper.voice.commands import SessionRequest
from voicehelper.voice.model import TurnOptions
from voicehelper.voice.session import BEAT_S, VoiceSession
from voicehelper.voice.session_parts import Parts, Place
from voicehelper.voice.session_snapshot import Snapshot
from voicehelper.voice.session_voice import check_voice, manner_of
from voicehelper.voice.speaker import SpeakingVoice
from voicehelper.voice.state import SessionState
from voicehelper.voice.store import Hold, NewSession, StoredSession

log = get_logger(__name__)

RESUME_TOKEN = TokenForm("vhv_")
"""Names a voice session."""

_FULL_S = 5.0
_TIDY_S = 60.0
_TIDY_BATCH = 500
_SUSPEND_S = 5.0


class Conversations(Protocol):
    """Of `ConversationDirectory`, what a call needs."""

    async def create(self, owner: Owner, title: str, references: list[str]) -> Conversation:
        """See `ConversationDirectory.create`."""
        ...

    async def get(self, owner: Owner, conversation_id: UUID) -> Conversation:
        """See `ConversationDirectory.get`."""
        ...


class VoiceCalls:
    """See `session_port.Calls`. Holds the sessions of this process.

    Args:
        parts: what sessions work with.
        conversations: where they take place.
    """

    def __init__(self, parts: Parts, conversations: Conversations) -> None:
        self._parts = parts
        self._conversations = conversations
        self._sessions: dict[UUID, VoiceSession] = {}
        self._opening = 0
        self._draining = False

    @property
    def running(self) -> int:
        """Sessions held here."""
        return len(self._sessions)

    @property
    def settings(self) -> VoiceSettings:
        """Of voice sessions."""
        return self._parts.settings

    async def open(self, owner: Owner, request: SessionRequest) -> VoiceSession:
        """See `Calls.open`."""
        self._admit()
        self._opening += 1
        try:
            return await self._open(owner, request)
        finally:
            self._opening -= 1

    async def resume(self, owner: Owner, resume_token: str, played: int) -> VoiceSession:
        """See `Calls.resume`."""
        presented = RESUME_TOKEN.parse(resume_token)
        if presented is None:
            raise NotFound("No such voice session, or no longer")
        held = self._sessions.get(presented.id)
        if held is not None and held.place.owner == owner and compare_digest(held.info.resume_token, resume_token):
            await held.suspend("taken", 4409)
        else:
            self._admit()
        settings = self._parts.settings
        silent_s = settings.resume_s + BEAT_S + 5.0
        stored = await self._parts.store.take(owner, presented.id, presented.secret_hash, silent_s)
        return await self._go_on(stored, resume_token, played)

    async def drain(self) -> None:
        """No more sessions here: those there are go on elsewhere."""
        self._draining = True
        ending = [session.suspend("restart", 1012) for session in list(self._sessions.values())]
        if ending:
            log.info("voice.draining", sessions=len(ending))
            await asyncio.wait(ending, timeout=_SUSPEND_S)

    async def keep_tidy(self, clock: Clock) -> None:
        """End lost sessions of dead processes, forget old ones; until cancelled."""
        settings = self._parts.settings
        while True:
            await clock.sleep(_TIDY_S)
            try:
                lost_s = settings.resume_s + BEAT_S + _TIDY_S
                while await self._parts.store.tidy(lost_s, settings.keep_s, _TIDY_BATCH) == _TIDY_BATCH:
                    pass
            except VoiceHelperError as error:
                log.warning("voice.tidying_postponed", reason=error.message)

    def options(self) -> TurnOptions:
        """The settings' turn taking."""
        settings = self._parts.settings
        return TurnOptions(
            min_silence_ms=settings.min_silence_ms,
            max_silence_ms=settings.max_silence_ms,
            dead_air_ms=settings.dead_air_ms,
            idle_ms=int(settings.idle_s * 1000),
            resume_ms=int(settings.resume_s * 1000),
        )

    def _admit(self) -> None:
        if self._draining:
            raise Unavailable("This replica is going away", retry_after=1.0)
        if len(self._sessions) + self._opening >= self._parts.settings.sessions:
            raise Overloaded("As many voice sessions as this replica takes", retry_after=_FULL_S)

    async def _open(self, owner: Owner, request: SessionRequest) -> VoiceSession:
        options = await self._adapted(request.turn or self.options())
        snapshot = Snapshot(SessionState(options=options), choices=request.speech)
        voice = await self._voice(owner, snapshot)
        conversation_id = await self._conversation(owner, request)
        hold = Hold(owner, new_id())
        token, token_hash = RESUME_TOKEN.make(hold.session_id)
        facts = {"speech": asdict(request.speech), "turn": asdict(options), "greeting": request.greeting}
        new = NewSession(hold, conversation_id, token_hash, facts, snapshot.to_json())
        await self._parts.store.create(new, self._parts.settings.sessions_per_user)
        place = Place(hold.session_id, owner, conversation_id, await self._words(owner))
        session = VoiceSession(place, self._parts, voice, hold, snapshot, resume_token=token, gone=self._forget)
        self._sessions[hold.session_id] = session
        session.begin(request.greeting)
        return session

    async def _go_on(self, stored: StoredSession, resume_token: str, played: int) -> VoiceSession:
        try:
            snapshot = Snapshot.of(stored.snapshot)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("voice.not_resumable", session_id=str(stored.hold.session_id), error=str(error))
            raise NotFound("The session cannot be taken up by this version") from error
        snapshot = replace(snapshot, clock_ms=max(snapshot.clock_ms, int(stored.age_s * 1000)))
        owner = stored.hold.owner
        place = Place(stored.hold.session_id, owner, stored.conversation_id, await self._words(owner))
        voice = await self._voice(place.owner, snapshot)
        played = self._believable(snapshot, played)
        session = VoiceSession(
            place,
            self._parts,
            voice,
            stored.hold,
            snapshot,
            resume_token=resume_token,
            gone=self._forget,
            resumed=played,
        )
        self._sessions[place.session_id] = session
        session.go_on(snapshot, played)
        return session

    async def _adapted(self, options: TurnOptions) -> TurnOptions:
        """A recogniser that is paid by the request, or knows no partials, is asked once per utterance."""
        info = await self._parts.stt.describe()
        longest = min(options.longest_ms, int(info.longest_s * 1000) - 2000)
        return replace(options, partial_ms=options.partial_ms if info.partials else 0, longest_ms=longest)

    async def _voice(self, owner: Owner, snapshot: Snapshot) -> SpeakingVoice:
        info = await self._parts.tts.describe()
        check_voice(snapshot.choices, info)
        manner = manner_of(snapshot.choices, info, self._parts.voice, snapshot.voice)
        return SpeakingVoice(self._parts.tts, info, owner.tenant_id, self._parts.cache, manner)

    async def _words(self, owner: Owner) -> tuple[str, ...]:
        known = self._parts.hot_words
        return () if known is None else await known(owner.tenant_id)

    async def _conversation(self, owner: Owner, request: SessionRequest) -> UUID:
        if request.conversation_id is not None:
            return (await self._conversations.get(owner, request.conversation_id)).id
        return (await self._conversations.create(owner, "", list(request.knowledge_bases))).id

    @staticmethod
    def _believable(snapshot: Snapshot, played: int) -> int:
        """What a client can have played at most: the last clause to its end."""
        if not snapshot.clauses:
            return max(played, 0) if snapshot.generation else 0
        last = snapshot.clauses[-1]
        return max(0, min(played, last.end)) if last.end is not None else max(0, played)

    def _forget(self, session: VoiceSession) -> None:
        if self._sessions.get(session.place.session_id) is session:
            del self._sessions[session.place.session_id]
