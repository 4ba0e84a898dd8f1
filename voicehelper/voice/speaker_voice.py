"""One session's voice: sound for a text, from the cache or the synthesiser."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from uuid import UUID

from voicehelper.errors import Overloaded, Unavailable, VoiceHelperError
from voicehelper.ports.speech import TextToSpeech, TextToSpeechInfo, Utterance
from voicehelper.rag.language import language_of
from voicehelper.telemetry import get_logger, stage
from voicehelper.voice.acknowledgements import OURS
from voicehelper.voice.spoken_cache import SpokenCache, SpokenKey

log = get_logger(__name__)

SAMPLE = 2  # bytes
NOBODY = UUID(int=0)
"""In place of a tenant, for what is ours."""

_GRAIN_MS = 20  # clauses are filled up with silence to whole steps of this, which is what codecs take
_PATIENCE_S = 20.0  # a replacement has to load its model, on a machine that has other things to do
_AGAIN_S = 0.3


@dataclass(frozen=True, slots=True)
class Manner:
    """How to speak; as in `Utterance`."""

    voice: str = ""
    style: str = ""
    speed: float = 1.0


class Sound:
    """Sound that is being made: grows until `done`; `error` says why it ended early."""

    def __init__(self, pcm: bytes | None = None) -> None:
        self.pcm = bytearray(pcm or b"")
        self.done = pcm is not None
        self.error: VoiceHelperError | None = None
        self._news = asyncio.Event()

    @property
    def samples(self) -> int:
        """Made so far."""
        return len(self.pcm) // SAMPLE

    def add(self, pcm: bytes) -> None:
        """More of it."""
        self.pcm += pcm
        self._news.set()

    def end(self, error: VoiceHelperError | None = None) -> None:
        """That was all."""
        self.done, self.error = True, error
        self._news.set()

    async def reach(self, samples: int) -> bool:
        """Wait for so many samples, or the end; whether there are so many."""
        while self.samples < samples and not self.done:
            self._news.clear()
            await self._news.wait()
        return self.samples >= samples

    async def whole(self) -> None:
        """Wait for the end."""
        while not self.done:
            self._news.clear()
            await self._news.wait()


class SpeakingVoice:
    """Makes sounds for one tenant in one manner.

    Args:
        tts: the synthesiser.
        info: what it is.
        tenant_id: whose cache.
        cache: of sounds made before.
        manner: may be changed in the middle of a session.
    """

    def __init__(
        self,
        tts: TextToSpeech,
        info: TextToSpeechInfo,
        tenant_id: UUID,
        cache: SpokenCache | None = None,
        manner: Manner = Manner(),
    ) -> None:
        self.info = info
        self.manner = manner
        self._tts = tts
        self._tenant_id = tenant_id
        self._cache = cache

    def key(self, spoken: str, language: str) -> SpokenKey:
        """Where the sound lies in the cache."""
        manner = self.manner
        whose = NOBODY if spoken in OURS else self._tenant_id
        return SpokenKey(whose, self.info.model, manner.voice, manner.style, round(manner.speed, 3), language, spoken)

    async def make(self, spoken: str, language: str, sound: Sound, frequent: bool = False) -> None:
        """Fill `sound` with `spoken`, to its end; errors end in it. Cancelling stops the model."""
        language = language_of(spoken) if spoken else language
        key = self.key(spoken, language)
        if self._cache is not None and (pcm := await self._cache.find(key)) is not None:
            sound.add(pcm)
            sound.end()
            return
        try:
            await self._synthesize(self._utterance(spoken, language), sound)
        except VoiceHelperError as error:
            log.warning("voice.not_spoken", error=type(error).__name__)
            sound.end(error)
            return
        sound.add(self._filling(sound))
        sound.end()
        if self._cache is not None and sound.pcm:
            self._cache.keep(key, bytes(sound.pcm), frequent)

    async def _synthesize(self, utterance: Utterance, sound: Sound) -> None:
        """Goes on where it broke off, as long as what broke it may pass: a synthesiser is replaced in the middle of
        calls. One that never says the same twice (`TextToSpeechInfo.deterministic`) goes on at about that place."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE_S
        while True:
            try:
                await self._pieces(utterance, sound)
                return
            except (Unavailable, Overloaded):
                if loop.time() > deadline:
                    raise
            await asyncio.sleep(_AGAIN_S)

    async def _pieces(self, utterance: Utterance, sound: Sound) -> None:
        known = len(sound.pcm)
        with stage("voice.synthesize"):
            pieces: AsyncIterator[bytes] = self._tts.synthesize(utterance)
            async with aclosing(pieces) as made:  # type: ignore[type-var]
                async for pcm in made:
                    if new := pcm[known:]:
                        sound.add(new)
                    known = max(0, known - len(pcm))

    def _utterance(self, spoken: str, language: str) -> Utterance:
        return replace(Utterance(spoken, language), **{name: getattr(self.manner, name) for name in Manner.__slots__})

    def _filling(self, sound: Sound) -> bytes:
        grain = SAMPLE * self.info.sample_rate * _GRAIN_MS // 1000
        return bytes(-len(sound.pcm) % grain)
