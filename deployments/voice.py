"""Voice sessions in a gateway replica: they live where their sockets do; the models are nodes."""

from uuid import UUID

from deployments.answers import questions_ahead
from deployments.draining import when_leaving
from deployments.engines import database, redis_link
from deployments.nodes import STT, TTS
from deployments.wiring import Nodes
from voicehelper.conversations import AnswerService, ConversationDirectory
from voicehelper.errors import ModelUnavailable
from voicehelper.ports.clock import SystemClock
from voicehelper.ports.speech import TurnDetector, VoiceActivityDetector
from voicehelper.stores.postgres.passages import PostgresPassages
from voicehelper.stores.postgres.voice_sessions import PostgresSessions
from voicehelper.stores.spoken_cache import RedisSpokenStore
from voicehelper.telemetry import get_logger
from voicehelper.voice.calls import VoiceCalls
from voicehelper.voice.session_parts import Parts, TenantWords
from voicehelper.voice.speaker import SpeakingVoice
from voicehelper.voice.speaker_advance import make_in_advance
from voicehelper.voice.spoken_cache import SpokenCache
from voicehelper.voice.vocabularies import Vocabularies

log = get_logger(__name__)


async def voice_calls(
    nodes: Nodes, answers: AnswerService, conversations: ConversationDirectory, hot_words: TenantWords | None = None
) -> VoiceCalls | None:
    """None where the speech models are switched off, or the small ones for listening are missing: the rest works."""
    settings = nodes.settings
    if "off" in (settings.stt.backend, settings.tts.backend):
        return None
    try:
        vad, turns = _listening(nodes)
    except ModelUnavailable as error:
        log.warning("voice.unavailable", reason=error.message)
        return None
    parts = Parts(
        await nodes.get(STT),
        await nodes.get(TTS),
        vad,
        turns,
        answers,
        PostgresSessions(await database(nodes)),
        settings.voice,
        await _cache(nodes),
        hot_words=hot_words,
        prepare=(await questions_ahead(nodes, conversations)).prepare if settings.voice.run_ahead else None,
        voice=settings.tts.voice,
        vocabularies=Vocabularies(PostgresPassages(await database(nodes)).wording, SystemClock()),
    )
    if parts.cache is not None:
        nodes.try_once("phrases", _phrases(parts))
    calls = VoiceCalls(parts, conversations)
    nodes.run("voice sessions", calls.keep_tidy(SystemClock()))
    nodes.run("draining", when_leaving(calls.drain))
    return calls


def _listening(nodes: Nodes) -> tuple[VoiceActivityDetector, TurnDetector]:
    """Small models, one of each in this process."""
    from actors.turn import build_turn_detector  # noqa: PLC0415 - loads onnxruntime
    from actors.vad import build_voice_activity  # noqa: PLC0415

    return build_voice_activity(nodes.settings), build_turn_detector(nodes.settings)


async def _cache(nodes: Nodes) -> SpokenCache:
    settings = nodes.settings.voice
    cache = SpokenCache(settings.speech_cache_bytes, RedisSpokenStore(await redis_link(nodes), settings.speech_cache_s))
    nodes.resources.push_async_callback(cache.settled)
    return cache


async def _phrases(parts: Parts) -> None:
    """Our own phrases are the same for everybody, so that no tenant's name matters here."""
    info = await parts.tts.describe()
    if info.deterministic:  # one that is paid by the character is not asked for what perhaps nobody hears
        await make_in_advance(SpeakingVoice(parts.tts, info, UUID(int=0), parts.cache), parts.voice)
