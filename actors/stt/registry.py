"""Which class serves which `settings.stt.backend`. Libraries are imported only by the backend that needs them."""

import os
from collections.abc import Callable

from actors.stt.off import NoSpeechToText
from voicehelper.config import Settings
from voicehelper.ports.speech import FakeSpeechToText, SpeechToText


def build_speech_to_text(settings: Settings) -> SpeechToText:
    """The recogniser that `settings.stt` describes, ready to listen.

    Loading a local model takes a second and blocks: call it where a process starts. Raises `ModelUnavailable` when its
    files are missing, `InvalidInput` for a remote one without an address.
    """
    return _BACKENDS[settings.stt.backend](settings)


def _whisper(settings: Settings) -> SpeechToText:
    from actors.stt.scheduler import BatchedSpeechToText  # noqa: PLC0415
    from actors.stt.whisper import Whisper  # noqa: PLC0415 - loads the engine's shared library
    from voicehelper.embedded.models import model_path  # noqa: PLC0415

    stt = settings.stt
    model = Whisper(
        model_path(settings, stt.model),
        stt.model,
        device=stt.device,
        threads=stt.threads or len(os.sched_getaffinity(0)),
        expected=stt.languages,
    )
    return BatchedSpeechToText(model, stt.max_batch, stt.queue)


def _openai(settings: Settings) -> SpeechToText:
    from actors.stt.openai_compatible import OpenAICompatibleSpeechToText  # noqa: PLC0415 - a second to import

    stt = settings.stt
    return OpenAICompatibleSpeechToText(stt.base_url, stt.api_key.get_secret_value(), model=stt.model, queue=stt.queue)


def _azure(settings: Settings) -> SpeechToText:
    from actors.stt.azure import AzureSpeechToText  # noqa: PLC0415

    stt = settings.stt
    language = stt.languages[0] if stt.languages else "zh"
    key = stt.api_key.get_secret_value()
    return AzureSpeechToText(key, region=stt.region, base_url=stt.base_url, language=language, queue=stt.queue)


def _off(_settings: Settings) -> SpeechToText:
    return NoSpeechToText()


def _fake(_settings: Settings) -> SpeechToText:
    return FakeSpeechToText()


_BACKENDS: dict[str, Callable[[Settings], SpeechToText]] = {
    "whisper": _whisper,
    "openai": _openai,
    "azure": _azure,
    "off": _off,
    "fake": _fake,
}
